"""The way of an order: into the database, then into memory, then told to whoever acts on it."""

from __future__ import annotations

import asyncio
import functools
import heapq
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Concatenate, Final, Literal, ParamSpec, TypeVar

from controller.auth.rows import AllowRow, InviteRow, KeyRow, LinkRow, SessionRow, UserRow
from controller.auth.secrets import Random
from controller.clock import Clock
from controller.config.entry import Access
from controller.errors import SeadragonError
from controller.events import Journal
from controller.storage import shelf
from controller.storage.database import Database, patiently, to_its_end
from controller.storage.file import words_of
from controller.storage.shelf import R, Row

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

What = Literal["key", "user", "session", "invite", "allow", "link"]
P = ParamSpec("P")
T = TypeVar("T")
L = TypeVar("L", bound="Ledger")
Given = KeyRow | InviteRow | AllowRow | LinkRow
"""What stands on the right of whoever gave it out."""
Followed = Callable[[Sequence[Given], Sequence[Given]], None]
"""Told what ended along with its giver's right, and what went to somebody else."""

LOOK: Final = 15.0  # seconds between two looks for what has expired: open streams end within sixty
GATHER: Final = 60.0  # seconds in which last uses gather before they are written: what a crash may cost
OPENING: Final = 10.0  # seconds an order waits for the database at a start
_OPENING: Final = "Seadragon is just opening its database. Try again in a moment."

_WHAT: Final[dict[type[Row], What]] = {
    KeyRow: "key",
    UserRow: "user",
    SessionRow: "session",
    InviteRow: "invite",
    AllowRow: "allow",
    LinkRow: "link",
}


class Entry:
    """One order on its way: what it does to the database now, and to memory once that is committed."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.kept: list[Row] = []
        self.gone: list[Row] = []
        self.settles = False  # what was given out is looked through, whatever it does
        self.heir = ""  # the identity of who answers from now on for what was given out; "": it ends
        self.ended: list[Given] = []  # what was given out and ends with its giver's right
        self.handed: list[Given] = []  # … or goes to the heir

    async def put(self, row: R) -> R:
        """A new row."""
        await shelf.put(self.connection, row)
        self.keep(row)
        return row

    async def change(self, row: R, **fields: Any) -> R:
        """The row with these fields different."""
        await shelf.change(self.connection, type(row), [{"id": row.id, **fields}])
        changed = replace(row, **fields)
        self.keep(changed)
        return changed

    async def drop(self, row: Row) -> None:
        """The row no longer."""
        await shelf.drop(self.connection, row)
        self.lose(row)

    def after(self, kind: type[R], rows: Mapping[str, R]) -> Mapping[str, R]:
        """`rows` as they will be when this is in memory."""
        gone = {row.id for row in self.gone if isinstance(row, kind)}
        kept = {row.id: row for row in self.kept if isinstance(row, kind)}
        return {id: row for id, row in {**rows, **kept}.items() if id not in gone}

    def keep(self, row: Row) -> None:
        """The row, which the database has so already."""
        self.kept.append(row)

    def lose(self, row: Row) -> None:
        """The row no longer, which the database has lost already."""
        self.gone.append(row)


def order(
    method: Callable[Concatenate[L, Entry, P], Awaitable[T]],
) -> Callable[Concatenate[L, P], Coroutine[Any, Any, T]]:
    """Make a method an order: one at a time, one transaction, and carried to its end once it has begun.

    A caller that is cancelled in the middle would otherwise leave a key revoked on disk and good in memory.
    """

    @functools.wraps(method)
    async def given(ledger: L, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await to_its_end(ledger.carried_out(lambda entry: method(ledger, entry, *args, **kwargs)))

    return given


class Ledger:
    """All rows in memory, and the same in the database. Reading asks nobody. Before the database could be read no row
    is there, which says nothing of who has a right (`unread`), and every order is refused in words.
    """

    def __init__(
        self,
        clock: Clock,
        journal: Journal,
        random: Random = os.urandom,
        *,
        access: Callable[[], Access] = Access,
    ) -> None:
        """`access`: the configuration as it is now."""
        self.changed: list[Callable[[What, str], None]] = []
        """Told of each row that is new, different, expired or gone, by its id, when memory already says so."""
        self.followed: Followed = lambda ended, handed: None
        """Told by an order that took a right away, once memory says so."""
        self.known = asyncio.Event()
        """Set once the rows are here, or cannot be had for now (`unread`)."""
        self.unread = ""
        """Why nobody knows who has a right: the database could not be read so far. Empty: all rows are here."""
        self.why = _OPENING
        """No order can be given now, and why; empty while they can."""
        self._clock, self._journal, self._random, self._access = clock, journal, random, access
        self._keys: dict[str, KeyRow] = {}
        self._users: dict[str, UserRow] = {}
        self._sessions: dict[str, SessionRow] = {}
        self._invites: dict[str, InviteRow] = {}
        self._allowed: dict[str, AllowRow] = {}
        self._links: dict[str, LinkRow] = {}
        self._rows: dict[type[Row], dict[str, Any]] = {
            InviteRow: self._invites,
            UserRow: self._users,
            SessionRow: self._sessions,
            KeyRow: self._keys,
            AllowRow: self._allowed,
            LinkRow: self._links,
        }
        self._of_user: dict[str, dict[str, SessionRow]] = {}
        self._named: dict[str, UserRow] = {}  # by their names as they are compared
        self._rehashed: dict[str, str] = {}  # by person: what a better hash of the same password took the place of
        self._ends: list[tuple[float, What, str]] = []  # a heap: when, and what of
        self._uses: dict[type[Row], dict[str, dict[str, Any]]] = {KeyRow: {}, SessionRow: {}, AllowRow: {}}
        self._ordering = asyncio.Lock()
        self._database: Database | None = None
        self._troubled = False
        self._lapsed = True  # a right may have ended by itself, and what it gave out with it

    # --- its life ---

    async def run(self, database: Database) -> None:
        """Open the database and bring in every row, however often that has to be tried, which the journal tells; then
        write last uses behind and let rights expire until cancelled.
        """
        await self._recall(database)
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
        self._unread(why, there=there)
        self.known.set()

    async def _begin(self, database: Database) -> None:
        """Bring every row in. What is kept out without the database stays so until all of them are here."""
        await self._swept(database, self._clock.wall())
        allowed = await self._read(database)
        self.known.clear()  # nobody is let in while the one takes the place of the other
        self._allowed.clear()
        for row in allowed:
            self._take(row)
        self._database, self.why = database, ""
        await self._compared(database)
        if self.unread:
            self._journal.say("door", "The database can be read now: keys and accounts count again.")
        self.unread = ""
        self.known.set()
        for kind, rows in self._rows.items():
            for id in rows:
                self._tell(_WHAT[kind], id)

    async def _read(self, database: Database) -> list[AllowRow]:
        """Take every row but those of addresses, which are told. Raises SeadragonError; then none was taken."""
        from sqlalchemy.exc import SQLAlchemyError

        allowed: list[AllowRow] = []
        try:
            async with database.reading() as connection:
                for kind in shelf.NAMES:
                    async for some in shelf.everything(connection, kind):
                        for row in some:
                            allowed.append(row) if isinstance(row, AllowRow) else self._take(row)
        except (SQLAlchemyError, ValueError, TypeError) as error:  # the latter: a row that is none of ours
            self._forget_all()
            raise SeadragonError(f"The database cannot be read: {words_of(error)}.") from error
        return allowed

    def _forget_all(self) -> None:
        """Half of the rows could be the half without what was taken back. Who is kept out is known without them."""
        for kind, rows in self._rows.items():
            if kind is not AllowRow:
                rows.clear()
        self._of_user.clear()
        self._named.clear()

    async def _tend(self) -> None:
        written = self._clock.now()
        while True:
            await self._follow()
            async with self._ordering:
                await self._barred_now(None)
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

    async def carried_out(self, write: Callable[[Entry], Awaitable[T]]) -> T:
        """Do what an order does. Raises SeadragonError; then nothing has changed, neither here nor there."""
        async with self._ordering:
            try:
                async with self._writing() as connection:
                    entry = Entry(connection)
                    answer = await write(entry)
                    await self._settle(entry)
                    await self._bar(entry)
            except BaseException:
                await self._barred_now(None)
                raise
            for row in entry.gone:
                self._forget(row)
            for row in entry.kept:
                self._take(row)
            for row in (*entry.gone, *entry.kept):
                self._tell(_WHAT[type(row)], row.id)
            await self._barred_now(entry)
            if entry.ended or entry.handed:
                self.followed(entry.ended, entry.handed)
        return answer

    async def _settle(self, entry: Entry) -> None:
        """What follows from an order, in its own transaction."""

    async def _recall(self, database: Database) -> None:
        """Before the database is opened."""

    async def _compared(self, database: Database) -> None:
        """Once its rows are here, and before anybody is let in."""

    def _unread(self, why: str, *, there: bool) -> None:
        """It cannot be opened or read; `there`: though there was one."""

    async def _bar(self, entry: Entry) -> None:
        """Before an order is committed."""

    async def _barred_now(self, entry: Entry | None) -> None:
        """After it is in memory; None: it came to nothing."""

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

    # --- memory ---

    def _take(self, row: Row) -> None:
        rows = self._rows[type(row)]
        before = rows.get(row.id)
        rows[row.id] = row
        if isinstance(row, UserRow):
            if before is not None:
                self._named.pop(before.folded, None)
            self._named[row.folded] = row
            return
        if isinstance(row, SessionRow):
            self._of_user.setdefault(row.user_id, {})[row.id] = row
        if row.expires_at is not None and (before is None or before.expires_at != row.expires_at):
            heapq.heappush(self._ends, (row.expires_at, _WHAT[type(row)], row.id))

    def _forget(self, row: Row) -> None:
        self._rows[type(row)].pop(row.id, None)
        if isinstance(row, SessionRow):
            theirs = self._of_user.get(row.user_id, {})
            theirs.pop(row.id, None)
            if not theirs:
                self._of_user.pop(row.user_id, None)
        elif isinstance(row, UserRow):
            self._named.pop(row.folded, None)

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
                await self._end_lapsed()
                self._lapsed = False

    async def _end_lapsed(self) -> None:
        """End what was given out by those whose right has ended."""

    async def _expire(self) -> None:
        """Rights end here and now; the disk follows when it can."""
        now = self._clock.wall()
        ended = list(self._ended(now))
        for row in ended:
            if isinstance(row, SessionRow | LinkRow):
                self._forget(row)
            self._tell(_WHAT[type(row)], row.id)
            self._lapsed = self._lapsed or isinstance(row, KeyRow)
        if ended and self._database is not None:
            await to_its_end(self._swept(self._database, now))

    def _ended(self, now: float) -> Iterator[Row]:
        by_what = {_WHAT[kind]: rows for kind, rows in self._rows.items()}
        while self._ends and self._ends[0][0] <= now:
            at, what, id = heapq.heappop(self._ends)
            row = by_what[what].get(id)
            if row is not None and row.expires_at == at:
                yield row

    async def _swept(self, database: Database, now: float) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            await self._sweep(database, now)
        except SQLAlchemyError as error:
            self._troubles(words_of(error))  # they are past in memory, and go with the next sweep

    async def _sweep(self, database: Database, now: float) -> None:
        async with database.writing() as connection:
            for kind in (SessionRow, LinkRow):
                await shelf.drop_expired(connection, kind, now)

    # --- last uses, written behind ---

    def _used(self, row: KeyRow | SessionRow | AllowRow, **fields: Any) -> None:
        self._uses[type(row)][row.id] = {"used_at": self._clock.wall(), **fields}

    async def write_uses(self) -> None:
        """Write the last uses that are noted, now. What cannot be written stays noted, which the journal tells once."""
        uses = {kind: dict(each) for kind, each in self._uses.items() if each}
        if not uses or self._database is None:
            return
        try:
            async with self._ordering:
                async with self._writing() as connection:
                    for kind, each in uses.items():
                        await shelf.change(connection, kind, [{"id": id, **fields} for id, fields in each.items()])
                self._note(uses)
        except SeadragonError as error:
            self._troubles(str(error))
        else:
            self._troubles(None)

    def _note(self, uses: dict[type[Row], dict[str, dict[str, Any]]]) -> None:
        """The same in memory, where a use may have been noted since."""
        for kind, each in uses.items():
            for id, fields in list(each.items()):
                if row := self._rows[kind].get(id):
                    self._take(replace(row, **fields))
            self._uses[kind] = {id: fields for id, fields in self._uses[kind].items() if fields is not each.get(id)}

    def _troubles(self, why: str | None) -> None:
        if why is not None and not self._troubled:
            words = f"When keys and sessions were last used cannot be written: {why} It goes on, and tries again."
            self._journal.say("door", words, level="warning")
        elif why is None and self._troubled:
            self._journal.say("door", "When keys and sessions were last used is written again.")
        self._troubled = why is not None
