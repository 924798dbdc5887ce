"""What the doctor has before him, and what he says: facts about the machine, findings. Values only."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Literal

from controller.config.schema import Config
from controller.doctor.findings_mac import Mac
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
class Serving:
    """An `ollama serve` that runs on this machine and is not ours."""

    pid: int
    user: str
    ports: tuple[int, ...]  # empty when the system does not tell us
    app: bool = False  # started by the desktop app


@dataclass(frozen=True, slots=True)
class Door:
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
class Asked:
    """What a public name of ours said to somebody without a key."""

    base: str
    route: str
    status: int | None = None  # None: no answer
    fault: str = ""  # why there was none
    skew: float = 0.0  # seconds by which our clock is ahead of theirs


@dataclass(frozen=True, slots=True)
class Shown:
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
    ollama: Path | None
    ollama_version: tuple[int, ...] | None
    others: tuple[Serving, ...]
    models_folder: Path
    models: int | None  # how many are installed; None when the folder cannot be read
    doors: tuple[Door, ...]
    exposed: tuple[str, ...]  # addresses beyond loopback where an Ollama answers
    origins: str  # OLLAMA_ORIGINS as Ollama gets it
    cloudflared: Path | None
    files_limit: int
    memory: Reading  # with the footprints of our own processes
    unrunnable: Mapping[str, str] = field(default_factory=dict)  # why a program that is there cannot be run, by name
    ollama_lacks: tuple[str, ...] = ()  # programs that belong beside it and are not there
    sizes: Mapping[str, int] = field(default_factory=dict)  # bytes of each installed model, by name
    models_away: str = ""  # why their folder cannot be used
    left_over: int = 0  # bytes in the models folder that no model needs
    rights: tuple[str, ...] = ()  # what is the matter with who is kept out
    database: Stored | None = None  # None before the first start
    asked: tuple[Asked, ...] = ()  # our public names
    certificates: tuple[Shown, ...] = ()
    secrets: tuple[Secret, ...] = ()
    dated: tuple[Dated, ...] = ()  # what bears a date to come
    mac: Mac | None = None  # None elsewhere
    admins: int | None = None  # who may sign in and is one; None when that cannot be told


def quoted(paths: Iterable[object]) -> str:
    """As a shell takes them: a folder may have a space in its name."""
    return " ".join(shlex.quote(str(path)) for path in paths)
