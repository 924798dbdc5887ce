"""A handle on the file of an open database: what is in it can still be read when its name was taken away."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from controller.machine.socketpath import private_folder
from controller.storage.backup import copy_of, placed
from controller.storage.file import BESIDE, connect, set_aside

_Marks = tuple[tuple[int, int] | None, ...]


class Handle:
    """One connection that stays open, so that the file lives as long as it does. Everything here blocks.

    Raises sqlite3.Error when the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = connect(path, threads=True)
        try:
            self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # makes the log, if there is none
            self._marks = _marks(path)
        except sqlite3.Error:
            self._connection.close()
            raise

    @property
    def there(self) -> bool:
        """Whether the database, and its log, are still what lies in their place."""
        return _marks(self.path) == self._marks

    def save(self, at: float) -> Path | None:
        """Put all that is in it back in its place, as a file of its own; where another that lay there is now.

        `at`: seconds since the epoch. Raises SeadragonError; then nothing has changed.
        """
        with placed(self.path, "The database cannot be saved") as part:
            private_folder(self.path.parent)
            copy_of(self._connection, part)
            aside = self._make_way(at)
        return aside

    def _make_way(self, at: float) -> Path | None:
        """Another's database is kept, with its log; never with ours, which would be played into it."""
        seen = _mark(self.path)
        another = seen is not None and seen != self._marks[0]
        for suffix, ours in zip(BESIDE, self._marks[1:], strict=True):
            file = Path(f"{self.path}{suffix}")
            if not another or _mark(file) == ours:
                file.unlink(missing_ok=True)
        return set_aside(self.path, at, "found") if another else None

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()


def _marks(path: Path) -> _Marks:
    return tuple(_mark(Path(f"{path}{suffix}")) for suffix in ("", *BESIDE))


def _mark(path: Path) -> tuple[int, int] | None:
    """Which file lies there."""
    with contextlib.suppress(OSError):
        seen = os.lstat(path)
        return seen.st_dev, seen.st_ino
    return None
