"""Tests beside each other: how many processes run them, and those marked `alone`, which have the machine to themselves.

One lock file for each run, known to all its processes. A test shares it; one that is alone has it whole. Sharing goes
before having, so these wait until the others have nothing left to do.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = "SEADRAGON_TESTS_LOCK"  # the environment's name for the file: processes of a run inherit it
PER_CORE = 2  # processes, where most of what a test does is wait


def processes() -> int:
    """How many processes run tests that mostly wait."""
    return PER_CORE * (os.cpu_count() or 1)


def begin() -> None:
    """Before the first process of a run is started."""
    descriptor, name = tempfile.mkstemp(prefix="seadragon-tests-", suffix=".lock")
    os.close(descriptor)
    os.environ[LOCK] = name


def over() -> None:
    """After the last one has ended."""
    Path(os.environ.pop(LOCK)).unlink(missing_ok=True)


@contextmanager
def place(*, alone: bool) -> Iterator[None]:
    """Wait for a place beside what runs, or for nothing to run; and keep it."""
    with Path(os.environ[LOCK]).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
