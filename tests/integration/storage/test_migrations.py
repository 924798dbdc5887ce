"""From an empty file, and from every revision there ever was, to the tables of the code."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import NullPool, create_engine

from controller.errors import SeadragonError
from controller.storage import migrate as migrate_module
from controller.storage.backup import FOLDER
from controller.storage.database import Database
from controller.storage.file import NAME, connect, damage, make_ours
from controller.storage.migrate import MIGRATIONS, migrate, revision_of, revisions
from controller.storage.tables import METADATA, REVISION
from tests.kit.stored import mode, rows, run


def by_migrations(path: Path) -> None:
    for revision in revisions():
        migrate_module.upgrade(path, revision, MIGRATIONS)


def from_the_code(path: Path) -> None:
    assert migrate(path, lambda: 0.0) == revisions()


@pytest.mark.parametrize("make", [by_migrations, from_the_code])
def test_the_migrations_and_a_new_file_have_exactly_the_tables_of_the_code(
    path: Path, make: Callable[[Path], None]
) -> None:
    make_ours(path)
    make(path)
    assert revision_of(path) == REVISION == revisions()[-1]
    engine = create_engine("sqlite://", creator=lambda: connect(path), poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, METADATA) == []
    assert damage(path) is None


def test_alembic_sees_the_revisions_in_the_order_of_their_files() -> None:
    script = ScriptDirectory(str(MIGRATIONS))
    found = [each.revision for each in script.walk_revisions()]
    assert list(reversed(found)) == revisions()
    assert script.get_heads() == revisions()[-1:]


PETS = """
    op.create_table("pets", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("name", sa.Text()))
    op.create_table(
        "toys",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("pet", sa.Integer(), sa.ForeignKey("pets.id", ondelete="CASCADE", name="fk")),
    )
    op.execute("INSERT INTO pets VALUES (1, 'mia')")
    op.execute("INSERT INTO toys VALUES (7, 1)")
"""
NAMES = """
    with op.batch_alter_table("pets") as table:
        table.alter_column("name", nullable=False, existing_type=sa.Text())
"""


def add_revision(migrations: Path, name: str, after: str, body: str) -> None:
    """`name` is the revision's, an underline, and what it brings."""
    head = f"import sqlalchemy as sa\nfrom alembic import op\nrevision = {name[:5]!r}\ndown_revision = {after!r}\n"
    (migrations / "versions" / f"{name}.py").write_text(f"{head}def upgrade():{body}")


@pytest.fixture
def longer(tmp_path: Path) -> Path:
    """The history as it may be one day: two revisions more, of which the second makes a table anew."""
    longer = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, longer, ignore=shutil.ignore_patterns("__pycache__"))
    add_revision(longer, "r9001_pets", revisions()[-1], PETS)
    add_revision(longer, "r9002_names", "r9001", NAMES)
    return longer


def a_database_at(path: Path, revision: str, migrations: Path) -> None:
    """As the Seadragon of that revision left it."""
    make_ours(path)
    for each in revisions(migrations)[: revisions(migrations).index(revision) + 1]:
        migrate_module.upgrade(path, each, migrations)
    with contextlib.closing(connect(path)) as connection:
        connection.execute(
            "INSERT INTO learned (runner, name, loads, crashes, last_error, updated_at) VALUES ('a', 'b', 1, 2, '', 3)"
        )


def test_from_every_earlier_revision_everything_arrives_with_a_copy_before_each_step(
    tmp_path: Path, longer: Path
) -> None:
    known = revisions(longer)
    for index, revision in enumerate(known):
        path = tmp_path / revision / NAME
        a_database_at(path, revision, longer)
        assert migrate(path, lambda: 0.0, longer) == known[index + 1 :]
        assert rows(path, "SELECT version_num FROM alembic_version") == [(known[-1],)]
        assert rows(path, "SELECT runner, crashes FROM learned") == [("a", 2)]
        assert rows(path, "SELECT * FROM toys") == [(7, 1)]
        copies = sorted((path.parent / FOLDER).glob("*"))
        assert [revision_of(copy) for copy in copies] == known[index:-1]
        assert {mode(copy) for copy in copies} <= {0o600}
        assert all(rows(copy, "SELECT runner FROM learned") == [("a",)] for copy in copies)


def put(path: Path, table: str, **values: object) -> None:
    """A row of a table as it was, with something plain in every column that is not named and must be filled."""
    with contextlib.closing(connect(path)) as connection:
        for _, name, kind, must, _, key in connection.execute(f"PRAGMA table_info({table})").fetchall():
            if (must or key) and name not in values and kind != "INTEGER":
                values[name] = "[]" if kind == "JSON" else b"" if kind == "BLOB" else 1 if kind == "DOUBLE" else ""
            elif must and name not in values and not key:
                values[name] = 0
        names, places = ", ".join(values), ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", list(values.values()))


def test_what_was_kept_by_a_label_is_kept_by_an_id(path: Path) -> None:
    a_database_at(path, "r0002", MIGRATIONS)
    put(path, "users", id="U1", name="Mia", folded="mia", role="admin")
    put(path, "keys", id="K1", name="n8n", by="operator")
    put(path, "allowed", id="A1", label="shed", cidr="10.0.0.1", by="Mia")
    for number, by in enumerate(("Mia", "n8n", "nobody now")):
        put(path, "invites", id=by, hash=bytes([number]), by=by)
    put(path, "resets", id="R1", by="n8n")
    callers = [
        {"kind": "key", "caller": "n8n", "key_id": "K1"},
        {"kind": "person", "caller": "Mia", "user_id": "U1"},
        {"kind": "address", "caller": "shed"},
        {"kind": "address", "caller": "home"},
        {"kind": "anonymous", "caller": "anonymous"},
    ]
    for each in callers:
        put(path, "usage", **each)
        put(path, "usage_daily", requests=3, **each)
    migrate(path, lambda: 0.0)
    ids = ["address:A1", "address:access.yaml/home", "anonymous:anonymous", "key:K1", "person:U1"]
    for table in ("usage", "usage_daily"):
        assert [row[0] for row in rows(path, f"SELECT caller_id FROM {table} ORDER BY caller_id")] == ids
    assert rows(path, "SELECT sum(requests) FROM usage_daily") == [(15,)]
    assert rows(path, "SELECT by, giver FROM invites ORDER BY id") == [
        ("Mia", "person:U1"),
        ("n8n", "key:K1"),
        ("nobody now", "operator"),
    ]
    assert rows(path, "SELECT giver FROM allowed") == [("person:U1",)]
    assert rows(path, "SELECT giver FROM resets") == [("key:K1",)]
    assert rows(path, "SELECT giver FROM keys") == [("operator",)]


def test_a_new_file_needs_no_copy(path: Path, longer: Path) -> None:
    make_ours(path)
    assert migrate(path, lambda: 0.0, longer) == revisions(longer)
    assert not (path.parent / FOLDER).exists()


def test_only_the_last_few_copies_from_before_migrations_are_kept(path: Path, longer: Path) -> None:
    a_database_at(path, "r0001", longer)
    folder = path.parent / FOLDER
    folder.mkdir()
    nightly = folder / "nightly-20200101-000000.db"
    nightly.touch()
    for number in range(9):
        (folder / f"before-migration-2020010{number}-000000-from-r0000.db").touch()
    migrate(path, lambda: 1.7e9, longer)
    copies = sorted(file.name for file in folder.glob("before-migration-*"))
    assert len(copies) == migrate_module.KEEP
    assert copies[-2:] == [
        f"before-migration-20231114-221320-from-{revisions()[-1]}.db",
        "before-migration-20231114-221320-from-r9001.db",
    ]
    assert nightly.exists()


def test_a_copy_from_before_a_migration_stays_whatever_later_dates_others_bear(path: Path, longer: Path) -> None:
    a_database_at(path, "r0001", longer)
    folder = path.parent / FOLDER
    folder.mkdir()
    for number in range(9):
        (folder / f"before-migration-2027010{number}-000000-from-r0000.db").touch()
    migrate(path, lambda: 1.7e9, longer)
    assert [file.name for file in folder.glob("before-migration-20231114-221320-from-*")]
    assert len(list(folder.glob("before-migration-2027*"))) == 9


def test_a_migration_that_fails_leaves_everything_as_it_was(path: Path, longer: Path) -> None:
    a_database_at(path, "r0001", longer)
    add_revision(longer, "r9003_wrong", "r9002", "\n op.drop_table('toys')\n op.execute('UPDATE nowhere SET a = 1')\n")
    with pytest.raises(SeadragonError, match="cannot be brought to r9003: no such table: nowhere. It is as it was"):
        migrate(path, lambda: 0.0, longer)
    assert revision_of(path) == "r9002"
    assert rows(path, "SELECT * FROM toys") == [(7, 1)]


def test_a_migration_that_leaves_rows_pointing_nowhere_is_undone(path: Path, longer: Path) -> None:
    a_database_at(path, "r9002", longer)
    add_revision(longer, "r9003_wrong", "r9002", "\n op.execute('DELETE FROM pets')\n")
    with pytest.raises(SeadragonError, match="toys"):
        migrate(path, lambda: 0.0, longer)
    assert rows(path, "SELECT name FROM pets") == [("mia",)]


def test_without_room_for_the_copy_nothing_is_migrated(path: Path, longer: Path) -> None:
    a_database_at(path, "r0001", longer)
    (path.parent / FOLDER).write_text("in the way")
    with pytest.raises(SeadragonError, match="The database cannot be copied"):
        migrate(path, lambda: 0.0, longer)
    assert revision_of(path) == "r0001"


async def test_a_database_of_a_newer_seadragon_is_refused_untouched(
    path: Path, longer: Path, open_database: Callable[[], Database]
) -> None:
    a_database_at(path, "r9002", longer)
    before = rows(path, "SELECT * FROM sqlite_master")
    with pytest.raises(SeadragonError, match="of a newer Seadragon"):
        async with open_database():
            pass
    assert rows(path, "SELECT * FROM sqlite_master") == before
    assert revision_of(path) == "r9002"


def test_only_a_start_that_migrates_imports_alembic_and_none_imports_sqlalchemy_before_the_database_opens(
    path: Path,
) -> None:
    program = f"""
        import asyncio, sys
        from pathlib import Path
        from controller.clock import SystemClock
        from controller.events import Journal
        from controller.storage.database import Database
        from controller.storage.learned import LearnedStore
        early = "sqlalchemy" in sys.modules
        clock = SystemClock()
        async def main():
            async with Database(Path({str(path)!r}), clock, Journal(clock)): pass
        asyncio.run(main())
        print(early, "alembic" in sys.modules)
    """
    assert run(program).split() == ["False", "False"]  # a new file
    assert run(program).split() == ["False", "False"]
    path.unlink()
    a_database_at(path, "r0001", MIGRATIONS)
    assert run(program).split() == ["False", "True"]
