"""A child's log on disk: rotated by size, and never a reason to stop reading the child.

Whatever the disk does (full, failing, its folder deleted), `write` returns; the bytes that did not arrive are counted,
and told in the log itself once it can be written again. Stdlib only: the keeper lives on it.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from controller.supervision.sieve import dropped_line


class LogFile:
    """`path`, `path.1`, … at most `files` of them, each about `size` bytes, readable by the owner alone."""

    def __init__(self, path: str, *, size: int, files: int) -> None:
        self.problem: str | None = None  # why nothing can be written just now, in one sentence
        self.lost = 0  # bytes, since the start
        self._path = path
        self._limit = size
        self._files = files
        self._file: int | None = None
        self._size = 0
        self._untold = 0  # lost bytes that the log does not tell of yet
        self._torn = False  # the last write was cut off within a line
        self._attempt(self._open)

    def write(self, data: bytes) -> None:
        """Append whole lines. What cannot be written is lost and counted."""
        if not data:
            return
        if self._file is None or not self._attempt(lambda: self._append(self._preface() + data)):
            self.lost += len(data)
            self._untold += len(data)
        else:
            self._untold, self._torn, self.problem = 0, False, None

    def tick(self) -> None:
        """Once a second: try again where writing failed, and notice that the file or its folder was taken away."""
        if self._file is not None and not self._is_in_place():
            self.close()
        if self._file is None and self._attempt(self._open) and self._untold:
            self._attempt(self._tell)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _attempt(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except OSError as error:
            self.problem = f"{self._path} cannot be written: {error.strerror}. The log is discarded until it can be."
            self.close()
            return False
        return True

    def _preface(self) -> bytes:
        return (b"\n" if self._torn else b"") + (dropped_line(self._untold) if self._untold else b"")

    def _tell(self) -> None:
        self._append(self._preface())
        self._untold, self._torn, self.problem = 0, False, None

    def _open(self) -> None:
        folder = os.path.dirname(self._path)
        if not os.path.isdir(folder):
            os.mkdir(folder, 0o700)  # the folder alone: the one above may be a disk that is not mounted
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(self._path, flags, 0o600)
        os.fchmod(self._file, 0o600)
        self._size = os.fstat(self._file).st_size
        if not self._untold:
            self.problem = None

    def _append(self, data: bytes) -> None:
        if self._size and self._size + len(data) > self._limit:
            self._rotate()
        assert self._file is not None
        rest = memoryview(data)
        while rest:
            written = os.write(self._file, rest)
            self._size += written
            rest = rest[written:]
            self._torn = bool(rest)

    def _rotate(self) -> None:
        self.close()
        for number in range(self._files - 1, 0, -1):
            older = self._path if number == 1 else f"{self._path}.{number - 1}"
            if os.path.exists(older):
                os.replace(older, f"{self._path}.{number}")
        if self._files == 1:
            os.truncate(self._path, 0)
        self._open()

    def _is_in_place(self) -> bool:
        assert self._file is not None
        try:
            there = os.stat(self._path)
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(self._file))
