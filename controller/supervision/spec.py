"""What a child is: how to start it, how it is doing. Values only."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum


class ChildState(StrEnum):
    """How a child is doing. The words are part of `seadragon status --json`."""

    STOPPED = "stopped"  # not running, and not meant to
    STARTING = "starting"  # runs, has not answered its probe yet
    READY = "ready"  # answers its probe
    UNRESPONSIVE = "unresponsive"  # runs, and misses its probes
    BACKOFF = "backoff"  # died; starts again after a pause
    DEGRADED = "degraded"  # fails so often that it is tried only now and then
    MISCONFIGURED = "misconfigured"  # cannot start until something is put right: told, not looped
    CONFLICT = "conflict"  # somebody else has its port, or keeps stopping it
    OFFLINE = "offline"  # runs or retries, but the network (or the other machine) is away
    WAITING = "waiting"  # for something that it needs and that may come by itself, such as a disk
    GPU_LOST = "gpu lost"  # it answers, and found no GPU where there has to be one: nothing is asked of it
    STOPPING = "stopping"  # asked to leave


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to start one child. Two equal specs are one and the same process; a difference means a restart."""

    name: str
    argv: tuple[str, ...]  # argv[0] is an absolute path
    environment: tuple[tuple[str, str], ...]  # complete: nothing is inherited; sorted by name
    folder: str
    stop_grace: float  # seconds between TERM and KILL
    files: int = 65536  # RLIMIT_NOFILE
    log_file: str = ""
    log_file_size: int = 32 * 2**20
    log_files: int = 5

    @property
    def identity(self) -> str:
        """Hash of what would need a restart when changed: program, arguments, environment, folder, open files."""
        facts = [self.name, self.argv, self.environment, self.folder, self.files]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]

    def to_json(self) -> dict[str, object]:
        """The spec as the keeper reads it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """How one child is doing now, for `status`, the page and the metrics."""

    name: str
    state: ChildState
    reason: str  # one plain sentence: why it is in this state, and what to do when a person must act
    since: float  # seconds since the epoch
    pid: int | None = None
    keeper_pid: int | None = None
    url: str | None = None
    restarts: int = 0  # survives adoption
    retry_in: float | None = None  # seconds until the next attempt
    memory: int | None = None  # bytes of the whole tree
    adopted: bool = False
    facts: dict[str, object] = field(default_factory=dict)  # version, connections, last exit, …

    def to_json(self) -> dict[str, object]:
        """The status as `seadragon status --json` prints it."""
        return {**asdict(self), "state": str(self.state)}
