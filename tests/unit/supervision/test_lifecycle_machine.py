"""Any order of events, any outcome: what must hold of a child's life whatever happens to it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from controller.supervision import moves
from controller.supervision.lifecycle import Lifecycle
from controller.supervision.moves import ChildLimits, Diagnosis, ExitKind, Obstacle
from controller.supervision.spec import ChildState

PROBLEMS = st.sampled_from(
    [
        Obstacle(ChildState.MISCONFIGURED, "The program is missing."),
        Obstacle(ChildState.CONFLICT, "The port is taken."),
        Obstacle(ChildState.OFFLINE, "Nothing answers."),
        Obstacle(ChildState.WAITING, "Its disk is gone."),
    ]
)
LOOKS = st.builds(moves.Looked, st.none() | PROBLEMS, st.just(False), st.sampled_from(["this", "that"]))
REMOTE_LOOKS = st.just(moves.Looked(None, remote=True))
FAILURES = st.builds(moves.StartFailed, st.just("It failed."), st.sampled_from(["fault", "exhausted", "held", "other"]))
PROBES: st.SearchStrategy[moves.Event] = st.sampled_from(
    [
        moves.Answered(),
        moves.GpuLost("It found no GPU."),
        moves.Answered(),
        moves.Waiting("Not connected."),
        moves.Silent("No answer."),
        moves.Bereft("Its disk is gone."),
        moves.Stranger("X."),
        moves.NotAsked(),
    ]
)
DIAGNOSES = st.builds(Diagnosis, st.sampled_from(list(ExitKind)), st.just("left with exit code 1"))
ORDERS: st.SearchStrategy[moves.Event] = st.sampled_from(
    [
        moves.Start(),
        moves.Stop(),
        moves.Restart("Told to."),
        moves.Changed("New port."),
        moves.Tuned(ChildLimits(probe_misses=1)),
    ]
)
TOLD = Diagnosis(ExitKind.CRASH, "left with exit code 0")
HEAL_WITHIN = 1500.0  # a refused look, an open breaker at its longest, an outage's patience and a start, with some air


class Life(RuleBasedStateMachine):
    """Carries effects out in whatever order and with whatever outcome Hypothesis likes."""

    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.life = Lifecycle(luck=lambda: 1.0)
        self.now = 0.0
        self.jobs: set[type[moves.Effect]] = set()  # what was asked for and is not answered yet
        self.wake_at: float | None = None
        self.process = False  # ours
        self.remote = False  # what the last look saw is not ours
        self.evidence: Hashable = "this"

    def feed(self, event: moves.Event) -> None:
        type(self).steps += 1
        wanted_before = self.life.wanted
        effects = self.life.on(event, self.now)
        for effect in effects:
            self.obey(effect)
        if not wanted_before and not self.life.wanted and self.life.state is ChildState.STOPPED:
            assert not [each for each in effects if not isinstance(each, moves.Tell | moves.LetGo)]

    def obey(self, effect: moves.Effect) -> None:
        match effect:
            case moves.Tell(_, text):
                assert text
                assert "  " not in text
            case moves.Wake(at):
                assert at >= self.now
                self.wake_at = at
            case moves.LetGo():
                assert not self.process
                self.jobs.discard(moves.Probe)
            case moves.Probe():
                self.jobs.add(moves.Probe)  # a second one takes the place of the first
            case _:
                assert type(effect) not in self.jobs, f"{effect} was asked for twice"
                self.check_processes(effect)
                self.jobs.add(type(effect))

    def check_processes(self, effect: moves.Effect) -> None:
        if isinstance(effect, moves.Spawn):
            assert self.life.wanted, "started though unwanted"
            assert not self.process, "started twice"
            assert not self.jobs & {moves.Adopt, moves.Look, moves.Spawn, moves.Terminate}
        if isinstance(effect, moves.Terminate):
            assert self.process, "ended what is not ours"

    def done(self, job: type[moves.Effect]) -> None:
        self.jobs.discard(job)

    # --- what happens ---

    @initialize()
    def begin(self) -> None:
        self.feed(moves.Begin())

    @rule(order=ORDERS)
    def order(self, order: moves.Event) -> None:
        self.feed(order)

    @precondition(lambda self: moves.Adopt in self.jobs)
    @rule(found=st.booleans(), stale=st.booleans(), age=st.floats(0, 1e5))
    def adopt(self, found: bool, stale: bool, age: float) -> None:
        self.done(moves.Adopt)
        self.process = found
        self.feed(moves.Spawned(adopted=True, stale=stale, age=age) if found else moves.NothingToAdopt())

    @precondition(lambda self: moves.Adopt in self.jobs)
    @rule(failed=FAILURES)
    def fail_to_adopt(self, failed: moves.StartFailed) -> None:
        self.done(moves.Adopt)
        self.feed(failed)

    @precondition(lambda self: moves.Look in self.jobs)
    @rule(failed=FAILURES)
    def fail_to_look(self, failed: moves.StartFailed) -> None:
        self.done(moves.Look)
        self.feed(failed)

    @precondition(lambda self: moves.Look in self.jobs)
    @rule(look=LOOKS | REMOTE_LOOKS)
    def look(self, look: moves.Looked) -> None:
        self.done(moves.Look)
        self.remote = look.remote
        self.feed(look)

    @precondition(lambda self: moves.Spawn in self.jobs)
    @rule(failed=st.none() | FAILURES)
    def spawn(self, failed: moves.StartFailed | None) -> None:
        self.done(moves.Spawn)
        if failed is not None and not self.remote:
            return self.feed(failed)
        self.process = not self.remote
        self.feed(moves.Spawned(remote=self.remote))

    @precondition(lambda self: moves.Probe in self.jobs)
    @rule(probed=PROBES)
    def probe(self, probed: moves.Event) -> None:
        self.done(moves.Probe)
        self.feed(probed)

    @precondition(lambda self: moves.Terminate in self.jobs)
    @rule()
    def end(self) -> None:
        self.leave(TOLD)

    @precondition(lambda self: self.process and moves.Spawn not in self.jobs)
    @rule(diagnosis=DIAGNOSES)
    def die(self, diagnosis: Diagnosis) -> None:
        self.leave(diagnosis)

    def leave(self, diagnosis: Diagnosis) -> None:
        self.process = False
        self.jobs -= {
            moves.Terminate,
            moves.Probe,
            moves.AskNetwork,
        }  # whoever carries effects out drops what is under way
        self.feed(moves.Exited(diagnosis))

    @precondition(lambda self: moves.AskNetwork in self.jobs)
    @rule(up=st.booleans())
    def network(self, up: bool) -> None:
        self.done(moves.AskNetwork)
        self.feed(moves.NetworkIs(up))

    @rule(frozen=st.booleans())
    def glance(self, frozen: bool) -> None:
        self.feed(moves.Glanced(frozen))

    @rule(seconds=st.sampled_from([0.01, 0.5, 2.0, 61.0, 1000.0]))
    def wind(self, seconds: float) -> None:
        end = self.now + seconds
        if self.wake_at is not None and self.wake_at <= end:
            self.now, self.wake_at = max(self.now, self.wake_at), None
            self.feed(moves.Tick())
        self.now = max(self.now, end)

    @rule(gap=st.floats(30, 1e5), counted=st.booleans())
    def sleep(self, gap: float, counted: bool) -> None:
        self.now += gap if counted else 0.0
        self.jobs.discard(moves.Probe)
        self.feed(moves.Resumed(gap=gap) if counted else moves.Resumed(slept=gap))

    # --- what must hold ---

    @invariant()
    def is_never_stuck(self) -> None:
        if self.life.wanted:
            assert self.jobs or self.wake_at is not None, f"nothing will ever happen in {self.life.state}"

    @invariant()
    def says_why(self) -> None:
        assert self.life.reason.endswith(".")

    @invariant()
    def is_ready_only_while_something_runs(self) -> None:
        if self.life.state is ChildState.READY:
            assert self.process or self.life.remote

    @invariant()
    def is_stopped_only_without_a_process(self) -> None:
        if self.life.state is ChildState.STOPPED:
            assert not self.process

    def teardown(self) -> None:
        """From wherever it got to: in a healthy world a wanted child gets ready in time, an unwanted one stops."""
        deadline = self.now + HEAL_WITHIN
        while self.now < deadline and self.jobs | ({moves.Tick} if self.wake_at is not None else set()):
            self.heal()
            if not self.jobs and self.life.state in (ChildState.READY, ChildState.STOPPED):
                break
        wished = ChildState.READY if self.life.wanted else ChildState.STOPPED
        assert self.life.state is wished, f"{self.life.state}: {self.life.reason}"

    def heal(self) -> None:
        healthy: dict[type[moves.Effect], moves.Event] = {
            moves.Adopt: moves.NothingToAdopt(),
            moves.Look: moves.Looked(None, evidence="put right"),
            moves.Spawn: moves.Spawned(),
            moves.Probe: moves.Answered(),
            moves.Terminate: moves.Exited(TOLD),
            moves.AskNetwork: moves.NetworkIs(True),
        }
        for job in sorted(self.jobs, key=lambda job: job.__name__):
            self.done(job)
            self.process = (self.process or job is moves.Spawn) and job is not moves.Terminate
            if job is moves.Terminate:
                self.jobs.discard(moves.Probe)
            return self.feed(healthy[job])
        if self.wake_at is not None:
            self.now, self.wake_at = max(self.now, self.wake_at), None
            self.feed(moves.Tick())
            self.feed(moves.Glanced(frozen=False))


def lives(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_whatever_happens_to_a_child_it_is_never_doubled_never_stuck_and_heals() -> None:
    lives(examples=100, steps=50)


@pytest.mark.proof
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_steps_of_any_life() -> None:
    Life.steps = 0
    while Life.steps < 100_000:
        lives(examples=400, steps=200)
