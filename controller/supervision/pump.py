"""From the child's output to its log: reads in large chunks, whatever happens to what it read.

Stdlib only: the keeper lives on it.
"""

from __future__ import annotations

import fcntl
import os
import time

from controller.supervision.logfile import LogFile
from controller.supervision.sieve import Cleaner, Ring, Sieve, secrets_in
from controller.supervision.wire import Message

CHUNK = 256 * 1024  # bytes read at once
PIPE = 2**20  # bytes the pipe itself may hold, where that can be set
KEPT = 256 * 1024  # bytes of the newest output kept in memory
LAST_CHUNKS = 64  # chunks still read from a pipe that a stranger holds open after the child is gone


class Pump:
    """The reading end of one child's stdout and stderr. The child writes into `into`."""

    def __init__(self, spec: Message) -> None:
        self.output, self.into = os.pipe()
        os.set_blocking(self.output, False)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            try:
                fcntl.fcntl(self.into, fcntl.F_SETPIPE_SZ, PIPE)
            except OSError:  # this user's share of pipe memory is used up: the usual 64 KiB do as well
                pass
        self._buffer = memoryview(bytearray(CHUNK))
        self._cleaner = Cleaner(secrets_in(dict(spec["environment"])))
        self._ring = Ring(KEPT)
        self._sieve = Sieve(self._cleaner)
        self._log = None
        if spec["log_file"]:
            self._log = LogFile(spec["log_file"], size=spec["log_file_size"], files=spec["log_files"])

    @property
    def dropped(self) -> int:
        """Bytes that are not in the log: over the budget, or not writable."""
        return self._sieve.dropped + (self._log.lost if self._log else 0)

    @property
    def problem(self) -> str | None:
        return self._log.problem if self._log else None

    def read(self) -> bool:
        """Take one chunk; False when the child (and all who inherited its output) closed it."""
        return self._take() != 0

    def tick(self) -> None:
        """Once a second: tell of gaps, and try again where writing failed."""
        self._write(self._sieve.tick(time.monotonic()))
        if self._log:
            self._log.tick()

    def end(self) -> None:
        """The child is gone: write what is left of its output."""
        for _ in range(LAST_CHUNKS):
            if not self._take():
                break
        self._write(self._sieve.end())

    def tail(self, size: int) -> str:
        """The newest output, at most `size` bytes, also what was dropped from the log; clean."""
        return self._cleaner.clean(self._ring.last(size)).decode(errors="replace")

    def _take(self) -> int | None:
        """Take one chunk: its size in bytes, 0 once it is closed, None when there is nothing just now."""
        try:
            size = os.readv(self.output, [self._buffer])
        except BlockingIOError:
            return None
        chunk = self._buffer[:size]
        self._ring.add(chunk)
        self._write(self._sieve.feed(bytes(chunk), time.monotonic()))
        return size

    def _write(self, text: bytes) -> None:
        if self._log:
            self._log.write(text)
