"""Rows on their way into the database: handed over at once, written behind, so that no answer waits for a disk."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from controller.clock import Clock
from controller.errors import SeadragonError
from controller.events import Journal
from controller.storage.database import Database, to_its_end
from controller.storage.file import words_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

CAPACITY: Final = 20_000  # rows that wait for a disk that takes none, at most
BATCH: Final = 200  # rows of one transaction: what is prepared for it on the event loop takes a millisecond
GATHER: Final = 2.0  # seconds in which rows gather before they are written: what a crash may cost
OPENING: Final = 5.0  # seconds that a question waits for a database that is being opened
RETRY: Final = 30.0  # seconds after which what could not be written is tried again

RowT = TypeVar("RowT")


class WriteBehind(Generic[RowT]):
    """`put` never waits and never fails; when it is full, the oldest row gives way, and is counted in `dropped`.

    `write` puts some rows into the database, in one transaction. `what` is how people call them, in the plural.
    """

    def __init__(
        self,
        clock: Clock,
        journal: Journal,
        what: str,
        write: Callable[[Database, Sequence[RowT]], Awaitable[None]],
        *,
        gather: float = GATHER,
        capacity: int = CAPACITY,
        batch: int = BATCH,
        opening: float = OPENING,
    ) -> None:
        self.dropped = 0
        self._clock, self._journal, self._what, self._write = clock, journal, what, write
        self._gather, self._capacity, self._batch, self._opening = gather, capacity, batch, opening
        self._database: Database | None = None
        self._opened = asyncio.Event()
        self._rows: deque[RowT] = deque(maxlen=capacity)
        self._waiting = asyncio.Event()  # there is something to write
        self._writing = asyncio.Lock()
        self._troubled = False

    def __len__(self) -> int:
        """Rows that wait."""
        return len(self._rows)

    def put(self, row: RowT) -> None:
        """Hand over. The hot path pays for this: a third of a microsecond."""
        if len(self._rows) == self._capacity:
            self.dropped += 1
        self._rows.append(row)
        if not self._waiting.is_set():
            self._waiting.set()

    async def run(
        self, database: Database, sweep: Callable[[Database], Coroutine[Any, Any, None]] | None = None
    ) -> None:
        """Write behind until cancelled, and `sweep` beside it; then write the rest. `database` is open until this
        returns.
        """
        self._database = database
        self._opened.set()
        sweeping = None if sweep is None else asyncio.create_task(sweep(database))
        try:
            await self._write_as_it_comes()
        finally:
            if sweeping is not None:
                sweeping.cancel()
                with suppress(asyncio.CancelledError):
                    await sweeping
            self._database = None
            self._opened.clear()

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees what was just put, too. Waits a moment for a database that is being opened, as it is
        after a start. Raises SeadragonError.
        """
        from sqlalchemy.exc import SQLAlchemyError

        with suppress(TimeoutError):
            async with asyncio.timeout(self._opening):
                await self._opened.wait()
        if self._database is None:
            words = f"{self._what} are not to be had: the database is not open. The log says why: seadragon logs"
            raise SeadragonError(words)
        try:
            await to_its_end(self.flush())
            async with self._database.reading() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise SeadragonError(f"{self._what} cannot be read: {words_of(error)}.") from error

    async def _write_as_it_comes(self) -> None:
        try:
            while True:
                await self._waiting.wait()
                await self._clock.sleep(RETRY if self._troubled else self._gather)
                self._waiting.clear()
                await to_its_end(self.flush())
                if self._rows:
                    self._waiting.set()
        finally:
            await self.flush()

    async def flush(self) -> None:
        """Write what waits, now, if the database is open. What cannot be written waits on, which the journal tells
        once.
        """
        from sqlalchemy.exc import SQLAlchemyError

        async with self._writing:
            database = self._database
            if database is None:
                return
            for _ in range(-(-len(self._rows) // self._batch)):  # what comes in the meantime has its own turn
                batch = [self._rows.popleft() for _ in range(min(self._batch, len(self._rows)))]
                try:
                    await self._write(database, batch)
                except SQLAlchemyError as error:
                    self._requeue(batch)
                    return self.tell(words_of(error))
            self.tell(None)

    def _requeue(self, batch: Sequence[RowT]) -> None:
        fits = min(self._capacity - len(self._rows), len(batch))
        self.dropped += len(batch) - fits
        self._rows.extendleft(islice(reversed(batch), fits))

    def tell(self, trouble: str | None) -> None:
        """Rows cannot be written, for this reason; None: they can. The journal hears of each change once."""
        if trouble is not None and not self._troubled:
            words = f"{self._what} cannot be written: {trouble}. The newest {self._capacity} are kept, and tried again."
            self._journal.say("storage", words, level="warning")
        elif trouble is None and self._troubled:
            lost = f", but for {self.dropped} that found no room" if self.dropped else ""
            self._journal.say("storage", f"{self._what} are written again{lost}.")
        self._troubled = trouble is not None
