"""What the doctor has before him, and what he says: facts about the machine, findings. Values only."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Literal

from psutil import Process

from controller.config.schema import Config
from controller.doctor.findings_mac import Mac
from controller.engines.engine import Accelerator
from controller.residency.memory import Reading

Verdict = Literal["ok", "warn", "fail"]

A_DAY: Final = 86400.0
_COLOURS: dict[Verdict, str] = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    name: str
    verdict: Verdict
    words: str  # one plain sentence
    remedy: str = ""  # what to do; empty when nothing needs to be done

    @property
    def colour(self) -> str:
        """For a terminal."""
        return _COLOURS[self.verdict]

    def to_json(self) -> dict[str, object]:
        """As `seadragon doctor --json` prints it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Folder:
    """One of our folders, and the files in it that others could read."""

    name: str
    path: Path
    there: bool
    mode: int = 0o700
    writable: bool = True
    free: int = 0  # bytes
    open_files: tuple[str, ...] = ()  # files in it that others may read or write
    owner: str = ""  # a name, or a number where there is none
    foreign: tuple[str, ...] = ()  # what in it belongs to others than the folder itself


@dataclass(frozen=True, slots=True)
class ListenerSeen:
    """One listener of the configuration."""

    address: str
    state: Literal["ours", "free", "taken", "refused"]
    holder: str = ""  # who has it, or why it cannot be had


@dataclass(frozen=True, slots=True)
class Stored:
    """The database, as a look into it found it."""

    path: Path
    size: int = 0  # bytes
    fault: str = ""  # why it could not be looked into, or must not be used as it is; the rest is unknown then
    remedy: str = ""
    damage: str = ""  # in SQLite's words
    behind: int = 0  # migrations it still has to go through
    copy: Path | None = None  # the newest


@dataclass(frozen=True, slots=True)
class PublicAnswer:
    """What a public name of ours said to somebody without a key."""

    base: str
    route: str
    status: int | None = None  # None: no answer
    fault: str = ""  # why there was none
    skew: float = 0.0  # seconds by which our clock is ahead of theirs


@dataclass(frozen=True, slots=True)
class CertificateSeen:
    """The certificate of a listener, or why it will not do."""

    address: str
    ends: float = 0.0  # seconds since the epoch
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Secret:
    """A file with a secret in it, and what is wrong with it."""

    path: Path
    fault: str  # why it may not hold a secret; empty when it may
    size: int = 0  # bytes


@dataclass(frozen=True, slots=True)
class Dated:
    """Things of one kind that bear a date to come."""

    kind: str
    count: int
    last: float  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class EngineSeen:
    """What was seen of one engine, and what it makes of that."""

    title: str  # what people call it
    examine: Callable[[Facts], list[Finding]]  # every finding about it, in its order
    examine_mac: Callable[[Facts, Mac], list[Finding]]  # those that only a Mac can give
    make_room: str  # how to delete a model, in words
    in_place: Callable[[Process], int] = lambda process: 0  # bytes of files that one uses without a copy of its own
    elsewhere: bool = False  # it runs on another machine, which holds its models
    sizes: Mapping[str, int] = field(default_factory=dict)  # bytes of each installed model, by name
    accelerator: Accelerator | None = None  # what it found to work with, if it ran and said so
    folders: tuple[Path, ...] = ()  # those that it reads and that are none of ours


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the checks go by."""

    now: float  # seconds since the epoch
    installed_at: float  # the same, of the newest of our own files
    platform: str  # sys.platform
    python: tuple[int, ...]
    config: Config  # what the YAML says, or the defaults when it cannot be read
    config_problems: tuple[str, ...]
    config_warnings: tuple[str, ...]
    folders: tuple[Folder, ...]
    running: dict[str, object] | None  # what the running controller says of itself
    unheard: str  # why one that seems to run does not say anything, else empty
    engines: tuple[EngineSeen, ...]
    listeners: tuple[ListenerSeen, ...]
    cloudflared: Path | None
    files_limit: int
    memory: Reading  # with the footprints of our own processes
    cloudflared_fault: str = ""  # why one that is there cannot be run
    rights: tuple[str, ...] = ()  # what is the matter with who is kept out
    database: Stored | None = None  # None before the first start
    asked: tuple[PublicAnswer, ...] = ()  # our public names
    certificates: tuple[CertificateSeen, ...] = ()
    secrets: tuple[Secret, ...] = ()
    dated: tuple[Dated, ...] = ()  # what bears a date to come
    mac: Mac | None = None  # None elsewhere
    admins: int | None = None  # who may sign in and is one; None when that cannot be told

    def child(self, name: str) -> dict[str, object] | None:
        """The status of one of our children, as the running controller tells it."""
        children = self.running.get("children") if self.running else None
        seen = children.get(name) if isinstance(children, dict) else None
        return seen if isinstance(seen, dict) else None


def quoted(paths: Iterable[object]) -> str:
    """As a shell takes them: a folder may have a space in its name."""
    return " ".join(shlex.quote(str(path)) for path in paths)
