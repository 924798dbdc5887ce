"""Children that exist in memory only, and a program to go with them: for the supervisor's loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from controller.errors import SpawnFailed, Unreachable
from controller.readiness import Readiness, Verdict
from controller.supervision import moves
from controller.supervision.child import Exit
from controller.supervision.identity import ProcessIdentity
from controller.supervision.programs import EndedRun, Launch, Note, Plan, ProbeResult, Runs
from controller.supervision.spec import ChildSpec

NO_PID = 2**22 - 1  # above what this machine gives out: nothing real is looked at


@dataclass
class FakeChild:
    """Runs until `die` or `stop`."""

    pid: int
    identity: str
    note: dict[str, object]
    keeper_pid: int = NO_PID
    age: float = 0.0
    adopted: bool = False
    dropped: int = 0
    released: bool = False
    stops: list[float | None] = field(default_factory=list)
    leases: list[float] = field(default_factory=list)
    refused: OSError | None = None  # what stopping it raises, once
    _end: asyncio.Future[Exit] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    async def wait(self) -> Exit:
        return await asyncio.shield(self._end)

    def get_lost(self) -> None:
        """What is left of it cannot be killed."""
        self._end.set_exception(Unreachable("pid 1 still runs and cannot be killed"))

    def die(self, code: int | None = None, signal: int | None = None, *, asked: bool = False) -> None:
        if not self._end.done():
            self._end.set_result(Exit(code=code, signal=signal, asked=asked))

    async def stop(self, grace: float | None = None) -> Exit:
        self.stops.append(grace)
        if self.refused is not None:
            refused, self.refused = self.refused, None
            raise refused
        self.die(0, asked=True)
        return await self.wait()

    async def tail(self, size: int = 65536) -> bytes:
        return b"its last words\n"

    def descendants(self) -> list[ProcessIdentity]:
        return []

    async def annotate(self, **note: object) -> None:
        self.note |= note

    async def lease(self, adopt_grace: float) -> None:
        self.leases.append(adopt_grace)

    async def release(self) -> None:
        self.released = True

    @property
    def alive(self) -> bool:
        return not self._end.done()


@dataclass
class FakeChildren:
    """Stands in for `child.launch` and `child.adopt`."""

    left: FakeChild | None = None  # by a former controller
    held: bool = False  # what a former controller left neither answers nor dies
    fails: list[Exception] = field(default_factory=list)  # what the next launches raise
    refused: OSError | None = None  # what looking for a child that is left raises
    all: list[FakeChild] = field(default_factory=list)

    async def launch(
        self, spec: ChildSpec, home: Path, /, *, note: Mapping[str, object], adopt_grace: float
    ) -> FakeChild:
        assert not any(each.alive for each in self.all), "a second one beside the first"
        if self.fails:
            raise self.fails.pop(0)
        child = FakeChild(NO_PID - len(self.all), spec.identity, dict(note))
        self.all.append(child)
        return child

    async def adopt(self, name: str, home: Path) -> FakeChild | None:
        if self.refused is not None:
            raise self.refused
        if self.held:
            raise SpawnFailed("The lock is still held by what ran before.", "held")
        if self.left is not None:
            self.left.adopted = True
            self.all.append(self.left)
        return self.left


@dataclass
class FakeProgram:
    """Answers as it is told to."""

    name: str = "ollama"
    limits: moves.ChildLimits = field(default_factory=moves.ChildLimits)
    argument: str = "serve"
    planned: Plan | None = None  # instead of a launch
    verdict: moves.Probed = field(default_factory=moves.Answered)
    diagnosis: moves.Diagnosis | None = None
    readiness: Readiness = field(default_factory=lambda: Readiness("Ollama"))
    refused: OSError | None = None  # what looking at anything raises
    ended: list[EndedRun] = field(default_factory=list)  # what it was asked to make sense of

    def _look(self) -> None:
        if self.refused is not None:
            raise self.refused

    def _spec(self) -> ChildSpec:
        return ChildSpec(self.name, ("/bin/fake", self.argument), (), "/", 1.0)

    async def plan(self) -> Plan:
        self._look()
        return self.planned or Launch(self._spec(), {"port": 4242})

    def spec(self, note: Note) -> ChildSpec | None:
        return self._spec()

    async def probe(self, runs: Runs) -> ProbeResult:
        self._look()
        return ProbeResult(self.verdict, {"version": "0.24.0"})

    async def diagnose(self, ended: EndedRun) -> moves.Diagnosis:
        self._look()
        self.ended.append(ended)
        return self.diagnosis or moves.Diagnosis(moves.ExitKind.CRASH, ended.exit.words)

    async def network(self) -> bool:
        return True

    def url(self, note: Note) -> str | None:
        return f"http://127.0.0.1:{note['port']}" if "port" in note else None

    def tell(self, verdict: Verdict, reason: str, note: Note) -> None:
        self.readiness.set(verdict, reason)
