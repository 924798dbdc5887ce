"""The health loop on a wound clock: what it reads of processes is made up, what it decides is real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest

from controller.engines.engine import Engine
from controller.engines.runner import Runner
from controller.errors import Unreachable
from controller.events import Journal
from controller.plain import GIB
from controller.readiness import Readiness
from controller.residency.health import Health
from controller.residency.learned import Learned
from controller.residency.metal import Metal, metal
from controller.residency.progress import Rule
from controller.residency.vitals import Vitals
from controller.scheduling.ticket import End, State, Ticket
from tests.fakes.clock import WoundClock
from tests.fakes.residents import FakeResidents, runner
from tests.unit.residency.macs import ioreg

A = runner("a")
RULE = Rule()
SECOND_LOOK = RULE.first + RULE.apart


class FakeLine:
    """Answers that are being written."""

    def __init__(self, clock: WoundClock) -> None:
        self.flying = asyncio.Event()
        self.tickets: list[Ticket] = []
        self._clock = clock

    def running(self) -> Iterable[Ticket]:
        return self.tickets

    def begin(self) -> Ticket:
        now = self._clock.now()
        ticket = Ticket(len(self.tickets) + 1, "anna", 1.0, "a", A, now, now + 1800, state=State.GRANTED, granted=now)
        self.tickets.append(ticket)
        self.flying.set()
        return ticket

    def end(self) -> None:
        self.tickets.clear()
        self.flying.clear()


class FakeEngine:
    """Says a token, unless it is mute."""

    name = "ollama"
    readiness = Readiness("Ollama")

    def __init__(self) -> None:
        self.mute = False
        self.probed: list[str] = []
        self.meanwhile: Callable[[], object] = lambda: None

    async def try_out(self, runner: Runner) -> None:
        self.probed.append(runner.name)
        self.meanwhile()
        if self.mute:
            raise Unreachable(f"{runner.name} did not answer.")


RUNNER = 4711  # its process


class IdlePulse:
    """Runners that use no time."""

    def __init__(self) -> None:
        self.stopped = False

    async def of(self, runner: Runner) -> Vitals:
        return Vitals(1.0, self.stopped, (RUNNER,))

    def forget(self, key: str) -> None:
        """Nothing is kept."""


@dataclass
class Ward:
    clock: WoundClock
    line: FakeLine
    residents: FakeResidents
    ollama: FakeEngine
    journal: Journal
    pulse: IdlePulse = field(default_factory=IdlePulse)
    restarts: list[str] = field(default_factory=list)
    gpu: Metal | None = None

    def killed(self) -> list[tuple[str, ...]]:
        return [each for each in self.residents.told if each[0] == "kill"]


@asynccontextmanager
async def ward() -> AsyncIterator[Ward]:
    clock = WoundClock()
    it = Ward(clock, FakeLine(clock), FakeResidents(clock), FakeEngine(), Journal(clock))
    it.residents.loaded(A)

    async def gpu() -> Metal | None:
        return it.gpu

    health = Health(
        it.line,
        it.residents,
        it.pulse,
        {"ollama": cast(Engine, it.ollama)},
        clock,
        it.journal,
        dict[str, Learned](),
        lambda engine, why: it.restarts.append(why),
        gpu=gpu,
    )
    running = asyncio.create_task(health.run())
    try:
        yield it
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_a_stuck_runner_is_killed_and_its_ollama_left_alone() -> None:
    async with ward() as it:
        it.line.begin()
        await it.clock.wind(SECOND_LOOK - 1)
        assert not it.killed()
        await it.clock.wind(2)
        it.line.end()  # Ollama tells whose answers were lost
        await it.clock.wind(60)
        assert [each[:2] for each in it.killed()] == [("kill", "a")]
        assert not it.restarts


async def test_a_stopped_runner_is_killed_at_once_and_not_held_against_it() -> None:
    async with ward() as it:
        it.pulse.stopped = True
        for _ in range(2):
            it.residents.loaded(A)
            it.line.begin()
            await it.clock.wind(0)
            it.line.end()
            await it.clock.wind(1)
        assert len(it.killed()) == 2
        assert not it.restarts


async def test_a_gpu_at_work_keeps_its_runner_for_as_long_as_it_takes() -> None:
    async with ward() as it:
        it.gpu = Metal(share=97.0)
        it.line.begin()
        await it.clock.wind(200)
        assert not it.killed()


async def test_a_display_at_work_does_not_hide_a_stuck_runner_where_the_gpu_tells_for_whom_it_works() -> None:
    async with ward() as it:
        it.gpu = metal(ioreg(GIB, 12, {RUNNER: 345.6}))
        it.line.begin()
        await it.clock.wind(80)
        assert not it.killed()
        await it.clock.wind(30)
        assert it.killed()


async def test_a_runner_that_the_gpu_works_for_is_left_alone_for_as_long_as_it_takes() -> None:
    async with ward() as it:
        it.line.begin()
        for minute in range(10):
            it.gpu = metal(ioreg(GIB, 12, {RUNNER: 345.6 + minute}))
            await it.clock.wind(60)
        assert not it.killed()


async def test_nothing_is_looked_at_while_nothing_is_being_answered() -> None:
    async with ward() as it:
        await it.clock.wind(60)
        it.line.begin()
        await it.clock.wind(3)
        it.line.end()
        await it.clock.wind(60)
        assert not it.killed()


async def test_a_runner_that_works_again_is_forgiven() -> None:
    async with ward() as it:
        it.line.begin()
        await it.clock.wind(SECOND_LOOK + 1)
        it.line.end()
        it.residents.loaded(A)
        await it.clock.wind(5)
        assert it.ollama.probed == ["a:latest"]
        it.line.begin()
        await it.clock.wind(SECOND_LOOK + 1)
        assert len(it.killed()) == 2
        assert not it.restarts


async def test_a_runner_that_brings_nothing_after_its_reload_has_ollama_restarted() -> None:
    async with ward() as it:
        it.line.begin()
        await it.clock.wind(SECOND_LOOK + 1)
        it.line.end()
        it.ollama.mute = True
        it.residents.loaded(A)
        await it.clock.wind(5)
        assert it.restarts == ["a:latest was loaded again, and brings nothing."]
        assert it.journal.last(1)[0].level == "error"


async def test_a_runner_that_has_gone_before_it_is_asked_has_not_shown_that_it_works() -> None:
    async with ward() as it:
        it.line.begin()
        await it.clock.wind(SECOND_LOOK + 1)
        it.line.end()
        it.ollama.mute = True
        it.residents.dead.add("a")
        it.residents.loaded(A)
        await it.clock.wind(5)
        assert not it.ollama.probed
        assert not it.restarts
        it.residents.dead.clear()
        await it.clock.wind(5)
        assert it.restarts == ["a:latest was loaded again, and brings nothing."]


async def test_a_runner_that_gets_stuck_again_at_once_has_ollama_restarted() -> None:
    async with ward() as it:
        it.line.begin()
        await it.clock.wind(SECOND_LOOK + 1)
        it.line.end()
        it.line.begin()  # the replay
        it.residents.loaded(A)
        await it.clock.wind(SECOND_LOOK + 1)
        assert it.restarts == ["a:latest got stuck again."]
        assert len(it.killed()) == 2  # the restart waits for answers in flight: those that are stuck must not keep it
        assert not it.ollama.probed  # it had something to do: no canary goes beside a real answer


async def test_an_answer_that_ollama_itself_does_not_give_up_has_it_restarted() -> None:
    async with ward() as it:
        it.line.begin()
        await it.clock.wind(SECOND_LOOK + RULE.window + RULE.apart + 3)
        assert it.restarts == ["a:latest got stuck again."]


async def test_a_runner_that_does_not_come_back_has_ollama_restarted() -> None:
    async with ward() as it:
        it.line.begin()
        await it.clock.wind(SECOND_LOOK + 1)
        it.line.end()
        it.residents.failed("a", End.LOAD_FAILED, "It brought no token.")
        assert it.restarts == ["It brought no token."]
        it.residents.failed("b", End.LOAD_FAILED, "Its file is broken.")
        assert len(it.restarts) == 1


async def test_after_a_sleep_what_is_loaded_and_idle_is_asked_for_a_token() -> None:
    async with ward() as it:
        it.clock.doze(8 * 3600)
        ticket = it.line.begin()
        ticket.runner = runner("b")
        it.ollama.mute = True
        await it.clock.wind(2)
        assert it.ollama.probed == ["a:latest"]
        assert [each[:2] for each in it.killed()] == [("kill", "a")]


async def test_a_canary_that_stood_behind_a_real_answer_proves_nothing() -> None:
    async with ward() as it:
        it.clock.doze(8 * 3600)
        it.line.begin().runner = runner("b")
        it.ollama.mute, it.ollama.meanwhile = True, it.line.begin
        await it.clock.wind(2)
        assert it.ollama.probed == ["a:latest"]
        assert not it.killed()


async def test_no_canary_loads_a_model() -> None:
    async with ward() as it:
        it.residents.dead.add("a")
        it.clock.doze(8 * 3600)
        it.line.begin().runner = runner("b")
        await it.clock.wind(2)
        assert not it.ollama.probed
        assert not it.killed()


@pytest.mark.parametrize("step", [3600.0, -3600.0, 8 * 3600.0])
async def test_a_step_of_the_time_of_day_is_no_sleep(step: float) -> None:
    async with ward() as it:
        it.ollama.mute = True
        it.line.begin().runner = runner("b")
        await it.clock.wind(2)
        it.clock.step_wall(step)
        await it.clock.wind(2)
        assert not it.ollama.probed
        assert not it.killed()


async def test_an_answer_that_is_slept_through_is_neither_late_nor_stuck() -> None:
    async with ward() as it:
        it.line.begin()
        await it.clock.wind(RULE.first - 5)
        it.clock.doze(8 * 3600)
        await it.clock.wind(10)
        assert not it.killed()
        await it.clock.wind(SECOND_LOOK + RULE.window)  # awake, it has its time as ever
        assert it.killed()
