"""The database on a real disk: opened, shared, refused, damaged, copied."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from controller.errors import SeadragonError
from controller.events import Journal
from controller.storage.backup import FOLDER, back_up, newest
from controller.storage.database import Database
from controller.storage.file import NAME, connect, damage, make_ours
from controller.storage.migrate import revision_of, revisions
from controller.storage.tables import LEARNED
from tests.fakes.clock import WoundClock
from tests.kit.stored import a_row, command, mode, put, rows, told

# ruff: noqa: ASYNC221, ASYNC240  # what a test does to the disk may well block
# --- opening ---


async def test_a_new_database_is_ours_alone_while_open_and_after(
    path: Path, open_database: Callable[[], Database]
) -> None:
    before = os.umask(0)
    try:
        async with open_database() as database, database.writing() as connection:
            await connection.execute(insert(LEARNED), a_row("a"))
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
                await connection.execute(insert(LEARNED), a_row("a"))
                raise ZeroDivisionError
        async with database.reading() as connection:
            assert (await connection.execute(select(LEARNED))).all() == []


async def test_a_reader_sees_one_moment_while_another_writes(open_database: Callable[[], Database]) -> None:
    async with open_database() as database, database.reading() as reader:
        assert (await reader.execute(select(LEARNED))).all() == []
        async with database.writing() as writer:
            await writer.execute(insert(LEARNED), a_row("a"))
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
            await connection.execute(insert(LEARNED), a_row(str(number)) | {"loads": count})

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
        await put(database, "a")
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
        await put(database, "a")
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
        await put(database, "a")
        kept = {suffix: Path(f"{path}{suffix}").read_bytes() for suffix in ("-wal", "-shm")}
    for suffix, content in kept.items():
        Path(f"{path}{suffix}").write_bytes(content)
        Path(f"{path}{suffix}").chmod(0o600)
    _spoil_header(path)
    async with open_database() as database, database.reading() as connection:
        assert (await connection.execute(select(LEARNED))).all() == []
    assert len(list(path.parent.glob(f"{NAME}.damaged-*"))) == 3


# --- copies ---


async def test_a_copy_made_while_somebody_writes_is_whole_and_private(
    path: Path, open_database: Callable[[], Database]
) -> None:
    async with open_database() as database:
        await put(database, "a")
        async with database.writing() as connection:
            await connection.execute(insert(LEARNED), a_row("b"))
            copy = path.parent / FOLDER / "now.db"
            await asyncio.to_thread(back_up, path, copy)
    assert rows(copy, "SELECT runner FROM learned") == [("a",)]
    assert mode(copy) == 0o600
    assert mode(copy.parent) == 0o700
    assert newest(copy.parent, time.time()) == copy
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
