"""The database on a real disk: opened, brought up to date, written behind, and met with all that can go wrong."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import NullPool, create_engine, event, insert, select

from controller.clock import SystemClock
from controller.errors import SeadragonError
from controller.events import Journal
from controller.residency.learned import Learned
from controller.storage import learned as learned_module
from controller.storage import migrate as migrate_module
from controller.storage.backup import FOLDER, back_up, newest
from controller.storage.database import Database
from controller.storage.file import NAME, connect, damage, looking, make_ours
from controller.storage.learned import AGAIN, GATHER, LearnedStore
from controller.storage.migrate import MIGRATIONS, migrate, revision_of, revisions
from controller.storage.tables import LEARNED, METADATA
from tests.fakes.clock import WoundClock
from tests.kit.until import until

LLAMA = Learned(load_seconds=4.5, tokens_rate=31.5, memory=5 * 2**30, loads=3, crashes=1, last_error="out of memory")
QWEN = Learned(answer_seconds=9.0, prompt_rate=400.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / NAME


@pytest.fixture
def clock() -> WoundClock:
    return WoundClock()


@pytest.fixture
def journal(clock: WoundClock) -> Journal:
    return Journal(clock)


@pytest.fixture
def open_database(path: Path, clock: WoundClock, journal: Journal) -> Callable[[], Database]:
    return lambda: Database(path, clock, journal)


@contextlib.asynccontextmanager
async def running(store: LearnedStore, database: Database) -> AsyncIterator[asyncio.Task[None]]:
    """The store at work for as long as the block lasts."""
    task = asyncio.create_task(store.run(database))
    try:
        await store.known.wait()
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or task.result() is None


async def seen_again(path: Path) -> dict[str, Learned]:
    """What a controller that starts now would know."""
    clock = WoundClock()
    store = LearnedStore(clock, Journal(clock))
    async with running(store, Database(path, clock, Journal(clock))):
        return dict(store.figures)


def told(journal: Journal) -> list[str]:
    return [said.text for said in journal.last(100)]


def mode(file: Path) -> int:
    return file.stat().st_mode & 0o777


# ruff: noqa: ASYNC220, ASYNC221, ASYNC240  # what a test does to the disk may well block
# --- opening ---


async def test_a_new_database_is_ours_alone_while_open_and_after(
    path: Path, open_database: Callable[[], Database]
) -> None:
    before = os.umask(0)
    try:
        async with open_database() as database, database.writing() as connection:
            await connection.execute(insert(LEARNED), _row("a"))
            names = sorted(file.name for file in path.parent.iterdir())
            assert names == [NAME, f"{NAME}-shm", f"{NAME}-wal"]
            assert {mode(file) for file in path.parent.iterdir()} == {0o600}
    finally:
        os.umask(before)
    assert mode(path.parent) == 0o700
    assert [file.name for file in path.parent.iterdir()] == [NAME]


async def test_every_connection_is_set_up_as_it_must_be(open_database: Callable[[], Database]) -> None:
    async with open_database() as database, database.reading() as one, database.reading() as other:
        for connection in (one, other):
            found = {}
            for name in (
                "journal_mode",
                "synchronous",
                "foreign_keys",
                "secure_delete",
                "trusted_schema",
                "busy_timeout",
            ):
                found[name] = (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one()
            assert found == {
                "journal_mode": "wal",
                "synchronous": 2,
                "foreign_keys": 1,
                "secure_delete": 1,
                "trusted_schema": 0,
                "busy_timeout": 5000,
            }


async def test_a_transaction_that_fails_leaves_nothing(open_database: Callable[[], Database]) -> None:
    async with open_database() as database:
        with contextlib.suppress(ZeroDivisionError):
            async with database.writing() as connection:
                await connection.execute(insert(LEARNED), _row("a"))
                raise ZeroDivisionError
        async with database.reading() as connection:
            assert (await connection.execute(select(LEARNED))).all() == []


async def test_a_reader_sees_one_moment_while_another_writes(open_database: Callable[[], Database]) -> None:
    async with open_database() as database, database.reading() as reader:
        assert (await reader.execute(select(LEARNED))).all() == []
        async with database.writing() as writer:
            await writer.execute(insert(LEARNED), _row("a"))
        assert (await reader.execute(select(LEARNED))).all() == []
        async with database.reading() as later:
            assert len((await later.execute(select(LEARNED))).all()) == 1


async def test_writers_wait_for_each_other_also_those_of_another_process(
    open_database: Callable[[], Database],
) -> None:
    """Each reads before it writes, so that one that had begun on an older state could only fail."""

    async def write(database: Database, number: int) -> None:
        async with database.writing() as connection:
            count = len((await connection.execute(select(LEARNED))).all())
            await connection.execute(insert(LEARNED), _row(str(number)) | {"loads": count})

    async with open_database() as one, open_database() as other:
        await asyncio.gather(*(write((one, other)[number % 2], number) for number in range(30)))
        async with one.reading() as connection:
            rows = (await connection.execute(select(LEARNED.c.runner, LEARNED.c.loads))).all()
    assert {runner for runner, _ in rows} == {str(number) for number in range(30)}
    assert sorted(loads for _, loads in rows) == list(range(30))


async def test_writers_of_one_database_take_turns_in_the_order_they_came(
    open_database: Callable[[], Database],
) -> None:
    order: list[int] = []

    async def write(database: Database, number: int) -> None:
        async with database.writing():
            order.append(number)

    async with open_database() as database:
        await asyncio.gather(*(write(database, number) for number in range(20)))
    assert order == list(range(20))


def test_many_who_make_the_same_new_database_at_once_all_get_it(path: Path) -> None:
    program = """
        import asyncio, sys
        from pathlib import Path
        from controller.clock import SystemClock
        from controller.events import Journal
        from controller.storage.database import Database
        async def main():
            clock = SystemClock()
            async with Database(Path(sys.argv[1]), clock, Journal(clock, said=print)): pass
        asyncio.run(main())
    """
    makers = [subprocess.Popen(command(program, str(path)), stdout=subprocess.PIPE) for _ in range(3)]
    assert [maker.communicate(timeout=120)[0] for maker in makers] == [b""] * 3
    assert [maker.returncode for maker in makers] == [0] * 3
    assert revision_of(path) == revisions()[-1]


@pytest.mark.parametrize("suffix", ["", "-wal"])
async def test_a_file_that_others_can_read_is_refused_with_what_to_do(
    path: Path, open_database: Callable[[], Database], suffix: str
) -> None:
    make_ours(path)
    file = Path(f"{path}{suffix}")
    file.touch()
    file.chmod(0o640)
    with pytest.raises(SeadragonError, match=f"Others on this machine can get at .*Run: chmod 600 {file}"):
        async with open_database():
            pass


async def test_a_link_is_refused(path: Path, tmp_path: Path, open_database: Callable[[], Database]) -> None:
    path.parent.mkdir()
    path.symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(SeadragonError, match="is not a plain file"):
        async with open_database():
            pass
    assert not (tmp_path / "elsewhere.db").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
async def test_a_file_of_another_user_is_refused_with_what_to_do(
    path: Path, open_database: Callable[[], Database]
) -> None:
    make_ours(path)
    os.chown(path, 12345, -1)
    with pytest.raises(SeadragonError, match=r"belongs to another user\. Run: sudo chown"):
        async with open_database():
            pass


async def test_a_folder_that_cannot_be_made_is_told_in_words(
    tmp_path: Path, journal: Journal, clock: WoundClock
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SeadragonError, match="The database cannot be made: .*file"):
        async with Database(tmp_path / "file" / NAME, clock, journal):
            pass


# --- damage ---


def _spoil_header(path: Path) -> None:
    path.write_bytes(b"not a database at all" * 400)


def _spoil_a_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096 + 8)
        file.write(b"\xff" * 2000)


@pytest.mark.parametrize("spoil", [_spoil_header, _spoil_a_page])
async def test_a_damaged_database_is_told_and_set_aside_and_no_copy_is_put_back_unasked(
    path: Path, open_database: Callable[[], Database], journal: Journal, spoil: Callable[[Path], None]
) -> None:
    async with open_database() as database:
        await _insert(database, "a")
    copy = path.parent / FOLDER / "nightly.db"
    back_up(path, copy)
    spoil(path)
    spoiled = path.read_bytes()
    async with open_database() as database, database.reading() as connection:
        assert (await connection.execute(select(LEARNED))).all() == []
    (line,) = told(journal)
    (aside,) = path.parent.glob(f"{NAME}.damaged-*")
    assert aside.read_bytes() == spoiled
    assert "was damaged" in line
    assert str(aside) in line
    assert f"&& cp {copy} {path}" in line
    assert damage(path) is None


async def test_the_last_copy_can_be_put_back_with_the_command_the_journal_gives(
    path: Path, open_database: Callable[[], Database], journal: Journal
) -> None:
    async with open_database() as database:
        await _insert(database, "a")
    back_up(path, path.parent / FOLDER / "nightly.db")
    _spoil_header(path)
    async with open_database():
        _, _, how = told(journal)[0].partition("stop Seadragon and run: ")
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").write_text("left by a crash since")
    subprocess.run(how, shell=True, check=True)
    async with open_database() as database, database.reading() as connection:
        assert (await connection.execute(select(LEARNED.c.runner))).scalars().all() == ["a"]


async def test_a_log_left_by_a_crash_never_gets_into_the_file_that_replaces_a_damaged_one(
    path: Path, open_database: Callable[[], Database]
) -> None:
    async with open_database() as database:
        await _insert(database, "a")
        kept = {suffix: Path(f"{path}{suffix}").read_bytes() for suffix in ("-wal", "-shm")}
    for suffix, content in kept.items():
        Path(f"{path}{suffix}").write_bytes(content)
        Path(f"{path}{suffix}").chmod(0o600)
    _spoil_header(path)
    async with open_database() as database, database.reading() as connection:
        assert (await connection.execute(select(LEARNED))).all() == []
    assert len(list(path.parent.glob(f"{NAME}.damaged-*"))) == 3


# --- migrations ---


def test_the_migrations_make_exactly_the_tables_of_the_code(path: Path) -> None:
    make_ours(path)
    migrate(path, lambda: 0.0)
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


@pytest.fixture
def longer(tmp_path: Path) -> Path:
    """The history as it may be one day: two revisions more, of which the second makes a table anew."""
    longer = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, longer, ignore=shutil.ignore_patterns("__pycache__"))
    after = revisions()[-1]
    for number, (name, body) in enumerate(
        [
            (
                "r9001_people",
                """
                op.create_table("people", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("name", sa.Text()))
                op.create_table(
                    "keys",
                    sa.Column("id", sa.Integer(), primary_key=True),
                    sa.Column("person", sa.Integer(), sa.ForeignKey("people.id", ondelete="CASCADE", name="fk")),
                )
                op.execute("INSERT INTO people VALUES (1, 'mia')")
                op.execute("INSERT INTO keys VALUES (7, 1)")
                """,
            ),
            (
                "r9002_names",
                """
                with op.batch_alter_table("people") as table:
                    table.alter_column("name", nullable=False, existing_type=sa.Text())
                """,
            ),
        ]
    ):
        revision = name[:5]
        head = f"import sqlalchemy as sa\nfrom alembic import op\nrevision = {revision!r}\ndown_revision = {after!r}\n"
        text = head + "def upgrade():\n" + textwrap.indent(textwrap.dedent(body), "    ")
        (longer / "versions" / f"{name}.py").write_text(text)
        after = revision
        assert number < 2
    return longer


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with looking(path) as connection:
        return connection.execute(query).fetchall()


def a_database_at(path: Path, revision: str, migrations: Path) -> None:
    """As the Seadragon of that revision left it."""
    make_ours(path)
    for each in revisions(migrations)[: revisions(migrations).index(revision) + 1]:
        migrate_module._upgrade(path, each, migrations)
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
        assert rows(path, "SELECT * FROM keys") == [(7, 1)]
        copies = sorted((path.parent / FOLDER).glob("*"))
        assert [revision_of(copy) for copy in copies] == known[index:-1]
        assert {mode(copy) for copy in copies} <= {0o600}
        assert all(rows(copy, "SELECT runner FROM learned") == [("a",)] for copy in copies)


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
        "before-migration-20231114-221320-from-r0001.db",
        "before-migration-20231114-221320-from-r9001.db",
    ]
    assert nightly.exists()


def test_a_migration_that_fails_leaves_everything_as_it_was(path: Path, longer: Path) -> None:
    a_database_at(path, "r0001", longer)
    (longer / "versions" / "r9003_wrong.py").write_text(
        "from alembic import op\nrevision = 'r9003'\ndown_revision = 'r9002'\n"
        "def upgrade():\n    op.drop_table('keys')\n    op.execute('UPDATE nowhere SET a = 1')\n"
    )
    with pytest.raises(SeadragonError, match="cannot be brought to r9003: no such table: nowhere. It is as it was"):
        migrate(path, lambda: 0.0, longer)
    assert revision_of(path) == "r9002"
    assert rows(path, "SELECT * FROM keys") == [(7, 1)]


def test_a_migration_that_leaves_rows_pointing_nowhere_is_undone(path: Path, longer: Path) -> None:
    a_database_at(path, "r9002", longer)
    (longer / "versions" / "r9003_wrong.py").write_text(
        "from alembic import op\nrevision = 'r9003'\ndown_revision = 'r9002'\n"
        "def upgrade():\n    op.execute('DELETE FROM people')\n"
    )
    with pytest.raises(SeadragonError, match="keys"):
        migrate(path, lambda: 0.0, longer)
    assert rows(path, "SELECT name FROM people") == [("mia",)]


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
    before = path.read_bytes()
    with pytest.raises(SeadragonError, match="of a newer Seadragon"):
        async with open_database():
            pass
    assert path.read_bytes() == before


def test_a_start_with_nothing_to_migrate_imports_no_alembic_and_none_of_it_before_it_opens(path: Path) -> None:
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
    assert run(program).split() == ["False", "True"]
    assert run(program).split() == ["False", "False"]


# --- copies ---


async def test_a_copy_made_while_somebody_writes_is_whole_and_private(
    path: Path, open_database: Callable[[], Database]
) -> None:
    async with open_database() as database:
        await _insert(database, "a")
        async with database.writing() as connection:
            await connection.execute(insert(LEARNED), _row("b"))
            copy = path.parent / FOLDER / "now.db"
            await asyncio.to_thread(back_up, path, copy)
    assert rows(copy, "SELECT runner FROM learned") == [("a",)]
    assert mode(copy) == 0o600
    assert mode(copy.parent) == 0o700
    assert newest(copy.parent) == copy
    assert [file.name for file in copy.parent.iterdir()] == ["now.db"]


def test_what_was_deleted_is_not_in_a_copy(path: Path) -> None:
    make_ours(path)
    with contextlib.closing(connect(path)) as connection:
        connection.execute("CREATE TABLE t (secret TEXT)")
        connection.execute("INSERT INTO t VALUES ('plugh-xyzzy')")
        connection.execute("DELETE FROM t")
    copy = path.with_name("copy.db")
    back_up(path, copy)
    assert b"plugh" not in copy.read_bytes()
    assert b"plugh" not in path.read_bytes()


def test_a_copy_that_cannot_be_finished_leaves_the_one_before_it(path: Path, tmp_path: Path) -> None:
    make_ours(path)
    copy = path.with_name("copy.db")
    copy.write_text("the one before")
    with pytest.raises(SeadragonError, match="The database cannot be copied"):
        back_up(tmp_path / "data" / "no.db", copy)
    assert copy.read_text() == "the one before"
    assert not list(path.parent.glob("*.part"))


# --- what was learned ---


async def test_what_was_learned_is_there_after_a_restart(
    path: Path, open_database: Callable[[], Database], clock: WoundClock, journal: Journal
) -> None:
    store = LearnedStore(clock, journal)
    async with running(store, open_database()):
        store.keep("one", LLAMA, "llama3.2")
        store.keep("two", QWEN)
    assert await seen_again(path) == {"one": LLAMA, "two": QWEN}
    assert rows(path, "SELECT runner, name FROM learned") == [("one", "llama3.2"), ("two", "")]
    assert told(journal) == []


async def test_a_figure_is_at_hand_at_once_and_on_disk_after_the_gathering(
    path: Path, open_database: Callable[[], Database], clock: WoundClock, journal: Journal
) -> None:
    store = LearnedStore(clock, journal)
    assert store.get("one") == Learned()
    async with running(store, open_database()):
        store.keep("one", QWEN)
        store.keep("one", LLAMA)
        assert store.get("one") == store.figures["one"] == LLAMA
        await clock.wind(GATHER - 0.1)
        assert rows(path, "SELECT count(*) FROM learned") == [(0,)]
        await clock.wind(0.1)
        await until(lambda: rows(path, "SELECT runner, loads FROM learned") == [("one", 3)])


async def test_many_figures_of_a_moment_are_one_transaction(
    path: Path, open_database: Callable[[], Database], clock: WoundClock, journal: Journal
) -> None:
    store, database, commits = LearnedStore(clock, journal), open_database(), list[object]()
    async with running(store, database):
        event.listen(database.engine.sync_engine, "commit", commits.append)
        for number in range(500):
            store.keep(str(number % 50), Learned(loads=number))
        await clock.wind(GATHER)
        await until(lambda: rows(path, "SELECT count(*) FROM learned") != [(0,)])
        assert rows(path, "SELECT count(*), min(loads) FROM learned") == [(50, 450)]
    assert len(commits) == 1


async def test_a_name_once_told_is_kept(
    path: Path, open_database: Callable[[], Database], clock: WoundClock, journal: Journal
) -> None:
    for name in ("llama3.2", ""):
        store = LearnedStore(clock, journal)
        async with running(store, open_database()):
            store.keep("one", LLAMA, name)
    assert rows(path, "SELECT name FROM learned") == [("llama3.2",)]


async def test_what_was_learned_before_the_database_was_open_joins_what_was_known(
    path: Path, open_database: Callable[[], Database], clock: WoundClock, journal: Journal
) -> None:
    first = LearnedStore(clock, journal)
    async with running(first, open_database()):
        first.keep("one", LLAMA, "llama3.2")
    second = LearnedStore(clock, journal)
    figures = second.figures
    second.keep("one", Learned().loaded(2.0, None))
    second.keep("new", QWEN)
    async with running(second, open_database()):
        assert figures["one"] == Learned(load_seconds=2.0, tokens_rate=31.5, memory=5 * 2**30, loads=4, crashes=1)
    assert await seen_again(path) == dict(figures)
    assert ("one", "llama3.2") in rows(path, "SELECT runner, name FROM learned")


async def test_words_no_database_takes_are_spelled_out(
    path: Path, open_database: Callable[[], Database], clock: WoundClock, journal: Journal
) -> None:
    """Half a character passes through JSON, and would stop the writer for good."""
    store = LearnedStore(clock, journal)
    async with running(store, open_database()):
        store.keep("one", Learned().crashed("bad \udc80 byte\0"), "na\udfffme")
        await store.flush()
    assert rows(path, "SELECT name, last_error FROM learned") == [("na\\udfffme", "bad \\udc80 byte\\x00")]


async def test_of_too_many_rows_those_nobody_used_for_a_year_go(
    path: Path,
    open_database: Callable[[], Database],
    clock: WoundClock,
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(learned_module, "MANY", 3)
    for key in ("a", "b", "c"):
        store = LearnedStore(clock, journal)
        async with running(store, open_database()):
            assert len(store.figures) == ord(key) - ord("a")  # no more than three: all of them stay
            store.keep(key, LLAMA)
        clock.step_wall(250 * 86400)
    store = LearnedStore(clock, journal)
    async with running(store, open_database()):
        assert set(store.figures) == {"a", "b", "c"}
        store.keep("d", LLAMA)
    assert rows(path, "SELECT count(*) FROM learned") == [(4,)]
    store = LearnedStore(clock, journal)
    async with running(store, open_database()):
        assert set(store.figures) == {"c", "d"}


async def test_without_a_database_figures_live_on_in_memory_and_the_journal_says_so(
    path: Path, open_database: Callable[[], Database], clock: WoundClock, journal: Journal
) -> None:
    make_ours(path)
    path.chmod(0o644)
    store = LearnedStore(clock, journal)
    await store.run(open_database())
    store.keep("one", LLAMA)
    await store.flush()
    assert store.known.is_set()
    assert store.get("one") == LLAMA
    (said,) = journal.last(10)
    assert said.level == "error"
    assert f"chmod 600 {path}" in said.text
    assert "is not kept" in said.text


async def test_a_cancel_at_any_moment_of_a_write_closes_cleanly_and_keeps_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No thread, connection or file is left open (pytest would tell), and nothing that was kept is lost."""
    monkeypatch.setattr(learned_module, "GATHER", 0.0)
    clock = SystemClock()
    for turns in range(0, 60, 3):
        path = tmp_path / str(turns) / NAME
        journal = Journal(clock)
        store = LearnedStore(clock, journal)
        async with running(store, Database(path, clock, journal)):
            store.keep("one", LLAMA)
            while not store._writing.locked():  # noqa: ASYNC110  # it is so for a moment only
                await asyncio.sleep(0)
            store.keep("two", QWEN)
            for _ in range(turns):
                await asyncio.sleep(0)
        assert await seen_again(path) == {"one": LLAMA, "two": QWEN}
        assert not Path(f"{path}-wal").exists()
        assert told(journal) == []


async def test_a_cancel_while_it_opens_leaves_nothing_open(path: Path, open_database: Callable[[], Database]) -> None:
    clock = SystemClock()
    for turns in range(1, 9):
        store = LearnedStore(clock, Journal(clock))
        task = asyncio.create_task(store.run(open_database()))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert store.known.is_set()


# --- a disk that takes nothing ---


async def test_while_another_program_keeps_the_database_locked_it_goes_on_and_tries_again(
    path: Path,
    open_database: Callable[[], Database],
    clock: WoundClock,
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("controller.storage.engine.BUSY", 0.05)
    store = LearnedStore(clock, journal)
    async with running(store, open_database()):
        with contextlib.closing(connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            for number in range(3):
                store.keep("one", Learned(loads=number))
                await clock.wind(AGAIN)
                await until(lambda: len(told(journal)) == 1 and not store._writing.locked())
            assert "cannot be written: database is locked" in told(journal)[0]
            assert store.get("one").loads == 2
            other.execute("ROLLBACK")
        await clock.wind(AGAIN)
        await until(lambda: len(told(journal)) == 2)
        assert "is written again" in told(journal)[1]
        assert rows(path, "SELECT loads FROM learned") == [(2,)]


async def test_a_figure_kept_during_a_write_that_fails_is_not_undone_by_the_older_one(
    path: Path,
    open_database: Callable[[], Database],
    clock: WoundClock,
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("controller.storage.engine.BUSY", 0.05)
    store = LearnedStore(clock, journal)
    async with running(store, open_database()):
        with contextlib.closing(connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            store.keep("one", Learned(loads=1))
            flushing = asyncio.create_task(store.flush())
            await asyncio.sleep(0)  # it has taken the batch, and now waits for the lock
            store.keep("one", Learned(loads=2))
            await flushing
            assert len(told(journal)) == 1
    assert rows(path, "SELECT loads FROM learned") == [(2,)]


FULL = """
    import asyncio, resource, sys
    from pathlib import Path
    from controller.events import Journal
    from controller.residency.learned import Learned
    from controller.storage.database import Database
    from controller.storage.learned import LearnedStore
    from tests.fakes.clock import WoundClock

    path, clock = Path(sys.argv[1]), WoundClock()
    journal = Journal(clock, said=lambda event: print(event.level, event.text, flush=True))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def main():
        store = LearnedStore(clock, journal)
        task = asyncio.create_task(store.run(Database(path, clock, journal)))
        await store.known.wait()
        store.keep("before", Learned(loads=1))
        await store.flush()
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, limits[1]))
        for number in range(40):
            store.keep(f"while {number}", Learned(last_error="e" * 1000))
            await store.flush()
        assert len(store.figures) == 41
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        await store.flush()
        task.cancel()
        await asyncio.wait([task])
        print("end", flush=True)

    asyncio.run(main())
"""


async def test_a_full_disk_is_told_once_survived_and_made_up_for(path: Path) -> None:
    lines = run(FULL, str(path)).splitlines()
    assert len(lines) == 3, lines
    assert lines[0].startswith("warning What Seadragon learns of models cannot be written: ")
    assert lines[1] == "info What Seadragon learns of models is written again."
    assert lines[2] == "end"
    assert damage(path) is None
    assert len(await seen_again(path)) == 41


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own, to be filled or made read-only."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k,mode=700", "tmpfs", str(folder)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_disk_that_somebody_else_fills_is_told_once_survived_and_made_up_for(
    disk: Path, clock: WoundClock, journal: Journal
) -> None:
    path = disk / NAME
    store = LearnedStore(clock, journal)
    async with running(store, Database(path, clock, journal)):
        store.keep("before", LLAMA)
        await store.flush()
        with _filled(disk):
            for number in range(3):
                store.keep(f"while {number}", QWEN)
                for more in range(30):
                    store.keep(f"while {number} {more}", Learned(last_error="e" * 2000))
                await store.flush()
            assert len(told(journal)) == 1
            assert "cannot be written: database or disk is full" in told(journal)[0]
        await store.flush()
        assert len(told(journal)) == 2
    assert len(await seen_again(path)) == 94


async def test_a_read_only_disk_at_the_start_is_told_and_done_without(
    disk: Path, clock: WoundClock, journal: Journal
) -> None:
    path = disk / NAME
    async with running(LearnedStore(clock, journal), Database(path, clock, journal)):
        pass
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    store = LearnedStore(clock, journal)
    await store.run(Database(path, clock, journal))
    store.keep("one", LLAMA)
    (line,) = told(journal)
    assert f"The database {path} cannot be used" in line


@contextlib.contextmanager
def _filled(disk: Path) -> Iterator[None]:
    """Not a byte is free for as long as the block lasts."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"\0" * 4096):
            pass
    try:
        yield
    finally:
        filler.unlink()


# --- killed in the middle ---

WRITER = """
    import asyncio, sys
    from pathlib import Path
    from controller.clock import SystemClock
    from controller.events import Journal
    from controller.residency.learned import Learned
    from controller.storage.database import Database
    from controller.storage.learned import LearnedStore

    async def main():
        clock = SystemClock()
        store = LearnedStore(clock, Journal(clock, said=lambda event: print(event.text, file=sys.stderr)))
        task = asyncio.create_task(store.run(Database(Path(sys.argv[1]), clock, Journal(clock))))
        await store.known.wait()
        number = store.get("0").loads
        while True:
            number += 1
            for key in range(20):
                store.keep(str(key), Learned(loads=number, last_error="e" * 300))
            await store.flush()
            print(number, flush=True)

    asyncio.run(main())
"""


async def test_a_kill_in_the_middle_of_writing_loses_at_most_the_last_batch_and_damages_nothing(path: Path) -> None:
    reached = 0
    for pause in range(4):
        with subprocess.Popen(command(WRITER, str(path)), stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(3 + 7 * pause):
                reached = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            reached = max([reached, *(int(line) for line in writer.stdout.read().split("\n")[:-1])])
            assert writer.wait() == -signal.SIGKILL
        assert damage(path) is None
        found = {learned.loads for learned in (await seen_again(path)).values()}
        assert found <= {reached, reached + 1}  # the last may have been written and not yet said
        assert len(found) == 1  # a batch is there as a whole or not at all


# --- tools ---


def command(program: str, *arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *arguments]


def run(program: str, *arguments: str) -> str:
    done = subprocess.run(command(program, *arguments), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def _row(runner: str) -> dict[str, object]:
    return {"runner": runner, "name": "", "loads": 0, "crashes": 0, "last_error": "", "updated_at": 1.0}


async def _insert(database: Database, runner: str) -> None:
    async with database.writing() as connection:
        await connection.execute(insert(LEARNED), _row(runner))
