"""Copies of the database, made while it is in use, and which of them to keep."""

from __future__ import annotations

import calendar
import contextlib
import os
import sqlite3
import time
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path

from controller.errors import SeadragonError
from controller.machine import durable
from controller.machine.socketpath import private_folder
from controller.plain import fault_words
from controller.storage.file import connect, damage, stamp

FOLDER = "backups"
DAILY, WEEKLY = 7, 4
_SUFFIX = ".db"
_NIGHTLY = "nightly-"


def back_up(source: Path, target: Path) -> None:
    """Write a consistent copy of `source` to `target` (0600), which is there as a whole or not at all.

    Blocks for as long as the disk takes. What was deleted is not in it. A folder that is there keeps its mode, since it
    may be anybody's; a new one is 0700. Raises SeadragonError.
    """
    with placed(target, "The database cannot be copied") as part:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.closing(connect(source)) as connection:
            copy_of(connection, part)


@contextlib.contextmanager
def placed(target: Path, words: str) -> Iterator[Path]:
    """The file to write to in the block: it takes the place of `target` when that ends well, and is gone when not.

    Raises SeadragonError for OSError and sqlite3.Error, of the block as well; `words`: what could not be done.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        yield part
        part.replace(target)
        durable.flush_path(target.parent)
    except OSError as error:
        raise SeadragonError(f"{words}: {fault_words(error)}.") from error
    except sqlite3.Error as error:
        raise SeadragonError(f"{words}: {error}.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def by_hand(source: Path, at: float, target: Path | None = None) -> Path:
    """Copy `source` because somebody asked for it, to a file that is not there yet; where. Raises SeadragonError."""
    if not source.exists():
        raise SeadragonError(f"There is no database in {source.parent} yet: Seadragon makes it when it first runs.")
    if target is None:
        return _into(source.parent / FOLDER, source, f"by-hand-{stamp(at)}")
    if target.exists():
        raise SeadragonError(f"{target} is there already. Choose another name.")
    back_up(source, target)
    return target


def copy_of(connection: sqlite3.Connection, part: Path) -> None:
    """Write all that a connection sees to the file `part` (0600), and see to it that the disk has it.

    Raises SeadragonError when the copy is damaged, OSError, and sqlite3.Error.
    """
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection.execute("VACUUM INTO ?", (str(part),))  # an empty file that is there already is taken as it is
    if found := damage(part):
        raise SeadragonError(f"The copy of the database is damaged: {found}.")
    durable.flush_path(part)


def before_migration(source: Path, folder: Path, revision: str, at: float, *, keep: int) -> Path:
    """Copy `source` before it leaves `revision`, and drop the oldest such copies but `keep`. Raises SeadragonError."""
    target = _into(folder, source, f"before-migration-{stamp(at)}-from-{revision}")
    made = sorted(file for file in folder.glob(f"before-migration-*{_SUFFIX}") if file <= target)
    for older in made[:-keep]:
        with contextlib.suppress(OSError):
            older.unlink()
    return target


def nightly(source: Path, folder: Path, at: float, *, daily: int, weekly: int) -> Path:
    """Copy `source`, and drop the copies of nights that are not worth keeping any more. Raises SeadragonError."""
    target = _into(folder, source, f"{_NIGHTLY}{stamp(at)}")
    made = nights(folder, at)
    kept = to_keep(made, daily=daily, weekly=weekly)
    for moment, older in made.items():
        if moment not in kept:
            with contextlib.suppress(OSError):
                older.unlink()
    return target


def nights(folder: Path, now: float) -> dict[float, Path]:
    """The copies of nights that are there, by when they were made (seconds since the epoch). What was made after `now`,
    by a clock that was ahead, is the copy of no night that has been: it neither counts nor goes.
    """
    found = {}
    for file in folder.glob(f"{_NIGHTLY}*{_SUFFIX}"):
        with contextlib.suppress(ValueError):  # somebody gave one of them another name: it stays
            made = float(calendar.timegm(time.strptime(file.name, f"{_NIGHTLY}%Y%m%d-%H%M%S{_SUFFIX}")))
            if made <= now:
                found[made] = file
    return found


def newest(folder: Path, now: float) -> Path | None:
    """The last copy that was made, of whatever kind; one of a later date than `now` only if there is no other."""
    made = [(file.stat().st_mtime, file) for file in folder.glob(f"*{_SUFFIX}")]
    return max(made, key=lambda each: (each[0] <= now, each))[1] if made else None


def ahead(folder: Path, now: float) -> int:
    """How many copies bear a later date than `now`."""
    return sum(file.stat().st_mtime > now for file in folder.glob(f"*{_SUFFIX}"))


def to_keep(made: Collection[float], *, daily: int = DAILY, weekly: int = WEEKLY) -> set[float]:
    """Of copies made at these moments (seconds since the epoch), those worth keeping: the newest of each of the last
    `daily` days that have one, and of each of the last `weekly` weeks that have one. Days and weeks are UTC's. Pure.
    """
    days: dict[str, float] = {}
    weeks: dict[str, float] = {}
    for moment in sorted(made):
        day = datetime.fromtimestamp(moment, UTC)
        days[day.strftime("%Y-%m-%d")] = moment
        weeks[day.strftime("%G-%V")] = moment
    return {*sorted(days.values(), reverse=True)[:daily], *sorted(weeks.values(), reverse=True)[:weekly]}


def _into(folder: Path, source: Path, name: str) -> Path:
    try:
        private_folder(folder)
    except OSError as error:
        raise SeadragonError(f"The database cannot be copied: {fault_words(error)}.") from error
    target = folder / f"{name}{_SUFFIX}"
    back_up(source, target)
    return target
