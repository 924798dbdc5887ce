"""What must still be there after the power has failed. Standard library only."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def flush(descriptor: int) -> None:
    """Return once the disk has what was written to this file (or, for a folder, its names). Raises OSError.

    On a Mac fsync(2) leaves it in the drive's own cache, which may write the newer before the older, and lose both.
    """
    whole = getattr(fcntl, "F_FULLFSYNC", None)
    if whole is not None:
        try:
            fcntl.fcntl(descriptor, whole)
        except OSError:  # a file system without it: a share, a stick
            pass
        else:
            return
    os.fsync(descriptor)


def flush_path(path: Path) -> None:
    """The same for a file or folder that is not open. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        flush(descriptor)
    finally:
        os.close(descriptor)
