"""The database as a file: ours and nobody else's, whole or damaged. Standard library only, so that most starts and the
doctor need nothing heavier.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sqlite3
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from controller.errors import SeadragonError
from controller.machine.socketpath import private_folder
from controller.plain import fault_words

NAME: Final = "seadragon.db"
BUSY: Final = 5.0  # seconds that one writer waits for another
BESIDE: Final = ("-wal", "-shm")  # what SQLite keeps next to the file while it is open, or after a crash

PRAGMAS: Final = (
    "journal_mode=WAL",  # readers and the writer are not in each other's way
    "synchronous=FULL",  # a revoked right must not come back with the power; writes are batched, so it costs little
    "fullfsync=ON",  # macOS alone: fsync there leaves the data in the drive's cache. To be proved on a Mac
    "checkpoint_fullfsync=ON",
    "foreign_keys=ON",
    "secure_delete=ON",  # what is deleted is overwritten
    "trusted_schema=OFF",  # a planted view or trigger runs no function with side effects
)
"""For each connection. `journal_mode` alone is remembered by the file."""

_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@dataclass(frozen=True, slots=True)
class FileFault:
    """Why a database cannot be used as it is, and what to do: two plain sentences."""

    words: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.words} {self.remedy}"


def make_ours(path: Path) -> None:
    """Make the file (0600, empty) and its folder (0700) unless they are there.

    Raises SeadragonError when they cannot be made, or are not ours alone.
    """
    try:
        private_folder(path.parent)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise SeadragonError(f"The database cannot be made: {fault_words(error)}.") from error
    if fault := not_ours(path):
        raise SeadragonError(str(fault))


def not_ours(path: Path) -> FileFault | None:
    """Whether somebody else could read or have written what is in it: a link, another owner, a wide mode."""
    for file in (path, *_beside(path)):
        with contextlib.suppress(FileNotFoundError):
            if fault := _fault_of(file, file.lstat()):
                return fault
    return None


def _fault_of(file: Path, seen: os.stat_result) -> FileFault | None:
    quoted = shlex.quote(str(file))
    if not stat.S_ISREG(seen.st_mode):
        return FileFault(
            f"The database {file} is not a plain file.", f"Look what it is, and move it away: ls -l {quoted}"
        )
    if seen.st_uid != os.geteuid():
        return FileFault(f"The database {file} belongs to another user.", f"Run: sudo chown $USER {quoted}")
    if seen.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return FileFault(f"Others on this machine can get at the database {file}.", f"Run: chmod 600 {quoted}")
    return None


def connect(
    path: Path, pragmas: Iterable[str] = PRAGMAS, *, mode: Literal["rw", "ro"] = "rw", threads: bool = False
) -> sqlite3.Connection:
    """A connection with everything set that ours have in common; transactions begin when they are told to. `threads`:
    several will use it, one after another.

    Raises sqlite3.Error, also when there is no such file: `make_ours` makes it, and makes it private.
    """
    where = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(where, BUSY, isolation_level=None, uri=True, check_same_thread=not threads)
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def looking(path: Path) -> contextlib.closing[sqlite3.Connection]:
    """A connection that changes nothing. Raises sqlite3.Error.

    With a log of a crash beside the file, one that may write would play it in as it closes, also into a damaged file;
    without one, a connection that may not write would leave an empty log behind.
    """
    crashed = Path(f"{path}-wal").exists()
    return contextlib.closing(connect(path, ["query_only=ON"], mode="ro" if crashed else "rw"))


def damage(path: Path) -> str | None:
    """What is wrong inside the file, in SQLite's words; None when it is whole.

    Reads all of it. Raises SeadragonError when it cannot be looked at, which says nothing of what is in it.
    """
    try:
        with looking(path) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            return None if found == "ok" else str(found).strip()
    except sqlite3.Error as error:
        if _code(error) in _DAMAGE:
            return str(error)
        raise unusable(path, error) from error


def unusable(path: Path, error: sqlite3.Error) -> SeadragonError:
    """The same, as a person may read it."""
    return SeadragonError(f"The database {path} cannot be used: {error}. Look at its folder and at the disk: df, ls -l")


def set_aside(path: Path, at: float, why: str = "damaged") -> Path:
    """Move a file, and what lies beside it, out of the way; its new name. `at`: seconds since the epoch.

    Raises OSError. The file itself goes last: SQLite would play an orphaned -wal back into whatever comes to lie there.
    """
    aside = path.with_name(f"{path.name}.{why}-{stamp(at)}")
    for suffix in (*BESIDE, ""):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
    return aside


def stamp(at: float) -> str:
    """A moment as part of a file's name, to be sorted as text: `20261121-143200`. UTC, so that no hour comes twice."""
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime(at))


def _beside(path: Path) -> Iterator[Path]:
    yield from (Path(f"{path}{suffix}") for suffix in BESIDE)


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF  # without what only tells one kind of damage from another


def words_of(error: Exception) -> str:
    """What the database says is wrong, without SQLAlchemy's frame around it."""
    return str(getattr(error, "orig", None) or error)
