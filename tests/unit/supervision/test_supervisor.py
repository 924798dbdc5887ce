from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from controller.errors import SpawnFailed, SpawnFault
from controller.events import Journal
from controller.supervision import moves
from controller.supervision.programs import Attach, Plan
from controller.supervision.spec import ChildState, ChildStatus
from controller.supervision.supervisor import Supervisor
from tests.fakes.children import FakeChild, FakeChildren, FakeProgram
from tests.fakes.clock import WoundClock


class Stage:
    """One supervisor with a made-up program, made-up children and a clock to wind."""

    def __init__(self, program: FakeProgram, children: FakeChildren) -> None:
        self.clock = WoundClock()
        self.journal = Journal(self.clock)
        self.adopt_grace = 60.0
        self.program = program
        self.children = children
        self.supervisor = Supervisor(
            program,
            home=Path("/nowhere"),
            clock=self.clock,
            journal=self.journal,
            adopt_grace=lambda: self.adopt_grace,
            launch=children.launch,
            adopt=children.adopt,
        )

    @property
    def status(self) -> ChildStatus:
        return self.supervisor.status

    @property
    def child(self) -> FakeChild:
        return self.children.all[-1]

    def said(self) -> list[str]:
        return [event.text for event in self.journal.last(100)]


@asynccontextmanager
async def running(program: FakeProgram | None = None, children: FakeChildren | None = None) -> AsyncIterator[Stage]:
    stage = Stage(program or FakeProgram(), children or FakeChildren())
    loop = asyncio.create_task(stage.supervisor.run())
    await stage.clock.wind(0)
    try:
        yield stage
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop


async def test_a_child_is_started_and_its_status_says_so() -> None:
    async with running() as stage:
        status = stage.status
        assert (status.state, status.pid, status.restarts) == (ChildState.READY, stage.child.pid, 0)
        assert (status.url, status.facts["version"]) == ("http://127.0.0.1:4242", "0.24.0")
        assert stage.program.readiness.verdict == "ready"


async def test_a_crash_is_told_counted_and_followed_by_a_start() -> None:
    async with running() as stage:
        stage.child.die(1)
        await stage.clock.wind(0)
        assert (stage.status.state, stage.status.restarts, len(stage.children.all)) == (ChildState.READY, 1, 2)
        assert stage.status.facts["last_exit"] == "left with exit code 1"
        assert any("exit code 1" in text for text in stage.said())


async def test_a_restart_waits_until_the_new_one_is_ready() -> None:
    async with running() as stage:
        await stage.supervisor.restart()
        assert (stage.status.state, stage.status.restarts, len(stage.children.all)) == (ChildState.READY, 1, 2)


async def test_a_stop_returns_when_it_is_gone_and_a_start_brings_it_back() -> None:
    async with running() as stage:
        await stage.supervisor.stop()
        assert (stage.status.state, stage.status.pid, stage.child.alive) == (ChildState.STOPPED, None, False)
        await stage.clock.wind(600)
        assert len(stage.children.all) == 1
        await stage.supervisor.start()
        assert stage.status.state is ChildState.READY


async def test_a_start_that_cannot_be_returns_and_the_state_tells() -> None:
    problem = moves.Obstacle(ChildState.MISCONFIGURED, "There is no program at /opt/ollama.")
    async with running(FakeProgram(planned=problem)) as stage:
        for _ in range(2):
            await stage.supervisor.start()
            assert (stage.status.state, stage.status.reason) == (ChildState.MISCONFIGURED, problem.words)
        assert stage.status.retry_in is None


async def test_what_a_former_controller_left_is_adopted_with_its_restarts() -> None:
    spec = FakeProgram().spec({})
    assert spec is not None
    left = FakeChild(77, spec.identity, {"port": 4243, "generation": 5, "restarts": 4})
    async with running(children=FakeChildren(left)) as stage:
        status = stage.status
        assert (status.pid, status.adopted, status.restarts) == (77, True, 4)
        assert (status.state, status.url) == (ChildState.READY, "http://127.0.0.1:4243")
        stage.child.die(1)
        await stage.clock.wind(0)
        assert (stage.status.restarts, stage.child.note["generation"]) == (5, 6)


async def test_what_was_left_with_another_recipe_is_stopped_before_ours_starts() -> None:
    left = FakeChild(77, "of an old configuration", {"port": 4243})
    async with running(children=FakeChildren(left)) as stage:
        assert left.stops
        assert (stage.status.state, stage.status.pid != 77) == (ChildState.READY, True)


async def test_what_was_left_and_can_neither_be_had_nor_killed_is_told_and_tried_again() -> None:
    async with running(children=FakeChildren(held=True)) as stage:
        status = stage.status
        assert (status.state, "still held" in status.reason) == (ChildState.BACKOFF, True)
        stage.children.held = False
        await stage.clock.wind(1)
        assert stage.status.state is ChildState.READY


async def test_a_child_that_cannot_be_reached_any_more_counts_as_gone() -> None:
    async with running() as stage:
        stage.child.get_lost()
        await stage.clock.wind(0)
        assert any("out of reach" in text for text in stage.said())
        stage.children.all.clear()
        await stage.clock.wind(60)
        assert stage.status.state is ChildState.READY


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("not_executable", ChildState.MISCONFIGURED),
        ("wrong_kind", ChildState.MISCONFIGURED),
        ("missing", ChildState.BACKOFF),
        ("exhausted", ChildState.BACKOFF),
        ("away", ChildState.BACKOFF),
        ("other", ChildState.BACKOFF),
    ],
)
async def test_a_start_that_fails_is_told_by_its_kind(kind: SpawnFault, state: ChildState) -> None:
    async with running(children=FakeChildren(fails=[SpawnFailed("It did not start.", kind)])) as stage:
        assert (stage.status.state, stage.status.reason) == (state, "It did not start.")
        assert stage.children.all == []


async def test_the_keeper_hears_how_long_to_hold_the_child_whenever_that_changes() -> None:
    async with running() as stage:
        await stage.clock.wind(10)
        assert stage.child.leases == [60.0]
        stage.adopt_grace = 5.0
        await stage.clock.wind(10)
        assert stage.child.leases == [60.0, 5.0]


async def test_a_recipe_that_starts_the_same_process_is_taken_over_live() -> None:
    async with running() as stage:
        impatient = FakeProgram(limits=moves.ChildLimits(probe_misses=1), verdict=moves.Silent("no answer"))
        await stage.supervisor.reconfigure(impatient)
        assert stage.status.restarts == 0
        await stage.clock.wind(0)
        assert stage.status.restarts == 1  # one miss was enough: the new limit counts


async def test_another_recipe_restarts_the_child() -> None:
    async with running() as stage:
        first = stage.child
        await stage.supervisor.reconfigure(FakeProgram(argument="other"))
        assert (stage.status.state, first.alive, len(stage.children.all)) == (ChildState.READY, False, 2)


async def test_a_save_that_changes_nothing_for_a_child_that_fails_leaves_its_breaker_open() -> None:
    silent = FakeProgram(verdict=moves.Silent("nobody listens"))
    async with running(silent) as stage:
        while stage.status.state is not ChildState.DEGRADED:
            stage.child.die(1)
            await stage.clock.wind(10)
        starts = len(stage.children.all)
        await stage.supervisor.reconfigure(FakeProgram(verdict=moves.Silent("nobody listens")))
        assert (stage.status.state, len(stage.children.all)) == (ChildState.DEGRADED, starts)
        await stage.supervisor.reconfigure(FakeProgram(argument="other"))
        assert (stage.status.state, len(stage.children.all)) == (ChildState.READY, starts + 1)


async def test_a_recipe_that_arrives_while_the_old_one_is_looked_at_is_the_one_that_starts() -> None:
    class Slow(FakeProgram):
        async def plan(self) -> Plan:
            await looked.wait()
            return await super().plan()

    looked = asyncio.Event()
    async with running(Slow()) as stage:
        await stage.supervisor.reconfigure(FakeProgram(argument="other"))
        looked.set()
        await stage.clock.wind(0)
        expected = FakeProgram(argument="other").spec({})
        assert [each.identity for each in stage.children.all] == [expected.identity if expected else ""]


async def test_another_recipe_leaves_a_stopped_child_stopped() -> None:
    async with running() as stage:
        await stage.supervisor.stop()
        await stage.supervisor.reconfigure(FakeProgram(argument="other"))
        assert (stage.status.state, len(stage.children.all)) == (ChildState.STOPPED, 1)


async def test_a_supervisor_that_is_cancelled_lets_go_of_its_child_and_does_not_stop_it() -> None:
    async with running() as stage:
        pass
    assert (stage.child.released, stage.child.alive) == (True, True)


async def test_a_long_silence_of_the_loop_is_one_resumed_event_and_no_kill() -> None:
    async with running() as stage:
        await stage.clock.wind(10)
        stage.clock.leap(8 * 3600)
        await stage.clock.wind(60)
        assert (stage.status.state, stage.status.restarts) == (ChildState.READY, 0)
        assert len([text for text in stage.said() if "slept" in text]) == 1


async def test_a_sleep_that_our_own_time_leaves_out_is_one_resumed_event_and_no_kill() -> None:
    async with running() as stage:
        await stage.clock.wind(10)
        stage.clock.doze(8 * 3600)
        await stage.clock.wind(60)
        assert (stage.status.state, stage.status.restarts) == (ChildState.READY, 0)
        assert [text for text in stage.said() if "slept" in text] == [
            "The machine slept, or stood still, for 28800 s: it is asked afresh."
        ]


async def test_a_nap_is_not_worth_a_word() -> None:
    async with running() as stage:
        for _ in range(10):
            stage.clock.doze(20)
            await stage.clock.wind(60)
        assert not [text for text in stage.said() if "slept" in text]


@pytest.mark.parametrize("sleep", [WoundClock.doze, WoundClock.leap])
async def test_a_start_that_is_slept_through_gets_no_more_time_than_any_other_and_no_less(
    sleep: Callable[[WoundClock, float], None],
) -> None:
    silent = FakeProgram(verdict=moves.Silent("nobody listens"), limits=moves.ChildLimits(startup=60))
    async with running(silent) as stage:
        await stage.clock.wind(30)
        sleep(stage.clock, 8 * 3600)
        await stage.clock.wind(25)
        assert (stage.status.state, stage.status.restarts) == (ChildState.STARTING, 0)
        await stage.clock.wind(20)
        assert any("did not answer within 60 s" in text for text in stage.said())


async def test_how_long_it_lived_goes_by_a_clock_that_nobody_sets() -> None:
    program = FakeProgram()
    async with running(program) as stage:
        await stage.clock.wind(5)
        stage.clock.step_wall(3600)
        stage.clock.doze(3600)
        stage.child.die(1)
        await stage.clock.wind(0)
        assert [ended.lived for ended in program.ended] == [5.0]
    spec = FakeProgram().spec({})
    assert spec is not None
    left = FakeChild(77, spec.identity, {"port": 4243}, age=100.0)
    program = FakeProgram()
    async with running(program, children=FakeChildren(left)) as stage:
        await stage.clock.wind(5)
        stage.child.die(1)
        await stage.clock.wind(0)
        assert [ended.lived for ended in program.ended] == [105.0]


async def test_a_step_of_the_wall_clock_changes_nothing() -> None:
    async with running() as stage:
        before = stage.said()
        for step in (3600.0, -7200.0, -10 * 365 * 86400.0):
            stage.clock.step_wall(step)
            await stage.clock.wind(120)
        assert (stage.status.state, stage.status.restarts, stage.said()) == (ChildState.READY, 0, before)


async def test_a_machine_short_of_descriptors_costs_neither_the_supervisor_nor_a_child_that_answers() -> None:  # row 39
    program = FakeProgram()
    async with running(program) as stage:
        program.refused = OSError(errno.EMFILE, "Too many open files")
        await stage.clock.wind(60)
        assert (stage.status.state, stage.status.restarts) == (ChildState.READY, 0)
        stage.child.die(1)
        await stage.clock.wind(10)
        assert (stage.status.state, "Too many open files" in stage.status.reason) == (ChildState.BACKOFF, True)
        assert sum("Too many open files" in text for text in stage.said()) == 1  # told once, tried again quietly
        program.refused = None
        await stage.clock.wind(5)
        assert (stage.status.state, stage.status.restarts) == (ChildState.READY, 1)


async def test_what_could_not_be_looked_for_in_time_is_adopted_later_and_nothing_is_started_beside_it() -> None:
    spec = FakeProgram().spec({})
    assert spec is not None
    children = FakeChildren(FakeChild(77, spec.identity, {"port": 4243}))
    children.refused = OSError(errno.EMFILE, "Too many open files")
    async with running(children=children) as stage:
        await stage.clock.wind(10)
        assert (stage.status.state, children.all) == (ChildState.BACKOFF, [])
        children.refused = None
        await stage.clock.wind(5)
        assert (stage.status.state, stage.status.pid, stage.status.adopted) == (ChildState.READY, 77, True)


async def test_what_still_runs_when_a_start_finds_the_lock_held_is_adopted() -> None:
    spec = FakeProgram().spec({})
    assert spec is not None
    children = FakeChildren(fails=[SpawnFailed("The lock is held.", "held")])
    async with running(children=children) as stage:
        children.left = FakeChild(77, spec.identity, {"port": 4243})
        await stage.clock.wind(1)
        assert (stage.status.state, stage.status.pid) == (ChildState.READY, 77)


async def test_a_stop_that_fails_for_want_of_a_descriptor_is_made_again() -> None:
    async with running() as stage:
        stage.child.refused = OSError(errno.EMFILE, "Too many open files")
        stopping = asyncio.create_task(stage.supervisor.stop())
        await stage.clock.wind(5)
        await asyncio.wait_for(stopping, 5)
        assert (stage.status.state, len(stage.child.stops)) == (ChildState.STOPPED, 2)


async def test_a_change_that_cannot_be_looked_into_ends_nothing() -> None:
    program = FakeProgram(planned=Attach({"port": 11434}))
    async with running(program) as stage:
        program.refused = OSError(errno.EMFILE, "Too many open files")
        await asyncio.wait_for(stage.supervisor.reconfigure(program), 5)
        assert stage.status.state is ChildState.BACKOFF


async def test_somebody_elses_ollama_is_used_and_never_stopped() -> None:
    program = FakeProgram(planned=Attach({"port": 11434}))
    async with running(program) as stage:
        assert (stage.status.state, stage.status.pid, stage.children.all) == (ChildState.READY, None, [])
        program.verdict = moves.Silent("no answer")
        await stage.clock.wind(30)
        assert stage.status.state is ChildState.OFFLINE


async def test_hooks_hear_of_each_change_once() -> None:
    heard: list[ChildState] = []
    async with running() as stage:
        stage.supervisor.on_change.append(lambda status: heard.append(status.state))
        await stage.clock.wind(30)
        assert heard == []
        await stage.supervisor.stop()
    assert heard == [ChildState.STOPPING, ChildState.STOPPED]
