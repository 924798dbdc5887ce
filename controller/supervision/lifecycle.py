"""The life of one child, decided: events in, effects out. No await, no log, no clock, no process.

    unwanted ─ start ─→ look ─→ spawn ─→ probe … ─→ ready ─→ exited ─→ pause ─→ look …

Six phases say what is going on with the process (`Phase`); `ChildState` says how it is doing, for people. Whoever
feeds the events carries the effects out and answers each: Adopt by Spawned or NothingToAdopt, Look by Looked, Spawn by
Spawned (each of these also by Failed), Probe by a Probed or NotAsked, End by Exited, AskNetwork by NetworkIs, Wake by
Tick.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import Enum, auto

from controller.events import Level
from controller.plain import span_words
from controller.readiness import Verdict
from controller.supervision import moves
from controller.supervision.backoff import Backoff, Doubling, Pace
from controller.supervision.moves import ChildLimits, Diagnosis, ExitKind, Obstacle
from controller.supervision.outage import Outage
from controller.supervision.spec import ChildState


class Phase(Enum):
    """What is going on with the process."""

    ABSENT = auto()  # there is none, nothing is under way
    ADOPTING = auto()
    LOOKING = auto()
    SPAWNING = auto()
    RUNNING = auto()
    LEAVING = auto()  # it was told to go; Exited will come


class Cause(Enum):
    """Why a child is LEAVING, which decides what follows."""

    TOLD = auto()  # by a person or the configuration
    HUNG = auto()  # it stopped answering
    LATE = auto()  # it never answered
    STRANGER = auto()  # its port is somebody else's
    OUTAGE = auto()  # alive, but not connected for long


_COMING = {ChildState.STARTING, ChildState.UNRESPONSIVE, ChildState.BACKOFF, ChildState.STOPPING}
_UNSETTLED = {Phase.ADOPTING, Phase.LOOKING, Phase.SPAWNING, Phase.LEAVING}


@dataclass(slots=True)
class Lifecycle:
    """One child. `on` is the whole interface; the public attributes are for reading."""

    limits: ChildLimits = field(default_factory=ChildLimits)
    pace: Pace = field(default_factory=Pace)
    luck: Callable[[], float] = lambda: 0.5  # draws from 0…1, for the jitter
    name: str = "NAME"  # as the command line takes it

    state: ChildState = ChildState.STOPPED
    reason: str = "It has not been started yet."
    phase: Phase = Phase.ABSENT
    wanted: bool = False
    retry_at: float | None = None  # when it is tried again
    breaker_open: bool = False
    remote: bool = False  # what runs is not ours
    was_ready: bool = False  # what runs, or ran last, has been ready

    _effects: list[moves.Effect] = field(default_factory=list)
    _backoff: Backoff = field(init=False)
    _cause: Cause = Cause.TOLD
    _left_over: bool = True  # something of a former run may be there: nothing starts before that has been adopted
    _stale: bool = False  # what is being looked at or started is of an old configuration
    _evidence: Hashable = None  # what the last look saw
    _refused: Hashable = None  # evidence of a start that failed by its configuration
    _back: str = ""  # how to go back to what ran before, should this start fail
    _not_before: float = 0.0  # no start before this
    _started: float = 0.0
    _ready_since: float | None = None
    _misses: int = 0
    _frozen: int = 0  # glances in a row that saw it stopped
    _probing: bool = False
    _probe_at: float = 0.0
    _outside: float | None = None  # when somebody else last stopped it
    _outside_pauses: Doubling = field(init=False)
    _offline_pauses: Doubling = field(init=False)
    _gpu_pauses: Doubling = field(init=False)
    _gpu_again_at: float = 0.0  # when one that found no GPU is started anew
    _outage: Outage = field(init=False)

    def __post_init__(self) -> None:
        self._backoff = Backoff(self.pace)
        self._outage = Outage(self.pace)
        self._outside_pauses = Doubling(self.pace.outside_first, self.pace.outside_longest)
        self._offline_pauses = Doubling(self.pace.offline_first, self.pace.offline_longest)
        self._gpu_pauses = Doubling(self.pace.gpu_first, self.pace.gpu_longest)

    @property
    def settled(self) -> bool:
        """Nothing is under way that a person who asked for a start would wait for."""
        return self.phase not in _UNSETTLED and self.state is not ChildState.STARTING

    @property
    def verdict(self) -> Verdict:
        """What those who wait for it are to be told."""
        if self.state is ChildState.READY:
            return "ready"
        return "coming" if self.state in _COMING and self.wanted and not self.breaker_open else "down"

    def on(self, event: moves.Event, now: float) -> list[moves.Effect]:
        """Take an event in, and say what to do."""
        self._effects = []
        _ON[type(event)](self, event, now)
        return self._effects

    # --- what people and the configuration say ---

    def _on_begin(self, event: moves.Begin, now: float) -> None:
        self.wanted = True
        self._is(ChildState.STARTING, "Looking for one that a former controller left running.")
        self._look()

    def _on_start(self, event: moves.Start, now: float) -> None:
        self.wanted = True
        self._forgive()
        if self.phase is Phase.ABSENT:
            self._look()
        elif self.phase is Phase.LOOKING:
            self._stale = True  # what is on its way may have been held back by what is now forgiven
        elif self.phase is Phase.LEAVING:
            self._cause = Cause.TOLD

    def _on_stop(self, event: moves.Stop, now: float) -> None:
        self.wanted = False
        if self.phase is Phase.ABSENT:
            self._rest()
        elif self.phase is Phase.RUNNING:
            self._leave(Cause.TOLD, ChildState.STOPPING, "It was told to stop.", self.limits.stop_grace)
        else:
            self._is(ChildState.STOPPING, "It was told to stop.")

    def _on_restart(self, event: moves.Restart, now: float) -> None:
        running = self.phase is Phase.RUNNING
        self._stale = self.phase in (Phase.ADOPTING, Phase.LOOKING, Phase.SPAWNING)
        self._on_start(moves.Start(), now)
        if running:
            self._tell("info", f"Restarting: {event.why}")
            self._leave(Cause.TOLD, ChildState.STOPPING, event.why, self.limits.stop_grace)

    def _on_changed(self, event: moves.Changed, now: float) -> None:
        if self.wanted:
            self._on_restart(moves.Restart(event.why), now)

    def _on_tuned(self, event: moves.Tuned, now: float) -> None:
        self.limits = event.limits
        if self.phase is Phase.RUNNING and not self._probing:
            self._probe()

    # --- from nothing to a process ---

    def _on_adopted_nothing(self, event: moves.NothingToAdopt, now: float) -> None:
        self._stale = self._left_over = False
        if self.wanted:
            self._look()
        else:
            self._rest()

    def _on_looked(self, event: moves.Looked, now: float) -> None:
        self.phase = Phase.ABSENT
        if not self.wanted:
            return self._rest()
        if self._stale:
            return self._look()
        if event.problem is not None:
            return self._blocked(event.problem, now)
        if self._refused is not None and event.evidence == self._refused:
            return self._retry(now + self.pace.look_every)
        self._refused, self._evidence, self._back = None, event.evidence, event.back
        if now < self._not_before:
            return self._retry(self._not_before)
        self.phase = Phase.SPAWNING
        if not (event.remote and self.state is ChildState.OFFLINE):
            self._is(ChildState.STARTING, "It is being started.")
        self.retry_at = None
        self._do(moves.Spawn())

    def _blocked(self, problem: Obstacle, now: float) -> None:
        if (self.state, self.reason) != (problem.state, problem.words):
            self._tell("error", problem.words)
        self._is(problem.state, problem.words)
        self._refused = None
        if problem.state is ChildState.OFFLINE:
            return self._retry(now + self._offline_pauses.next())
        config = problem.state is ChildState.MISCONFIGURED
        self._retry(now + (self.pace.look_every if config else self.pace.conflict_every))

    def _on_spawned(self, event: moves.Spawned, now: float) -> None:
        self.phase, self.remote, self._left_over = Phase.RUNNING, event.remote, False
        self._started = now - min(event.age, self.limits.startup)
        self._misses = self._frozen = 0
        self._ready_since = self.retry_at = None
        self._probing = self.was_ready = False
        self._outage.over()
        if not self.wanted:
            return self._leave(Cause.TOLD, ChildState.STOPPING, "It was told to stop.", self.limits.stop_grace)
        if self._stale or event.stale:
            why = "Its configuration changed meanwhile."
            self._tell("info", f"Restarting: {why}")
            return self._leave(Cause.TOLD, ChildState.STOPPING, why, self.limits.stop_grace)
        if event.adopted:
            self._tell("info", "Taken over, still running, from the controller before this one.")
        if self.state is not ChildState.OFFLINE:
            self._is(ChildState.STARTING, "It runs, and has not answered yet.")
        self._probe()

    def _on_failed(self, event: moves.StartFailed, now: float) -> None:
        self.phase = Phase.ABSENT
        self.was_ready = False
        self._left_over = self._left_over or event.kind == "held"
        if not self.wanted:
            return self._rest()
        if self._stale:
            return self._look()
        if event.kind == "fault":
            return self._refuse(event.words, now)
        if event.kind == "exhausted":
            return self._exhausted(event.words, now)
        self._fell(event.words, now)

    def _exhausted(self, words: str, now: float) -> None:
        """Not the child's failure: tried again soon, and not counted."""
        if self.reason != words:
            self._tell("error", words)
        self._is(ChildState.BACKOFF, words)
        self._retry(now + self.pace.conflict_every)

    # --- while it runs ---

    def _on_answered(self, event: moves.Answered, now: float) -> None:
        if not self._probed(now):
            return
        self._misses = 0
        self._outage.over()
        if self._ready_since is None or self.state is not ChildState.READY:
            self._ready_since = now
        if self.state is not ChildState.READY and not self._frozen:
            self._is(ChildState.READY, "It answers.")
            self._tell("info", "Ready.")
        self.was_ready, self.breaker_open = True, False
        self._offline_pauses.reset()
        if now - self._ready_since >= self.pace.proven:
            self._backoff.prove()
            self._outside_pauses.reset()
            self._gpu_pauses.reset()
        self._probe_again(now + self.limits.probe_every)

    def _on_waiting(self, event: moves.Waiting, now: float) -> None:
        if not self._probed(now):
            return
        self._misses, self._ready_since = 0, None
        if self.state is not ChildState.STARTING or now - self._started > self.pace.settle:
            if self.state is not ChildState.OFFLINE:
                self._tell("warning", event.words)
            self._is(ChildState.OFFLINE, event.words)
        if self._outage.goes_on(now):
            self._do(moves.AskNetwork())
        self._probe_again(
            self._start_cadence(now) if self.state is ChildState.STARTING else now + self.limits.probe_every
        )

    def _on_network(self, event: moves.NetworkIs, now: float) -> None:
        if not self._outage.network_is(event.up, now) or self.phase is not Phase.RUNNING:
            return
        words = "The network is up, yet it did not connect for a long time: it is started afresh."
        self._tell("warning", words)
        self._leave(Cause.OUTAGE, ChildState.OFFLINE, words, self.limits.stop_grace)

    def _on_silent(self, event: moves.Silent, now: float) -> None:
        if not self._probed(now):
            return
        self._misses += 1
        missed_enough = self._misses >= self.limits.probe_misses
        if self.remote:
            return self._remote_silent(event.words, missed_enough, now)
        if self.was_ready or self.state in (ChildState.OFFLINE, ChildState.GPU_LOST):
            if missed_enough:
                words = f"It runs, but does not answer any more ({event.words}): it is stopped and started again."
                return self._kill(Cause.HUNG, words)
            return self._probe_again(now + self.limits.probe_every)
        if now - self._started > self.limits.startup and missed_enough:
            words = f"It did not answer within {self.limits.startup:g} s of its start ({event.words})."
            return self._kill(Cause.LATE, words)
        self._probe_again(self._start_cadence(now))

    def _remote_silent(self, words: str, missed_enough: bool, now: float) -> None:
        if self.was_ready and not missed_enough:
            return self._probe_again(now + self.limits.probe_every)
        words = f"It is out of reach: {words}."
        if self.state is not ChildState.OFFLINE:
            self._tell("warning", words)
        self.phase, self.remote = Phase.ABSENT, False
        self._is(ChildState.OFFLINE, words)
        self._do(moves.LetGo())
        self._retry(now + self.limits.probe_every)

    def _on_gpu_lost(self, event: moves.GpuLost, now: float) -> None:
        """It is left running for a while, since a person may allow it. Then it is started anew, ever more rarely: soon
        after the machine itself, the GPU may not be there yet.
        """
        if not self._probed(now):
            return
        self._misses, self._ready_since = 0, None
        if self.state is not ChildState.GPU_LOST:
            pause = self._gpu_pauses.next()
            self._gpu_again_at = now + pause
            self._tell("error", f"{self._with_way_back(event.words)} It looks again in {span_words(pause)}.")
        self._is(ChildState.GPU_LOST, self._with_way_back(event.words))
        if now < self._gpu_again_at:
            return self._probe_again(min(now + self.limits.probe_every, self._gpu_again_at))
        words = "It is started anew, to look for its GPU again."
        self._tell("info", words)
        self._leave(Cause.TOLD, ChildState.STOPPING, words, self.limits.stop_grace)

    def _on_bereft(self, event: moves.Bereft, now: float) -> None:
        """It ends; the look that follows waits until what it needs is there."""
        if self._probed(now):
            self._tell("error", event.words)
            self._not_before = max(self._not_before, now + self.pace.conflict_every)
            self._leave(Cause.TOLD, ChildState.WAITING, event.words, self.limits.stop_grace)

    def _on_not_asked(self, event: moves.NotAsked, now: float) -> None:
        if self._probed(now):
            self._probe_again(now + self.limits.probe_every)

    def _on_stranger(self, event: moves.Stranger, now: float) -> None:
        if self._probed(now):
            self._tell("error", event.words)
            self._leave(Cause.STRANGER, ChildState.CONFLICT, event.words, grace=0.0)

    def _on_glanced(self, event: moves.Glanced, now: float) -> None:
        if self.phase is not Phase.RUNNING or self.remote:
            return
        self._frozen = self._frozen + 1 if event.frozen else 0
        words = "Somebody has stopped it with a signal (SIGSTOP)"
        if self._frozen >= 2:  # twice in a row: a stop that lasts, not a debugger's blink
            self._kill(Cause.HUNG, f"{words}: it is killed and started again.")
        elif self._frozen:
            self._is(ChildState.UNRESPONSIVE, f"{words}.")
        elif self.state is ChildState.UNRESPONSIVE:
            self._is(ChildState.STARTING, "It goes on, and has not answered yet.")
            if not self._probing:
                self._probe()

    # --- its end ---

    def _on_exited(self, event: moves.Exited, now: float) -> None:
        if self.phase not in (Phase.RUNNING, Phase.LEAVING):
            return
        cause = self._cause if self.phase is Phase.LEAVING else None
        self.phase, self._probing, self._frozen = Phase.ABSENT, False, 0
        if not self.wanted:
            self._tell("info", "Stopped.")
            return self._rest()
        if cause is not None:
            return self._left(cause, now)
        if self._stale:
            return self._look()
        _AFTER[event.diagnosis.kind](self, event.diagnosis, now)

    def _left(self, cause: Cause, now: float) -> None:
        if cause in (Cause.HUNG, Cause.LATE):
            return self._fell(self.reason, now)
        if cause is Cause.STRANGER:
            return self._hold_off(now)
        self._look()

    def _crashed(self, diagnosis: Diagnosis, now: float) -> None:
        self._fell(f"It {diagnosis.words}.", now)

    def _faulted(self, diagnosis: Diagnosis, now: float) -> None:
        self._refuse(f"It {diagnosis.words}.", now)

    def _taken(self, diagnosis: Diagnosis, now: float) -> None:
        words = f"It {diagnosis.words}."
        self._tell("error", words)
        self._is(ChildState.CONFLICT, words)
        self._hold_off(now)

    def _hold_off(self, now: float) -> None:
        """A look will name who has the port; if it sees nobody, the next start still waits as after any failure."""
        pause = self._backoff.failed(now, was_ready=False, luck=self.luck())
        self.breaker_open = pause.degraded
        self._not_before = now + max(pause.seconds, self.pace.conflict_every)
        self._look()

    def _network_away(self, diagnosis: Diagnosis, now: float) -> None:
        words = f"It {diagnosis.words}."
        if self.state is not ChildState.OFFLINE:
            self._tell("warning", words)
        self._is(ChildState.OFFLINE, words)
        self._retry(now + self._offline_pauses.next())

    def _stopped_from_outside(self, diagnosis: Diagnosis, now: float) -> None:
        before, self._outside = self._outside, now
        if before is None or now - before > self.pace.outside_window:
            return self._crashed(diagnosis, now)
        pause = self._outside_pauses.next()
        words = f"It {diagnosis.words}, again. {diagnosis.culprit or 'Some other program on this machine does that.'}"
        self._tell("error", words)
        self._is(ChildState.CONFLICT, words)
        self._outside = now + pause  # the window starts anew with the next start
        self._retry(now + pause)

    def _fell(self, words: str, now: float) -> None:
        """A failure that the backoff counts."""
        pause = self._backoff.failed(now, was_ready=self.was_ready, luck=self.luck())
        self.breaker_open = pause.degraded
        words = self._with_way_back(words)
        if pause.degraded:
            words = f"{words} It fails so often that it is tried only now and then; its log says why."
            self._tell("error", words)
            self._is(ChildState.DEGRADED, words)
        else:
            when = f"in {pause.seconds:.1f} s" if pause.seconds else "at once"
            self._tell("warning", f"{words} It is started again {when}.")
            self._is(ChildState.BACKOFF, words)
        self._not_before = now + pause.seconds
        if pause.seconds:
            return self._retry(self._not_before)
        self._look()

    def _refuse(self, words: str, now: float) -> None:
        self._refused = self._evidence
        words = self._with_way_back(words)
        self._tell("error", words)
        self._is(ChildState.MISCONFIGURED, words)
        self._retry(now + self.pace.look_every)

    def _with_way_back(self, words: str) -> str:
        """A start that has never been ready may fail because it is of another program than the last that was."""
        return words if self.was_ready or not self._back else f"{words} {self._back}"

    # --- time ---

    def _on_tick(self, event: moves.Tick, now: float) -> None:
        if self.phase is Phase.ABSENT and self.wanted:
            if self.retry_at is not None and now < self.retry_at:
                return self._wake(self.retry_at)
            self._look()
        elif self.phase is Phase.RUNNING and not self._probing:
            if now < self._probe_at:
                return self._wake(self._probe_at)
            self._probe()

    def _on_resumed(self, event: moves.Resumed, now: float) -> None:
        """What ran on while nobody looked proves nothing: deadlines move on by the gap, missed probes are forgotten."""
        silence = max(event.gap, event.slept)
        self._tell("info", f"The machine slept, or stood still, for {silence:.0f} s: it is asked afresh.")
        self._started += event.gap
        self._misses = self._frozen = 0
        self._outage.slept(now)
        if self._ready_since is not None:
            self._ready_since = now
        if self.phase is Phase.RUNNING:
            self._probe()

    # --- words of the trade ---

    def _do(self, effect: moves.Effect) -> None:
        self._effects.append(effect)

    def _tell(self, level: Level, text: str) -> None:
        self._do(moves.Tell(level, text))

    def _is(self, state: ChildState, reason: str) -> None:
        self.state, self.reason = state, reason

    def _wake(self, at: float) -> None:
        self._do(moves.Wake(at))

    def _retry(self, at: float) -> None:
        self.retry_at = at
        self._wake(at)

    def _rest(self) -> None:
        self.phase, self.retry_at = Phase.ABSENT, None
        self._stale = False
        self._is(ChildState.STOPPED, f"It was told to stop. `seadragon start {self.name}` starts it again.")

    def _forgive(self) -> None:
        self._backoff.forgive()
        self.breaker_open = False
        self._refused = self._outside = self.retry_at = None
        self._outage.forgive()
        self._not_before = 0.0
        self._outside_pauses.reset()
        self._offline_pauses.reset()
        self._gpu_pauses.reset()

    def _look(self) -> None:
        self._stale, self.retry_at = False, None
        if self.state in (ChildState.STOPPED, ChildState.STOPPING):
            self._is(ChildState.STARTING, "It is being started.")
        self.phase = Phase.ADOPTING if self._left_over else Phase.LOOKING
        self._do(moves.Adopt() if self._left_over else moves.Look())

    def _probe(self) -> None:
        self._probing = True
        self._do(moves.Probe())

    def _probed(self, now: float) -> bool:
        """Take note that a probe is back; False if what it says is of no use any more."""
        self._probing = False
        return self.phase is Phase.RUNNING

    def _probe_again(self, at: float) -> None:
        self._probe_at = at
        self._wake(at)

    def _start_cadence(self, now: float) -> float:
        age = now - self._started
        if age < self.pace.start_probe_phase:
            return now + self.pace.start_probe_fast
        return now + min(self.pace.start_probe_slow, max(self.pace.start_probe_fast, age / 20))

    def _leave(self, cause: Cause, state: ChildState, reason: str, grace: float) -> None:
        self._is(state, reason)
        if self.remote:
            self.phase, self.remote = Phase.ABSENT, False
            self._do(moves.LetGo())
            return self._look() if self.wanted else self._rest()
        self.phase, self._cause = Phase.LEAVING, cause
        self._do(moves.Terminate(grace))

    def _kill(self, cause: Cause, words: str) -> None:
        self._tell("error", words)
        self._leave(cause, ChildState.UNRESPONSIVE, words, grace=0.0)


_ON: dict[type, Callable[..., None]] = {
    moves.Begin: Lifecycle._on_begin,
    moves.Start: Lifecycle._on_start,
    moves.Stop: Lifecycle._on_stop,
    moves.Restart: Lifecycle._on_restart,
    moves.Changed: Lifecycle._on_changed,
    moves.Tuned: Lifecycle._on_tuned,
    moves.NothingToAdopt: Lifecycle._on_adopted_nothing,
    moves.Looked: Lifecycle._on_looked,
    moves.Spawned: Lifecycle._on_spawned,
    moves.StartFailed: Lifecycle._on_failed,
    moves.Answered: Lifecycle._on_answered,
    moves.Waiting: Lifecycle._on_waiting,
    moves.Silent: Lifecycle._on_silent,
    moves.GpuLost: Lifecycle._on_gpu_lost,
    moves.Bereft: Lifecycle._on_bereft,
    moves.Stranger: Lifecycle._on_stranger,
    moves.NotAsked: Lifecycle._on_not_asked,
    moves.Glanced: Lifecycle._on_glanced,
    moves.Exited: Lifecycle._on_exited,
    moves.NetworkIs: Lifecycle._on_network,
    moves.Resumed: Lifecycle._on_resumed,
    moves.Tick: Lifecycle._on_tick,
}

_AFTER: dict[ExitKind, Callable[[Lifecycle, Diagnosis, float], None]] = {
    ExitKind.CRASH: Lifecycle._crashed,
    ExitKind.FAULT: Lifecycle._faulted,
    ExitKind.TAKEN: Lifecycle._taken,
    ExitKind.NETWORK: Lifecycle._network_away,
    ExitKind.OUTSIDE: Lifecycle._stopped_from_outside,
}
