"""What the rules come to over two hours: heavy callers with twenty requests outstanding, answers of 4 s, one slot."""

from __future__ import annotations

import pytest

from controller.scheduling.line import LineRules
from controller.scheduling.ticket import Caps, Ticket
from tests.kit.line_world import Refused, World, runner, waited

A = runner("A")
HOURS = 7200.0


def play(heavy: int, *, every: float = 10.0, lane: float = 1.0, heavy_lane: float = 1.0, running: int = 1) -> World:
    """`heavy` callers who always have twenty outstanding, and a light one who asks for 1 s of work now and then."""
    world = World(LineRules(whole=1000))
    world.resident(A)
    caps = Caps(running=running, waiting=1000)

    def again(done: Ticket) -> None:
        if done.caller != "light":
            world.ask(done.caller, A, 4, lane=heavy_lane, caps=caps)

    def light() -> None:
        world.at(world.now + every, light)
        try:
            world.ask("light", A, 1, lane=lane, caps=Caps(running=running, waiting=8))
        except Refused:
            pass

    world.on_end = again
    for number in range(heavy):
        for _ in range(20):
            world.ask(f"heavy {number}", A, 4, lane=heavy_lane, caps=caps)
    world.at(world.now, light)
    world.wind(HOURS)
    return world


def waits(world: World, caller: str = "light") -> list[float]:
    """Seconds, sorted."""
    return sorted(waited(ticket) for ticket in world.granted if ticket.caller == caller)


def p95(values: list[float]) -> float:
    return values[int(len(values) * 0.95)]


def jain(world: World) -> float:
    """1: the heavy callers had exactly equal shares."""
    had: dict[str, float] = {}
    for ticket in world.granted:
        if ticket.caller != "light":
            had[ticket.caller] = had.get(ticket.caller, 0.0) + world.lengths[ticket.number]
    return sum(had.values()) ** 2 / (len(had) * sum(value**2 for value in had.values()))


@pytest.mark.parametrize(("heavy", "seconds"), [(1, 3), (4, 3), (8, 90)])
def test_a_light_caller_hardly_notices_heavy_ones(heavy: int, seconds: float) -> None:
    """With eight, the light caller asks for just about its equal share: it queues as they do."""
    world = play(heavy)
    assert p95(waits(world)) == pytest.approx(seconds, rel=0.05)
    assert jain(world) > 0.99


@pytest.mark.parametrize("heavy", [1, 4])
def test_with_two_running_a_caller_a_light_one_waits_two_generations_at_most(heavy: int) -> None:
    world = play(heavy, running=2)
    assert p95(waits(world)) <= 2 * 4
    assert jain(world) > 0.95


def test_a_ticket_of_lane_three_under_lasting_load_of_lane_one_is_served_within_its_bound() -> None:
    world = play(2, every=60, lane=3)
    light = waits(world)
    assert light[0] == pytest.approx(1145, abs=20)
    assert light[-1] <= 2 * 600 + 2 * 4


def test_lane_one_waits_for_one_generation_of_lane_three_at_most() -> None:
    assert waits(play(2, every=5, heavy_lane=3))[-1] <= 4
