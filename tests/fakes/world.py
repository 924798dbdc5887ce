"""A made-up world for the pure lifecycle: carries its effects out on a wound clock, as healthy or ill as it is told."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from controller.supervision import moves
from controller.supervision.lifecycle import Lifecycle, Phase
from controller.supervision.moves import Diagnosis, ExitKind
from controller.supervision.spec import ChildState

CRASH = Diagnosis(ExitKind.CRASH, "left with exit code 1")
TOLD = Diagnosis(ExitKind.CRASH, "left with exit code 0")


@dataclass
class World:
    """`problem`, `dies_after`, `probe` … say how the world is now; `play` lets time pass."""

    life: Lifecycle
    now: float = 1000.0
    problem: moves.Obstacle | None = None
    evidence: Hashable = "as it was"
    remote: bool = False
    probe: moves.Probed | moves.NotAsked = field(default_factory=moves.Answered)
    dies_after: float | None = None  # seconds after its start
    diagnosis: Diagnosis = CRASH
    network: bool = True
    running: bool = False
    spawns: list[float] = field(default_factory=list)
    said: list[moves.Tell] = field(default_factory=list)
    states: list[ChildState] = field(default_factory=list)
    wake_at: float | None = None
    started: float = 0.0

    def feed(self, event: moves.Event) -> None:
        """One event, and everything that follows at the same moment."""
        waiting = [event]
        while waiting:
            effects = self.life.on(waiting.pop(0), self.now)
            if not self.states or self.states[-1] is not self.life.state:
                self.states.append(self.life.state)
            for effect in effects:
                waiting.extend(self._carry_out(effect))

    def _carry_out(self, effect: moves.Effect) -> list[moves.Event]:
        match effect:
            case moves.Adopt():
                return [moves.NothingToAdopt()]
            case moves.Look():
                return [moves.Looked(self.problem, self.remote, self.evidence)]
            case moves.Spawn():
                self.spawns.append(self.now)
                self.running, self.started = not self.remote, self.now
                return [moves.Spawned(remote=self.remote)]
            case moves.Probe():
                return [self.probe]
            case moves.Terminate():
                self.running = False
                return [moves.Exited(TOLD)]
            case moves.AskNetwork():
                return [moves.NetworkIs(self.network)]
            case moves.Wake(at):
                self.wake_at = at
            case moves.Tell():
                self.said.append(effect)
        return []

    def play(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while (moment := self._next()) is not None and moment <= end:
            self.now = max(self.now, moment)
            if self._dies_at() == moment:
                self.running = False
                self.feed(moves.Exited(self.diagnosis))
            else:
                self.wake_at = None
                self.feed(moves.Tick())
        self.now = end

    def _dies_at(self) -> float | None:
        if self.running and self.dies_after is not None and self.life.phase is Phase.RUNNING:
            return max(self.now, self.started + self.dies_after)
        return None

    def _next(self) -> float | None:
        return min((at for at in (self._dies_at(), self.wake_at) if at is not None), default=None)


def begun(life: Lifecycle | None = None, **circumstances: object) -> World:
    """A world in which the child has been begun."""
    world = World(life or Lifecycle())
    for name, value in circumstances.items():
        setattr(world, name, value)
    world.feed(moves.Begin())
    return world
