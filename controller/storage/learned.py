"""What was learned of each runner, at hand in memory and written behind: no answer waits for a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from msgspec.structs import asdict

from controller.clock import Clock
from controller.errors import SeadragonError
from controller.events import Journal
from controller.plain import printable
from controller.residency.learned import Learned
from controller.storage.database import Database, patiently
from controller.storage.file import words_of
from controller.storage.write_behind import GATHER, WriteBehind

MANY: Final = 1000  # rows above which those of a year ago go
YEAR: Final = 365 * 86400.0  # seconds

_NOTHING: Final = Learned()


class LearnedStore:
    """`get` and `keep` work from the first moment to the last, whatever becomes of the database.

    `run` brings in what was known before and writes what is new. Without a database, or with one that cannot be
    written, figures live as long as the controller: a family can still chat.
    """

    def __init__(self, clock: Clock, journal: Journal, *, gather: float = GATHER) -> None:
        """`gather`: seconds in which figures gather before they are written: what a crash may cost."""
        self._clock = clock
        self._figures: dict[str, Learned] = {}
        self._names: dict[str, str] = {}
        self._unwritten: set[str] = set()  # keys that wait in `_behind`
        self._behind: WriteBehind[str] = WriteBehind(clock, journal, "Figures of models", self._write, gather=gather)
        self.known = asyncio.Event()
        """Set once what was known before is here, or will not come."""

    @property
    def figures(self) -> Mapping[str, Learned]:
        """All of them by runner key, as they are at any moment."""
        return MappingProxyType(self._figures)

    def get(self, key: str) -> Learned:
        """What is known of this runner; nothing, when it is new."""
        return self._figures.get(key, _NOTHING)

    def keep(self, key: str, learned: Learned, name: str = "") -> None:
        """Remember this of a runner: at once here, within seconds in the database. `name` is for people."""
        self._figures[key] = learned
        if name:
            self._names[key] = name
        if key not in self._unwritten:
            self._unwritten.add(key)
            self._behind.put(key)

    async def run(self, database: Database) -> None:
        """Open the database, however often that has to be tried, and write behind until cancelled; then write the rest
        and close it. What keeps it from being opened the journal tells.
        """
        try:
            await patiently(self._clock, lambda: self._work(database), self._missed)
        finally:
            self.known.set()

    async def flush(self) -> None:
        """Write what is new, now. What cannot be written waits on, which the journal tells once."""
        await self._behind.flush()

    async def _work(self, database: Database) -> None:
        async with database:
            await self._begin(database)
            await self._behind.run(database)

    def _missed(self, why: str) -> None:
        self._behind.tell(why.removesuffix("."))
        self.known.set()

    async def _write(self, database: Database, keys: Sequence[str]) -> None:
        from sqlalchemy import delete, insert

        from controller.storage.tables import LEARNED

        rows = list(self._rows(dict.fromkeys(keys)))
        self._unwritten.difference_update(keys)  # what is kept from now on is not in these rows
        try:
            async with database.writing() as connection:  # deleted and made anew: every SQL database knows that
                await connection.execute(delete(LEARNED).where(LEARNED.c.runner.in_([row["runner"] for row in rows])))
                await connection.execute(insert(LEARNED), rows)
        except BaseException:
            self._unwritten.update(keys)
            raise

    def _rows(self, keys: Iterable[str]) -> Iterator[dict[str, Any]]:
        """Names and errors are told by others: what no database takes, such as half a character, is spelled out."""
        for key in keys:
            learned = self._figures[key]
            figures = asdict(learned) | {"last_error": printable(learned.last_error)}
            name = printable(self._names.get(key, ""))
            yield {"runner": key, "name": name, **figures, "updated_at": self._clock.wall()}

    async def _begin(self, database: Database) -> None:
        """Bring in what was known before. Of what was learned in the meantime, neither half is lost."""
        before, names = await _read(database, self._clock.wall() - YEAR)
        self._names = names | {key: name for key, name in self._names.items() if name}
        since = dict(self._figures)
        self._figures.update(before)
        for key, learned in since.items():
            self.keep(key, learned.on_top_of(before.get(key, _NOTHING)))
        self._behind.tell(None)
        self.known.set()


async def _read(database: Database, year_ago: float) -> tuple[dict[str, Learned], dict[str, str]]:
    """All figures and names by runner key; of too many rows, those nobody used for a year are dropped first.

    Raises SeadragonError.
    """
    from sqlalchemy import delete, func, select
    from sqlalchemy.exc import SQLAlchemyError

    from controller.storage.tables import LEARNED

    try:
        async with database.reading() as connection:
            count = (await connection.execute(select(func.count()).select_from(LEARNED))).scalar_one()
        if count > MANY:
            async with database.writing() as connection:
                await connection.execute(delete(LEARNED).where(LEARNED.c.updated_at < year_ago))
        async with database.reading() as connection:
            rows = (await connection.execute(select(LEARNED))).mappings().all()
    except SQLAlchemyError as error:
        raise SeadragonError(f"The database cannot be read: {words_of(error)}.") from error
    return {row["runner"]: _learned(row) for row in rows}, {row["runner"]: row["name"] for row in rows}


def _learned(row: Mapping[Any, Any]) -> Learned:
    return Learned(**{name: row[name] for name in Learned.__struct_fields__})
