"""Certificates for tests, each its own authority, and their keys, which guard nothing.

`house` (2020 to 2120) and `renewed` (2025 to 2125, with a key of another kind) are for mini.example.org, localhost and
127.0.0.1; `old` ended with the year 2020. Made with `openssl ca -selfsign`.
"""

from __future__ import annotations

import ssl
from pathlib import Path

HERE = Path(__file__).parent
NAMES = ("mini.example.org", "localhost", "127.0.0.1")


def put(folder: Path, which: str, name: str = "house") -> tuple[Path, Path]:
    """Write `which` certificate and key into `folder` as `name`.pem and `name`.key, each in one step."""
    made = []
    for suffix, mode in (("pem", 0o644), ("key", 0o600)):
        draft, path = folder / f"{name}.{suffix}.new", folder / f"{name}.{suffix}"
        draft.write_bytes((HERE / f"{which}.{suffix}").read_bytes())
        draft.chmod(mode)
        made.append(draft.replace(path))
    return made[0], made[1]


def house(folder: Path) -> tuple[Path, Path]:
    """`house.pem` and `house.key` in `folder`."""
    return put(folder, "house")


def trusting(*which: str) -> ssl.SSLContext:
    """A client's context that trusts these certificates alone."""
    context = ssl.create_default_context()
    for name in which or ("house",):
        context.load_verify_locations(HERE / f"{name}.pem")
    return context
