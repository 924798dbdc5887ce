"""Bringing a database up to date, revision by revision, with a copy before each.

A new file gets its tables as they are in the code. Alembic is imported only when there is something to change: no other
start waits for it, or holds its 13 MB for as long as it runs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from controller.errors import SeadragonError
from controller.storage.backup import FOLDER, before_migration
from controller.storage.file import connect, looking, unusable, words_of

MIGRATIONS: Final = Path(__file__).with_name("migrations")
KEEP: Final = 5  # copies from before migrations


def revisions(migrations: Path = MIGRATIONS) -> list[str]:
    """Every revision this Seadragon knows, oldest first: by the names of the files, which carry them."""
    return sorted(file.stem.partition("_")[0] for file in (migrations / "versions").glob("r*.py"))


def revision_of(path: Path) -> str | None:
    """The revision of the tables in this file; None when it has none yet. Raises SeadragonError."""
    try:
        with looking(path) as connection:
            known = connection.execute("SELECT name FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if known else None
    except sqlite3.Error as error:
        raise unusable(path, error) from error
    return row[0] if row else None


def steps(current: str | None, known: list[str]) -> list[str]:
    """The revisions that are still to come, oldest first.

    Raises SeadragonError when `current` is none that we know: a newer Seadragon made it.
    """
    if current is None:
        return known
    if current not in known:
        raise SeadragonError(
            f"The database is of a newer Seadragon ({current}; this one knows {known[-1]}). "
            f"Update Seadragon, or put a copy from data/{FOLDER} in its place."
        )
    return known[known.index(current) + 1 :]


def migrate(path: Path, wall: Callable[[], float], migrations: Path = MIGRATIONS) -> list[str]:
    """Bring the file up to date; the revisions it went through. Blocks.

    Each is one transaction: it has happened, or nothing has. Raises SeadragonError.
    """
    first, known = revision_of(path), revisions(migrations)
    current = _make(path) if first is None else first
    for revision in steps(current, known):
        if first is not None:  # a new file has nothing that could be lost
            before_migration(path, path.parent / FOLDER, current, wall(), keep=KEEP)
        upgrade(path, revision, migrations)
        current = revision
    return steps(first, known)


def _make(path: Path) -> str:
    """Make the tables of a new file, unless somebody was faster; the revision they are of. Raises SeadragonError."""
    from sqlalchemy import Column, MetaData, NullPool, String, Table, create_engine, insert, inspect
    from sqlalchemy.exc import SQLAlchemyError

    from controller.storage.tables import METADATA, REVISION

    version = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))  # as Alembic's
    engine = create_engine("sqlite://", creator=lambda: connect(path), poolclass=NullPool)
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            if not inspect(connection).has_table(version.name):
                METADATA.create_all(connection, checkfirst=False)
                version.create(connection, checkfirst=False)
                connection.execute(insert(version), {"version_num": REVISION})
    except SQLAlchemyError as error:
        raise SeadragonError(f"The database cannot be made: {words_of(error)}.") from error
    finally:
        engine.dispose()
    return REVISION


def upgrade(path: Path, revision: str, migrations: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError
    from sqlalchemy import NullPool, create_engine
    from sqlalchemy.exc import SQLAlchemyError

    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    engine = create_engine("sqlite://", creator=lambda: _unbound(path), poolclass=NullPool)
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchone():
                raise SeadragonError(f"The migration to {revision} would leave rows of {broken[0]} without their like.")
    except (SQLAlchemyError, CommandError) as error:
        raise SeadragonError(
            f"The database cannot be brought to {revision}: {words_of(error)}. It is as it was."
        ) from error
    finally:
        engine.dispose()


def _unbound(path: Path) -> sqlite3.Connection:
    """SQLite changes a table by dropping it: with foreign keys on, the rows that point at it would go along."""
    connection = connect(path)
    connection.execute("PRAGMA foreign_keys=OFF")
    return connection
