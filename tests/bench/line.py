"""The line by itself: how long a decision takes, and what a waiting request costs in memory."""

from __future__ import annotations

import gc
import tracemalloc
from statistics import median
from time import perf_counter

from controller.engines.runner import Runner
from controller.scheduling.line import LineRules
from controller.scheduling.scheduler import Scheduler
from controller.scheduling.ticket import Caps, Ticket
from tests.bench.load import Figures
from tests.kit.line_world import World, runner

WAITING = 10_000
CALLERS = 500
RUNNERS = [runner(f"model {number}") for number in range(10)]
DECISIONS = 2000
_CAPS = Caps(running=2, waiting=WAITING, size=2**40)


def figures() -> Figures:
    """Microseconds and bytes."""
    return {"decision": decision(), "idle": idle(), "waiting": bytes_per_waiting()}


def decision() -> float:
    """Microseconds of one `decide` with 10,000 waiting, after an answer has ended and another request has come."""
    world = _crowded()
    scheduler, first = world.scheduler, RUNNERS[0]
    taken = []
    for number in range(DECISIONS):
        now = world.now + number * 1e-3
        for ticket in list(scheduler.running()):
            scheduler.end(ticket, now)
        scheduler.enter(_ticket(WAITING + 10 + number, number, now, which=first), now)
        start = perf_counter()
        made = scheduler.decide(now)
        taken.append(perf_counter() - start)
        assert made.grants[0].runner == first
    return median(taken) * 1e6


def idle() -> float:
    """Microseconds from its arrival to its end of a request that nobody is before, the line's part of it."""
    world = World()
    world.resident(RUNNERS[0])
    scheduler, taken = world.scheduler, []
    for number in range(1, DECISIONS):
        ticket = Ticket(number, "caller", 1.0, "model", RUNNERS[0], 1.0, 1e9)
        start = perf_counter()
        scheduler.enter(ticket, 1.0)
        scheduler.decide(1.0)
        scheduler.end(ticket, 2.0)
        taken.append(perf_counter() - start)
    return median(taken) * 1e6


def bytes_per_waiting() -> float:
    """Of the ticket and of what the scheduler keeps for it, every request being of another caller."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        scheduler = Scheduler(LineRules(whole=WAITING), {}, World().room)
        for number in range(WAITING):
            scheduler.enter(_ticket(number, number, 1.0, f"caller {number}"), 1.0)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    return (after - before) / WAITING


def _crowded() -> World:
    """One model is in memory and answers; 10,000 requests for ten models wait; nothing can be swapped yet."""
    world = World(LineRules(whole=2 * WAITING, patience=1e6))
    world.resident(RUNNERS[0])
    for number in range(1, WAITING + 1):
        world.scheduler.enter(_ticket(number, number, world.now), world.now)
    assert not world.scheduler.decide(world.now).swap
    return world


def _ticket(number: int, pick: int, now: float, caller: str = "", which: Runner | None = None) -> Ticket:
    who = caller or f"caller {pick % CALLERS}"
    lane = 1.0 + pick % 3
    which = which or RUNNERS[pick * 7 // CALLERS % len(RUNNERS)]
    return Ticket(number, who, lane, which.name, which, now + number * 1e-6, now + 1e6, 1000, 1, _CAPS)
