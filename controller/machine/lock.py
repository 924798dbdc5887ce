"""One controller a data folder: an advisory lock that the kernel drops when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from controller.errors import AlreadyRunning
from controller.machine.socketpath import private_folder

NAME = "controller.machine.lock"
ASKING = 0.2  # seconds that those who only ask for the holder may be in the way: they hold a shared lock for a moment
LOOK = 0.01  # seconds between two tries, since a lock cannot be awaited with a limit


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds the lock, as it wrote of itself."""

    pid: int
    started_at: float  # seconds since the epoch


def holder(data: Path) -> LockHolder | None:
    """Who holds the lock on this data folder now; None when nobody does."""
    try:
        descriptor = os.open(data / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor)
    finally:
        os.close(descriptor)
    return None


class Lock:
    """The lock, for as long as it is held."""

    def __init__(self, data: Path, started_at: float) -> None:
        """Raises AlreadyRunning."""
        self._data, self._started_at = data, started_at
        self._descriptor = self._take()

    def keep(self) -> bool:
        """Make sure that the file everybody asks is the one that is held: a deleted one is made anew. Whether it had to
        be. Raises AlreadyRunning when another controller was faster, and OSError.
        """
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(self._data / NAME), os.fstat(self._descriptor)):
                return False
        private_folder(self._data)
        before, self._descriptor = self._descriptor, self._take()
        os.close(before)
        return True

    def _take(self) -> int:
        descriptor = os.open(self._data / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _taken(descriptor):
                who = _read(descriptor)
                told = f"process {who.pid}" if who else "another process"
                raise AlreadyRunning(
                    f"Seadragon already runs on {self._data} ({told}). "
                    "`seadragon status` shows it, `seadragon down` stops it; `--data` names another folder."
                )
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "started_at": self._started_at}).encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def leave(self) -> None:
        """Hold it no longer. The file stays: unlinking it would let two controllers hold two files of one name."""
        os.close(self._descriptor)


@contextlib.contextmanager
def held(data: Path, started_at: float) -> Iterator[Lock]:
    """Hold the lock for as long as the block lasts. `started_at`: seconds since the epoch. Raises AlreadyRunning."""
    found = Lock(data, started_at)
    try:
        yield found
    finally:
        found.leave()


def _taken(descriptor: int) -> bool:
    deadline = time.monotonic() + ASKING
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
        time.sleep(LOOK)


def _read(descriptor: int) -> LockHolder | None:
    try:
        facts = json.loads(os.pread(descriptor, 4096, 0))
        return LockHolder(int(facts["pid"]), float(facts["started_at"]))
    except (ValueError, KeyError, TypeError):
        return None  # it is just being written
