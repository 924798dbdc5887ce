"""The way of an order: into the database, then into memory, then told to whoever acts on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeVar

from controller.auth.held.barring import Barring
from controller.auth.held.given import Giving
from controller.auth.held.memory import HeldRows, What
from controller.auth.held.transaction import Given, Transaction
from controller.auth.held.uses import LastUses, Noted
from controller.auth.rows import AllowRow, KeyRow
from controller.clock import Clock
from controller.errors import SeadragonError
from controller.events import Journal
from controller.storage import shelf
from controller.storage.database import Database, patiently, to_its_end
from controller.storage.file import words_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")
Followed = Callable[[Sequence[Given], Sequence[Given]], None]
"""Told what ended along with its giver's right, and what went to somebody else."""

LOOK: Final = 15.0  # seconds between two looks for what has expired: open streams end within sixty
GATHER: Final = 60.0  # seconds in which last uses gather before they are written: what a crash may cost
OPENING: Final = 10.0  # seconds an order waits for the database at a start
_OPENING: Final = "Seadragon is just opening its database. Try again in a moment."


class Ledger:
    """Keeps `rows`, all of them in memory, and the same in the database. Before that could be read no row is there,
    which says nothing of who has a right (`unread`), and every order is refused in words.
    """

    def __init__(
        self, rows: HeldRows, giving: Giving, barring: Barring, uses: LastUses, clock: Clock, journal: Journal
    ) -> None:
        self.changed: list[Callable[[What, str], None]] = []
        """Told of each row that is new, different, expired or gone, by its id, when memory already says so."""
        self.followed: list[Followed] = []
        """Told by an order that took a right away, once memory says so."""
        self.known = asyncio.Event()
        """Set once the rows are here, or cannot be had for now (`unread`)."""
        self.unread = ""
        """Why nobody knows who has a right: the database could not be read so far. Empty: all rows are here."""
        self.why = _OPENING
        """No order can be given now, and why; empty while they can."""
        self._rows, self._giving, self._barring, self._uses = rows, giving, barring, uses
        self._clock, self._journal = clock, journal
        self._ordering = asyncio.Lock()
        self._database: Database | None = None
        self._troubled = False
        self._lapsed = True  # a right may have ended by itself, and what it gave out with it

    # --- its life ---

    async def run(self, database: Database) -> None:
        """Open the database and bring in every row, however often that has to be tried, which the journal tells; then
        write last uses behind and let rights expire until cancelled.
        """
        await self._barring.recall(database)
        there = database.path.exists()
        try:
            await patiently(self._clock, lambda: self._live(database), lambda why: self._missed(why, there=there))
        finally:
            self._database = None
            self.why = self.why or "Seadragon is leaving."
            self.known.set()

    async def _live(self, database: Database) -> None:
        async with database:
            await self._begin(database)
            try:
                await self._tend()
            finally:
                await self.write_uses()

    def _missed(self, why: str, *, there: bool) -> None:
        """It is not known who has a right, which is not the same as nobody. `there`: there was a database."""
        words = f"Nobody knows now who has a key or an account; it is looked up again and again. {why}"
        if words != self.unread:
            self._journal.say("door", words, level="error")
        self.unread = self.why = words
        self._barring.unread(why, there=there)
        self.known.set()

    async def _begin(self, database: Database) -> None:
        """Bring every row in. What is kept out without the database stays so until all of them are here."""
        await self._swept(database, self._clock.wall())
        allowed = await self._read(database)
        self.known.clear()  # nobody is let in while the one takes the place of the other
        self._rows.allowed.clear()
        for row in allowed:
            self._rows.take(row)
        self._database, self.why = database, ""
        await self._barring.compared(database, lambda write: to_its_end(self.carried_out(write)))
        if self.unread:
            self._journal.say("door", "The database can be read now: keys and accounts count again.")
        self.unread = ""
        self.known.set()
        for rows in self._rows.sets():
            for id in rows:
                self._tell(rows.what, id)

    async def _read(self, database: Database) -> list[AllowRow]:
        """Take every row but those of addresses, which are told. Raises SeadragonError; then none was taken."""
        from sqlalchemy.exc import SQLAlchemyError

        allowed: list[AllowRow] = []
        try:
            async with database.reading() as connection:
                for rows in self._rows.sets():
                    async for some in shelf.everything(connection, rows.kind):
                        for row in some:
                            allowed.append(row) if isinstance(row, AllowRow) else self._rows.take(row)
        except (SQLAlchemyError, ValueError, TypeError) as error:  # the latter: a row that is none of ours
            self._forget_all()
            raise SeadragonError(f"The database cannot be read: {words_of(error)}.") from error
        return allowed

    def _forget_all(self) -> None:
        """Half of the rows could be the half without what was taken back. Who is kept out is known without them."""
        for rows in self._rows.sets():
            if rows.kind is not AllowRow:
                rows.clear()

    async def _tend(self) -> None:
        written = self._clock.now()
        while True:
            await self._follow()
            async with self._ordering:
                await self._barring.after(None)
            await self._clock.sleep(LOOK)
            await self._expire()
            if self._clock.now() - written >= GATHER:
                await to_its_end(self.write_uses())
                written = self._clock.now()

    # --- orders ---

    async def here(self) -> None:
        """Wait until the rows are here, or will not come; at most `OPENING`: then orders are refused in words."""
        with suppress(TimeoutError):
            async with asyncio.timeout(OPENING):
                await self.known.wait()

    @property
    def ordering(self) -> bool:
        """Whether an order is being carried out."""
        return self._ordering.locked()

    async def carried_out(self, write: Callable[[Transaction], Awaitable[T]]) -> T:
        """Do what an order does. Raises SeadragonError; then nothing has changed, neither here nor there."""
        async with self._ordering:
            try:
                async with self._writing() as connection:
                    tx = Transaction(connection)
                    answer = await write(tx)
                    await self._giving.settle(tx)
                    await self._barring.before(tx)
            except BaseException:
                await self._barring.after(None)
                raise
            for row in tx.gone:
                self._rows.forget(row)
            for row in tx.kept:
                self._rows.take(row)
            for row in (*tx.gone, *tx.kept):
                self._tell(self._rows.what(row), row.id)
            await self._barring.after(tx)
            if tx.ended or tx.handed:
                for told in self.followed:
                    told(tx.ended, tx.handed)
        return answer

    async def reopen(self) -> None:
        """Let addresses in again, who was kept out or not: the operator says so. Raises SeadragonError."""
        async with self._ordering:
            await self._barring.reopen()
        self._tell("allow", "")

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        if self._database is None:
            raise SeadragonError(self.why)
        from sqlalchemy.exc import SQLAlchemyError

        try:
            async with self._database.writing() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise SeadragonError(f"Nothing was changed: the database says {words_of(error)}.") from error

    def _tell(self, what: What, id: str) -> None:
        for told in self.changed:
            told(what, id)

    # --- the end of rights ---

    async def _follow(self) -> None:
        """What follows from rights that ended by themselves, here or while nobody looked. Nobody waits for it: what
        stands on such a right does not count any more.
        """
        if self._lapsed:
            with suppress(SeadragonError):  # it is tried again at the next look
                await to_its_end(self.carried_out(_settling))
                self._lapsed = False

    async def _expire(self) -> None:
        """Rights end here and now; the disk follows when it can."""
        now = self._clock.wall()
        ended = list(self._rows.ended(now))
        for row in ended:
            if self._rows.of(type(row)).vanish:
                self._rows.forget(row)
            self._tell(self._rows.what(row), row.id)
            self._lapsed = self._lapsed or isinstance(row, KeyRow)
        if ended and self._database is not None:
            await to_its_end(self._swept(self._database, now))

    async def _swept(self, database: Database, now: float) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            async with database.writing() as connection:
                for rows in self._rows.sets():
                    if rows.vanish:
                        await shelf.drop_expired(connection, rows.kind, now)
        except SQLAlchemyError as error:
            self._troubles(words_of(error))  # they are past in memory, and go with the next sweep

    # --- last uses, written behind ---

    async def write_uses(self) -> None:
        """Write the last uses that are noted, now. What cannot be written stays noted, which the journal tells once."""
        uses = self._uses.waiting()
        if not uses or self._database is None:
            return
        try:
            await self._write(uses)
        except SeadragonError as error:
            self._troubles(str(error))
        else:
            self._troubles(None)

    async def _write(self, uses: Noted) -> None:
        async with self._ordering:
            async with self._writing() as connection:
                await self._uses.write(connection, uses)
            self._uses.written(uses)

    def _troubles(self, why: str | None) -> None:
        if why is not None and not self._troubled:
            words = f"When keys and sessions were last used cannot be written: {why} It goes on, and tries again."
            self._journal.say("door", words, level="warning")
        elif why is None and self._troubled:
            self._journal.say("door", "When keys and sessions were last used is written again.")
        self._troubled = why is not None


async def _settling(tx: Transaction) -> None:
    """Nothing but what follows from it: what was given out by those whose right has ended by itself ends."""
    tx.settles = True
