"""Any further child that the YAML names: a command, perhaps with a URL that says when it is ready."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from controller.config.processes import ChildSettings
from controller.errors import Unreachable
from controller.readiness import Verdict
from controller.supervision.moves import Answered, ChildLimits, Diagnosis, ExitKind, Silent
from controller.supervision.probe import ask
from controller.supervision.programs import (
    EndedRun,
    Launch,
    Note,
    Plan,
    ProbeResult,
    Runs,
    Workspace,
    crash,
    stamp,
    stopped_outside,
    unfit,
)
from controller.supervision.spec import ChildSpec


@dataclass(frozen=True, slots=True)
class Further:
    """The child `name` as `wish` has it."""

    name: str
    wish: ChildSettings
    place: Workspace

    @property
    def limits(self) -> ChildLimits:
        return ChildLimits(startup=self.wish.startup, stop_grace=self.wish.stop_grace)

    async def plan(self) -> Plan:
        program = self._program()
        if problem := unfit(program, f"server.children.{self.name}.command"):
            return problem
        return Launch(self._spec(), {}, stamp(program))

    def spec(self, note: Note) -> ChildSpec | None:
        return self._spec()

    def _program(self) -> Path:
        """Where the command's first word is; if it is nowhere, where it would be."""
        environment = dict(self.place.variables(self.wish.environment))
        word = os.path.expanduser(self.wish.command[0])
        if os.sep in word:
            return Path(self._folder(), word)
        path = environment.get("PATH", os.defpath)
        return Path(shutil.which(word, path=path) or shutil.which(word, mode=os.F_OK, path=path) or word)

    def _folder(self) -> Path:
        return self.wish.folder.expanduser() if self.wish.folder else self.place.data

    def _spec(self) -> ChildSpec:
        return ChildSpec(
            name=self.name,
            argv=(str(self._program()), *self.wish.command[1:]),
            environment=self.place.variables(self.wish.environment),
            folder=str(self._folder()),
            stop_grace=self.wish.stop_grace,
            files=self.wish.files,
            log_file=self.place.log(self.name),
            log_file_size=self.place.log_file_size,
            log_files=self.place.log_files,
        )

    async def probe(self, runs: Runs) -> ProbeResult:
        if self.wish.probe is None:
            return ProbeResult(Answered())
        try:
            reply = await ask(self.wish.probe, self.limits.probe_limit)
        except Unreachable as problem:
            return ProbeResult(Silent(str(problem)))
        return ProbeResult(Answered() if reply.status == 200 else Silent(f"{self.wish.probe} says {reply.status}"))

    async def diagnose(self, ended: EndedRun) -> Diagnosis:
        if stopped_outside(ended) and ended.exit.signal is not None:
            return Diagnosis(ExitKind.OUTSIDE, "was told to leave by another program")
        return crash(ended)

    async def network(self) -> bool:
        return True

    def url(self, note: Note) -> str | None:
        return self.wish.probe

    def tell(self, verdict: Verdict, reason: str, note: Note) -> None:
        """Nobody waits for it."""
