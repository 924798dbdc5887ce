"""Looking at our folders: whose they are, and who else may look into them. Changes nothing."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from controller.doctor.findings import Folder
from controller.machine.ownership import foreign


def folder(name: str, path: Path) -> Folder:
    """One of ours, by its name."""
    if not os.path.isdir(path):
        return Folder(name, path, there=False)
    return Folder(
        name,
        path,
        there=True,
        mode=stat.S_IMODE(path.stat().st_mode),
        writable=os.access(path, os.W_OK | os.X_OK),
        free=shutil.disk_usage(path).free,
        open_files=tuple(str(file) for file in _private(name, path) if _others_may(file)),
        owner=_user(path.stat().st_uid),
        foreign=() if name == "config" else tuple(map(str, foreign(path))),
    )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _private(name: str, path: Path) -> Iterator[Path]:
    """Files that are nobody else's business. The YAML is not among them: its secrets stand in files of their own."""
    with contextlib.suppress(OSError):
        yield from () if name == "config" else (file for file in path.iterdir() if file.name != ".gitkeep")


def _others_may(file: Path) -> bool:
    try:
        seen = file.lstat()
    except OSError:  # gone since
        return False
    return stat.S_ISREG(seen.st_mode) and bool(seen.st_mode & (stat.S_IRWXG | stat.S_IRWXO))
