"""What must still be there after the power has failed. Standard library only."""

from __future__ import annotations

import fcntl
import os
import secrets
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


def write(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Make this file hold `data`: whole or not at all, on the disk when this returns, and never for a moment open to
    more than `mode` says. Raises OSError.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
            file.flush()
            flush(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    flush_path(path.parent)
