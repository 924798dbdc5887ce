"""What macOS's kernel says of itself, by name (sysctlbyname(3)). Standard library only: the keeper lives on it."""

from __future__ import annotations

import ctypes
import sys

SYSTEM = ctypes.CDLL(None, use_errno=True)  # elsewhere it has no such function: ask on a Mac only
LONGEST = 256  # bytes; the names asked for here have numbers or an id


def text(name: str) -> str | None:
    """A text; None when the kernel knows nothing of that name."""
    found = _read(name)
    return None if found is None else found.rstrip(b"\0").decode(errors="replace")


def number(name: str) -> int | None:
    """A whole number, of whatever width; None when the kernel knows nothing of that name."""
    found = _read(name)
    return None if found is None else int.from_bytes(found, sys.byteorder, signed=True)


def _read(name: str) -> bytes | None:
    value, length = ctypes.create_string_buffer(LONGEST), ctypes.c_size_t(LONGEST)
    failed = SYSTEM.sysctlbyname(name.encode(), value, ctypes.byref(length), None, ctypes.c_size_t(0))
    return None if failed else value.raw[: length.value]
