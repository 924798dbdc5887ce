"""What is particular to a kind of child, as its supervisor sees it; and what all kinds share."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from controller.obtain import find_program
from controller.obtain.find import Fault, fault_of, unrunnable
from controller.readiness import Verdict
from controller.supervision import ports, tree
from controller.supervision.child import Exit
from controller.supervision.moves import ChildLimits, Diagnosis, ExitKind, Obstacle, Probed, Silent, Stranger
from controller.supervision.spec import ChildSpec, ChildState

Note = Mapping[str, object]
"""Facts of one start that must outlive the controller; the keeper keeps them. JSON values."""
Back = Callable[[str, str, bool], str]
"""For a former version, its program, and whether that still lies there: how to have it again, to end a sentence."""

INHERITED = ("HOME", "PATH", "TMPDIR", "LANG", "USER", "LOGNAME")
"""All a child gets of our own environment. No proxies: they would send its loopback traffic out of the house."""
LOOKS = 3  # at who listens, before it is said that it is a stranger
BETWEEN_LOOKS = 0.1  # seconds; much longer than a fork takes to become another program


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where children live: our folders, and the environment that the controller was started with."""

    data: Path
    logs: Path
    environment: Mapping[str, str]
    log_file_size: int = 32 * 2**20
    log_files: int = 5

    @property
    def home(self) -> Path:
        """Where each child has its folder."""
        return self.data / "run"

    def log(self, name: str) -> str:
        """The file a child's output goes to."""
        return str(self.logs / f"{name}.log")

    def variables(self, *further: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """The whole environment of a child; of `further`, the last one wins."""
        merged = {name: self.environment[name] for name in INHERITED if name in self.environment}
        for each in further:
            merged |= each
        return tuple(sorted(merged.items()))


@dataclass(frozen=True, slots=True)
class Launch:
    """What a start would start."""

    spec: ChildSpec
    note: Note
    evidence: Hashable = None  # equal as long as nothing that the start stands on has changed
    back: Back | None = None  # of a program that is upgraded on the disk: how to have the former one again


@dataclass(frozen=True, slots=True)
class Attach:
    """Nothing to start: somebody else's process will do."""

    note: Note


Plan = Launch | Attach | Obstacle


@dataclass(frozen=True, slots=True)
class Runs:
    """What runs now: its note, and its pid if it is ours."""

    note: Note
    pid: int | None
    tail: Callable[[], Awaitable[bytes]] | None = None  # the newest of its output, if it is ours


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What a probe brought: the verdict, facts for the status (version, connections …), and what of this process has
    to be known to later controllers too.
    """

    verdict: Probed
    facts: Mapping[str, object] = field(default_factory=dict)
    note: Note = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A child that has ended, for whoever must make sense of it."""

    exit: Exit
    lived: float  # seconds
    was_ready: bool
    tail: bytes  # its last output


class Program(Protocol):
    """One kind of child."""

    @property
    def name(self) -> str:
        """The child's name."""
        ...

    @property
    def limits(self) -> ChildLimits:
        """What the configuration says about patience with it."""
        ...

    async def plan(self) -> Plan:
        """What to start now, or why not. Cheap: asked every second while something stands in the way. Raises OSError
        when the system does not let us look.
        """
        ...

    def spec(self, note: Note) -> ChildSpec | None:
        """What a child with this note would be started as today; None when it would not be started at all."""
        ...

    async def probe(self, runs: Runs) -> ProbeResult:
        """How it is. Raises nothing for what the child does; OSError when we could not ask."""
        ...

    async def diagnose(self, ended: EndedRun) -> Diagnosis:
        """What its end means. Raises OSError when the system does not let us look."""
        ...

    async def network(self) -> bool:
        """Whether the network is demonstrably up. Raises OSError when we could not ask."""
        ...

    def url(self, note: Note) -> str | None:
        """Where it is to be found."""
        ...

    def tell(self, verdict: Verdict, reason: str, note: Note) -> None:
        """Pass on how it is to those who wait for it."""
        ...


# --- what the kinds share ---------------------------------------------------------------------------------------------


def find(name: str, configured: Path | None, place: Workspace) -> Path | None:
    """The program `name`. A configured one is taken at its word, so that what is wrong with it can be told."""
    return configured.expanduser() if configured else find_program(name, None, place.environment)


def blocked(name: str, configured: Path | None, place: Workspace) -> Path | None:
    """One that would be found if it could be run."""
    return None if configured else unrunnable(name, place.environment)


def unfit(program: Path, setting: str) -> Obstacle | None:
    """Why this file cannot be started, if so."""
    fault = fault_of(program)
    return None if fault is None else Obstacle(ChildState.MISCONFIGURED, unfit_words(program, fault, setting))


def unfit_words(program: Path, fault: Fault, setting: str) -> str:
    """What a fault of a program means, and what to do."""
    words: dict[Fault, str] = {
        "missing": f"There is no program at {program}: install it there",
        "dangling": f"{program} is a link to {_target(program)}, which is not there: install it again",
        "shut": f"{program} is in a folder that this user may not enter: let it in (chmod +x on the folders)",
        "no_file": f"{program} is a folder, not a program",
        "not_executable": f"{program} may not be executed: run `chmod +x {shlex.quote(str(program))}`",
    }
    return f"{words[fault]}{':' if fault == 'no_file' else ', or'} correct {setting}."


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:  # no link any more
        return "nothing"


def stamp(*paths: Path | None) -> Hashable:
    """Changes whenever one of these files does."""
    return tuple(_stamp(path) for path in paths)


def _stamp(path: Path | None) -> Hashable:
    try:
        found = None if path is None else path.stat()
    except OSError:
        return str(path), None
    return (str(path), found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode) if found else None


def which_file(program: Path) -> list[object] | None:
    """Which file this is, links followed, for a note (JSON): its path, inode, time in ns and size. None: it is away."""
    try:
        real = os.path.realpath(program)
        found = os.stat(real)
    except (OSError, ValueError):
        return None
    return [real, found.st_ino, found.st_mtime_ns, found.st_size]


def carried(former: Note, note: Note) -> Note:
    """What the run that begins has to know of the one before: which program last worked, unless it is this one."""
    if "version" in former and former.get("made_of") != note.get("made_of"):
        made_of = former.get("made_of")
        return {"before": {"version": former["version"], "program": made_of[0] if isinstance(made_of, list) else ""}}
    if "version" not in former and "before" in former:
        return {"before": former["before"]}
    return {}


def way_back(note: Note, back: Back | None) -> str:
    """What to add when a start with this note fails that was to follow another program; else empty."""
    before = note.get("before")
    if back is None or not isinstance(before, dict):
        return ""
    version, program = str(before.get("version")), str(before.get("program"))
    return f"Before it ran another program. To go back: {back(version, program, os.path.exists(program))}"


async def port_problem(port: int, setting: str) -> Obstacle | None:
    """Who has the port that is configured for a child, if anybody."""
    if not await ports.taken(port):
        return None
    whose = _whose(await asyncio.to_thread(ports.holders, port))
    words = f"Port {port} {whose}: quit that program, or choose another port ({setting})."
    return Obstacle(ChildState.CONFLICT, words)


async def not_ours(port: int, pid: int) -> Silent | Stranger | None:
    """None when our child, and nobody else, listens on `port`. Not a byte is sent to find out.

    That costs everybody who waits their place, so it is looked at again before it is said: the system tells sockets
    and processes one after the other, and between the two a socket is opened, or a process forks with it.
    """
    if not await ports.accepts(port):
        return Silent("it does not listen yet")
    for last in range(LOOKS, 0, -1):
        listening = await asyncio.to_thread(ports.holders, port)
        ours = await asyncio.to_thread(tree.members, pid)
        strangers = [each for each in listening if each.pid not in ours]
        if listening and not strangers:
            return None
        if last > 1:
            await asyncio.sleep(BETWEEN_LOOKS)
    return Stranger(f"Port {port} {_whose(strangers)}: nothing is sent there. Quit that program.")


def _whose(holders: Sequence[ports.PortHolder]) -> str:
    return f"belongs to {holders[0].words if holders else 'a program that cannot be seen from here'}"


def port_of(note: Note, key: str = "port") -> int | None:
    """The port a note names."""
    port = note.get(key)
    return port if isinstance(port, int) else None


def last_words(tail: bytes) -> str:
    """The last thing it said, for a sentence; of a JSON log line its message."""
    said = [line.strip() for line in tail.decode(errors="replace").splitlines() if line.strip()]
    return _message(said[-1])[:300] if said else ""


def _message(line: str) -> str:
    try:
        return str(json.loads(line)["message"])
    except (ValueError, KeyError, TypeError):
        return line


OUTSIDE_SIGNALS = (15, 2)
_SIGNAL_WORDS = {
    9: "; nobody here did that: the system does it when memory runs out",
    13: "; it lost the reader of its log",
}


def crash(ended: EndedRun) -> Diagnosis:
    """An end that nothing particular explains."""
    hint = _SIGNAL_WORDS.get(ended.exit.signal or 0, "") if not ended.exit.asked else ""
    return Diagnosis(ExitKind.CRASH, with_last_words(ended.exit.words, ended.tail if ended.exit.code else b"") + hint)


def with_last_words(words: str, tail: bytes) -> str:
    """`words`, and what it said last."""
    said = last_words(tail)
    return f'{words} ("{said}")' if said else words


def stopped_outside(ended: EndedRun) -> bool:
    """Whether somebody but us asked it to leave: TERM or INT, which well-mannered programs turn into exit code 0."""
    return not ended.exit.asked and (ended.exit.signal in OUTSIDE_SIGNALS or ended.exit.code == 0)
