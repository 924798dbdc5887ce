"""Whose what is written becomes: `sudo seadragon` on somebody's instance must leave nothing that they cannot use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

ROOT: Final = 0
MOST: Final = 20_000  # files that are looked at


@contextlib.contextmanager
def as_owner_of(folder: Path) -> Iterator[None]:
    """Act as whoever owns `folder`, for as long as the block lasts: root alone can, and has to. What the block needs is
    to be imported before, since they may not be able to read our files. Raises OSError.
    """
    owner = _owner(folder) if os.geteuid() == ROOT else None
    if owner is None or owner.st_uid == ROOT:
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    os.setgroups([owner.st_gid])
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(ROOT)
        os.setegid(group)
        os.setgroups(groups)


def uid_of(folder: Path) -> int:
    """Who owns `folder`; we, while there is none."""
    owner = _owner(folder)
    return os.geteuid() if owner is None else owner.st_uid


def foreign(folder: Path) -> list[Path]:
    """What lies in `folder` and belongs to others than the folder itself: of the first some thousand files."""
    uid = uid_of(folder)
    return [each for each in islice(_below(folder), MOST) if _is_foreign(each, uid)]


def _below(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        yield from (Path(where) / name for name in (*folders, *files))


def _is_foreign(path: Path, uid: int) -> bool:
    with contextlib.suppress(OSError):  # gone since
        return path.lstat().st_uid != uid
    return False


def _owner(folder: Path) -> os.stat_result | None:
    with contextlib.suppress(OSError):
        return folder.stat()
    return None
