"""Figures written behind, and met with everything that a disk and a kill can do to them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.clock import SystemClock
from controller.events import Journal
from controller.residency.learned import Learned
from controller.storage import learned as learned_module
from controller.storage.database import LONGEST, Database
from controller.storage.file import NAME, connect, damage, make_ours
from controller.storage.learned import LearnedStore
from controller.storage.write_behind import GATHER, RETRY
from tests.fakes.clock import WoundClock
from tests.kit.disk import filled, small_disk
from tests.kit.stored import command, rows, run, told
from tests.kit.until import until

# ruff: noqa: ASYNC220, ASYNC221, ASYNC240  # what a test does to the disk may well block

LLAMA = Learned(load_seconds=4.5, tokens_rate=31.5, memory=5 * 2**30, loads=3, crashes=1, last_error="out of memory")
QWEN = Learned(answer_seconds=9.0, prompt_rate=400.0)


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


# --- what was learned ---


class LateDatabase(Database):
    """Cannot be opened the first time, for want of descriptors."""

    refused = False

    async def __aenter__(self) -> Database:
        if not self.refused:
            self.refused = True
            raise OSError(errno.EMFILE, "Too many open files")
        return await super().__aenter__()


class WatchedDatabase(Database):
    """Counts the transactions that write."""

    begun = ended = 0

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        self.begun += 1
        try:
            async with super().writing() as connection:
                yield connection
        finally:
            self.ended += 1

    def has_tried(self, count: int) -> bool:
        return self.ended >= count


async def test_a_machine_without_descriptors_at_the_start_is_no_reason_to_forget(
    path: Path, clock: WoundClock, journal: Journal
) -> None:
    store = LearnedStore(clock, journal)
    store.keep("llama", LLAMA)
    running_store = asyncio.create_task(store.run(LateDatabase(path, clock, journal)))
    await until(lambda: any("too many open files" in line for line in told(journal)))
    await store.known.wait()
    await clock.wind(LONGEST)
    await until(lambda: any("are written again" in line for line in told(journal)))
    running_store.cancel()
    await asyncio.wait([running_store])
    assert (await seen_again(path))["llama"].loads == LLAMA.loads


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
    async with running(store, open_database()):
        store.keep("one", LLAMA)
        await store.flush()
        assert store.get("one") == LLAMA
        (said,) = journal.last(10)
        assert f"chmod 600 {path}" in said.text
        assert "tried again" in said.text


async def test_a_cancel_at_any_moment_of_a_write_closes_cleanly_and_keeps_everything(tmp_path: Path) -> None:
    """No thread, connection or file is left open (pytest would tell), and nothing that was kept is lost."""
    clock = SystemClock()
    for turns in range(0, 60, 3):
        path = tmp_path / str(turns) / NAME
        journal = Journal(clock)
        store, database = LearnedStore(clock, journal, gather=0.0), WatchedDatabase(path, clock, journal)
        async with running(store, database):
            store.keep("one", LLAMA)
            while not database.begun:  # noqa: ASYNC110  # the moment matters
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
    path: Path, clock: WoundClock, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.storage.engine.BUSY", 0.05)
    store, database = LearnedStore(clock, journal), WatchedDatabase(path, clock, journal)
    async with running(store, database):
        with contextlib.closing(connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            for number in range(3):
                store.keep("one", Learned(loads=number))
                await clock.wind(RETRY)
                await until(partial(database.has_tried, number + 1))
            assert "cannot be written: database is locked" in told(journal)[0]
            assert store.get("one").loads == 2
            other.execute("ROLLBACK")
        await clock.wind(RETRY)
        await until(lambda: len(told(journal)) == 2)
        assert "are written again" in told(journal)[1]
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
    assert lines[0].startswith("warning Figures of models cannot be written: ")
    assert lines[1] == "info Figures of models are written again."
    assert lines[2] == "end"
    assert damage(path) is None
    assert len(await seen_again(path)) == 41


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    with small_disk(folder):
        yield folder


async def test_a_disk_that_somebody_else_fills_is_told_once_survived_and_made_up_for(
    disk: Path, clock: WoundClock, journal: Journal
) -> None:
    path = disk / NAME
    store = LearnedStore(clock, journal)
    async with running(store, Database(path, clock, journal)):
        store.keep("before", LLAMA)
        await store.flush()
        with filled(disk):
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
    running_store = asyncio.create_task(store.run(Database(path, clock, journal)))
    await store.known.wait()
    store.keep("one", LLAMA)
    (line,) = told(journal)
    assert f"The database {path} cannot be used" in line
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    while len(told(journal)) == 1:
        await clock.wind(LONGEST)
    await store.flush()
    running_store.cancel()
    await asyncio.wait([running_store])
    assert set(await seen_again(path)) == {"one"}


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
