"""A copy of the database put back in its place, while nobody uses it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

from controller.errors import SeadragonError
from controller.machine import durable
from controller.machine.socketpath import private_folder
from controller.plain import fault_words
from controller.storage.file import BESIDE, connect, looking, make_ours, set_aside, stamp
from controller.storage.migrate import revision_of, revisions, steps


def restore(copy: Path, path: Path, at: float) -> Path | None:
    """Put `copy` in the place of the database `path`; where the one that was there is kept now, if there was one.

    `at`: seconds since the epoch. Nobody may have the database open. The copy itself stays as it is. Raises
    SeadragonError when it is damaged, of a newer Seadragon, or none; then the database is as it was.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        private_folder(path.parent)
        _fetch(copy, part)
        _check(part, copy)
        aside = _replaced(path, at)
        part.replace(path)
        durable.flush_path(path.parent)
    except OSError as error:
        raise SeadragonError(f"The database cannot be put back: {fault_words(error)}.") from error
    finally:
        for suffix in (*BESIDE, ""):
            with contextlib.suppress(OSError):
                Path(f"{part}{suffix}").unlink(missing_ok=True)
    make_ours(path)
    return aside


def _fetch(copy: Path, part: Path) -> None:
    """The copy may be on a stick that cannot be written: what is looked into is a file of our own. Raises OSError."""
    if any(Path(f"{copy}{suffix}").exists() for suffix in BESIDE):
        raise SeadragonError(f"{copy} is in use, or was left by a crash. Make a copy of it with: seadragon backup")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with copy.open("rb") as source, os.fdopen(descriptor, "wb") as target:
        shutil.copyfileobj(source, target)
        target.flush()
        durable.flush(target.fileno())


def _check(part: Path, copy: Path) -> None:
    """Raises SeadragonError unless it is whole, and a database that this Seadragon can use."""
    try:
        with looking(part) as connection:
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            stray = connection.execute("PRAGMA foreign_key_check").fetchone()
    except sqlite3.Error as error:
        raise SeadragonError(f"{copy} is not a database that can be read: {error}. Nothing was changed.") from error
    if found != "ok" or stray:
        words = str(found).strip() if found != "ok" else f"rows of {stray[0]} belong to nobody"
        raise SeadragonError(f"{copy} is damaged: {words}. Nothing was changed.")
    revision = revision_of(part)
    if revision is None:
        raise SeadragonError(f"{copy} is not a database of Seadragon's. Nothing was changed.")
    steps(revision, revisions())


def _replaced(path: Path, at: float) -> Path | None:
    """Make room; where what was there is now. Raises OSError.

    A whole database takes its log in as it is closed, and then keeps its name until the copy takes it over: a crash in
    between loses neither. One that cannot do so is moved with its log, which would otherwise be played into the copy.
    """
    if not path.exists():
        return None
    with contextlib.suppress(sqlite3.Error), contextlib.closing(connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if any(Path(f"{path}{suffix}").exists() for suffix in BESIDE):
        return set_aside(path, at, "replaced")
    aside = path.with_name(f"{path.name}.replaced-{stamp(at)}")
    os.link(path, aside)
    return aside
