"""What bears a date that is still to come: made by a clock that was ahead, or found by one that is behind."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from controller.auth.rows import AHEAD
from controller.doctor.findings import Dated
from controller.errors import SeadragonError
from controller.storage.backup import FOLDER, newest
from controller.storage.backup import ahead as copies_ahead
from controller.storage.file import NAME, looking, not_ours

_ROWS: Final = (
    ("key", "keys", "created_at", "revoked_at IS NULL"),
    ("invite", "invites", "created_at", "revoked_at IS NULL AND used < uses"),
    ("reset link", "resets", "created_at", "kind = 'reset'"),
    ("admin code", "resets", "created_at", "kind = 'admin'"),
    ("session", "sessions", "started_at", "true"),
    ("address", "allowed", "created_at", "true"),
)
"""Of each kind: its table, when it was made, and which of them still matter."""


def look(data: Path, now: float) -> Iterator[Dated]:
    """All of it under this data folder, by kind. `now`: seconds since the epoch."""
    latest = now + AHEAD
    if (data / NAME).exists() and not_ours(data / NAME) is None:
        yield from _rows(data / NAME, latest)
    folder = data / FOLDER
    if count := copies_ahead(folder, latest):
        last = newest(folder, float("inf"))
        yield Dated("copy of the database", count, last.stat().st_mtime if last else latest)


def _rows(database: Path, latest: float) -> Iterator[Dated]:
    try:
        with looking(database) as connection:
            for kind, table, made, matters in _ROWS:
                query = f"SELECT count(*), max({made}) FROM {table} WHERE {made} > ? AND {matters}"  # noqa: S608 - ours
                count, last = connection.execute(query, (latest,)).fetchone()
                if count:
                    yield Dated(kind, count, last)
    except (sqlite3.Error, SeadragonError):
        return  # what is wrong with it is told elsewhere
