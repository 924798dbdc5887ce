"""Ports that no two tests are given, however many run at once: each process of the tests has a stretch of its own.

They lie below those from which systems choose when a program does not care, so nobody comes by one by chance.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import socket
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

FIRST, STRETCH, STRETCHES = 20000, 200, 60  # Linux chooses from 32768 on, macOS from 49152 on


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has, and that is given to nobody else before 199 others were."""
    for port in itertools.islice(_ours(), STRETCH):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: what has been closed is free
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise LookupError(f"No port of {STRETCH} is free.")


@cache
def _ours() -> Iterator[int]:
    """The ports of this process, round and round."""
    folder = Path(tempfile.gettempdir()) / f"seadragon-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for number in range(STRETCHES):
        lock = os.open(folder / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)  # kept until we end
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        first = FIRST + number * STRETCH
        return itertools.cycle(range(first, first + STRETCH))
    raise LookupError(f"{STRETCHES} processes are testing already.")
