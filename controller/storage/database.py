"""The one database, as long as it is open."""

from __future__ import annotations

import asyncio
import shlex
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from controller.clock import Clock
from controller.errors import SeadragonError
from controller.events import Journal
from controller.plain import fault_words
from controller.storage import backup
from controller.storage.file import damage, make_ours, set_aside, unusable
from controller.storage.handle import Handle
from controller.storage.migrate import migrate
from controller.supervision.backoff import Doubling

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

T = TypeVar("T")

FIRST: Final = 1.0  # seconds after which what could not be opened is tried again, doubling …
LONGEST: Final = 30.0  # … up to this
LOOK: Final = 0.05  # seconds between two looks at whether the last reader of a former file is done


class Database:
    """`async with Database(...)`: made or brought up to date, open until the block ends; the last of several blocks.

    Entering raises SeadragonError: the file is not ours alone, of a newer Seadragon, or cannot be had. A damaged one is
    told, set aside, and replaced by an empty one; no older copy takes its place unasked. What can take time happens in
    a thread; nothing of SQLAlchemy is imported before.
    """

    def __init__(self, path: Path, clock: Clock, journal: Journal) -> None:
        self.path = path
        self.began: Literal["", "new", "damaged"] = ""
        """Whether it began empty: there was none, or a damaged one was set aside."""
        self.lost = ""
        """Why what is in it is not where it belongs: it was deleted under us, and cannot be saved. Empty: it is."""
        self._clock, self._journal = clock, journal
        self._engine: AsyncEngine | None = None
        self._handle: Handle | None = None
        self._inside = 0  # blocks it is open for
        self._opening = asyncio.Lock()
        self._tries = 0  # to open it
        self._failed: SeadragonError | None = None  # how the last of them ended
        self._writing = asyncio.Lock()  # SQLite takes one writer at a time: they wait here in order, not in threads

    @property
    def engine(self) -> AsyncEngine:
        """SQLAlchemy's own; only while it is open."""
        assert self._engine is not None, "the database is not open"
        return self._engine

    async def __aenter__(self) -> Database:
        tries = self._tries
        async with self._opening:
            if self._engine is None:
                if self._failed is not None and self._tries != tries:
                    raise self._failed  # somebody tried while we waited: what is locked need not be waited for twice
                await self._open()
            self._inside += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave()

    async def _leave(self) -> None:
        self._inside -= 1
        if not self._inside:
            engine, handle, self._engine, self._handle = self.engine, self._handle, None, None
            assert handle is not None, "as long as there is an engine"
            await engine.dispose()
            await to_its_end(asyncio.to_thread(handle.close))

    # --- its file ---

    async def look(self) -> None:
        """See whether the file is still there. One that was deleted, or replaced, is put back from what is open."""
        async with self._opening:
            if self._handle is None or await asyncio.to_thread(lambda handle: handle.there, self._handle):
                return
            self._inside += 1  # nobody closes it meanwhile
        try:
            await to_its_end(self._save())
        finally:
            await self._leave()

    async def _save(self) -> None:
        engine, handle = self.engine, self._handle
        assert handle is not None
        try:
            async with self._writing:
                aside = await asyncio.to_thread(handle.save, self._clock.wall())
                self._handle, self._engine = await asyncio.to_thread(_opened, self.path)
        except SeadragonError as error:
            words = (
                f"The database was taken away while Seadragon runs. {error} It is tried again; nothing is kept so far."
            )
            if words != self.lost:
                self._journal.say("storage", words, level="error")
            self.lost = words
            return
        self.lost = ""
        found = f" The other file that lay there is kept as {aside}: `seadragon restore` takes it." if aside else ""
        words = f"The database was taken away while Seadragon runs: it was saved, and is back as {self.path}.{found}"
        self._journal.say("storage", words, level="warning")
        while engine.pool.checkedout():  # type: ignore[attr-defined]  # noqa: ASYNC110  # who reads of it tells nobody
            await asyncio.sleep(LOOK)
        await engine.dispose()
        await asyncio.to_thread(handle.close)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one moment of the database for as long as the block lasts.

        Raises sqlalchemy.exc.SQLAlchemyError, as everything done with the connection does.
        """
        async with self.engine.connect() as connection, connection.begin():
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction: committed with the block's end, undone by an exception.

        Raises sqlalchemy.exc.SQLAlchemyError, as everything done with the connection does.
        """
        async with self._writing, self.engine.connect() as connection:
            await connection.execution_options(writes=True)
            async with connection.begin():
                yield connection

    async def _open(self) -> None:
        self._tries += 1
        try:
            told = await asyncio.to_thread(self._prepare)
            handle, engine = await asyncio.to_thread(_opened, self.path)
        except SeadragonError as error:
            self._failed = error
            raise
        except OSError as error:
            self._failed = SeadragonError(f"The database cannot be opened: {fault_words(error)}.")
            raise self._failed from error
        self._handle, self._engine, self._failed = handle, engine, None
        for line in told:
            self._journal.say("storage", line, level="error")

    def _prepare(self) -> list[str]:
        """Make sure of the file and its tables; what a person has to know of it. Raises SeadragonError."""
        self.began = "" if self.path.exists() else "new"
        make_ours(self.path)
        told = []
        if found := damage(self.path):
            told.append(self._replace(found))
            self.began = "damaged"
        migrate(self.path, self._clock.wall)
        return told

    def _replace(self, found: str) -> str:
        try:
            aside = set_aside(self.path, self._clock.wall())
        except OSError as error:
            raise SeadragonError(f"The database is damaged and cannot be moved: {fault_words(error)}.") from error
        make_ours(self.path)
        told = f"The database was damaged ({found}). It is kept as {aside}, and a new, empty one takes its place."
        if copy := backup.newest(self.path.parent / backup.FOLDER, self._clock.wall()):
            old, new = shlex.quote(str(copy)), shlex.quote(str(self.path))
            how = f"rm -f {new}-wal {new}-shm && cp {old} {new}"  # a log that is not its own would spoil the copy
            told += f" To go back to its last copy instead, stop Seadragon and run: {how}"
        return told


def _opened(path: Path) -> tuple[Handle, AsyncEngine]:
    from controller.storage import engine, tables  # noqa: F401  # whoever opens a database wants its tables next

    try:
        return Handle(path), engine.engine_for(path)
    except sqlite3.Error as error:
        raise unusable(path, error) from error


async def patiently(clock: Clock, work: Callable[[], Awaitable[None]], missed: Callable[[str], None]) -> None:
    """Do `work`, which needs the database; when it fails, again and again after growing pauses. `missed` is told why,
    each time, in a sentence. A disk may be full for an hour and a file locked for a minute: neither is for ever.
    """
    pauses = Doubling(FIRST, LONGEST)
    while True:
        try:
            return await work()
        except SeadragonError as error:
            missed(str(error))
        except OSError as error:  # no descriptors are left, most likely
            missed(f"The database cannot be used: {fault_words(error)}.")
        await clock.sleep(pauses.next())


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """What has begun in the database ends before whoever waits for it is cancelled."""
    working = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        if not working.cancelled():
            working.exception()  # who would have been told has gone
        raise
