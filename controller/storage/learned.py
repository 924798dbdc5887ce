"""What was learned of each runner, at hand in memory and written behind: no answer waits for a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from msgspec.structs import asdict

from controller.clock import Clock
from controller.errors import SeadragonError
from controller.events import Journal
from controller.plain import printable
from controller.residency.learned import Learned
from controller.storage.database import Database, patiently, to_its_end
from controller.storage.file import words_of

GATHER: Final = 2.0  # seconds in which figures gather before they are written: what a crash may cost
AGAIN: Final = 30.0  # seconds after which what could not be written is tried again
MANY: Final = 1000  # rows above which those of a year ago go
YEAR: Final = 365 * 86400.0  # seconds

_NOTHING: Final = Learned()


class LearnedStore:
    """`get` and `keep` work from the first moment to the last, whatever becomes of the database.

    `run` brings in what was known before and writes what is new. Without a database, or with one that cannot be
    written, figures live as long as the controller: a family can still chat.
    """

    def __init__(self, clock: Clock, journal: Journal) -> None:
        self._clock, self._journal = clock, journal
        self._figures: dict[str, Learned] = {}
        self._names: dict[str, str] = {}
        self._fresh: dict[str, float] = {}  # what is not in the database yet, and since when (epoch)
        self._waiting = asyncio.Event()  # there is something to write
        self._writing = asyncio.Lock()
        self._database: Database | None = None
        self._troubled = False
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
        self._fresh[key] = self._clock.wall()
        self._waiting.set()

    async def run(self, database: Database) -> None:
        """Open the database, however often that has to be tried, and write behind until cancelled; then write the rest
        and close it. What keeps it from being opened the journal tells.
        """
        try:
            await patiently(self._clock, lambda: self._work(database), self._missed)
        finally:
            self._database = None
            self.known.set()

    async def _work(self, database: Database) -> None:
        async with database:
            await self._begin(database)
            try:
                await self._write_behind()
            finally:
                await self.flush()

    def _missed(self, why: str) -> None:
        self._database = None
        self._tell(why.removesuffix("."))
        self.known.set()

    async def flush(self) -> None:
        """Write what is fresh, now. What cannot be written stays fresh, which the journal tells once."""
        async with self._writing:
            if not self._fresh or self._database is None:
                return
            batch, self._fresh = self._fresh, {}
            why = await _written(self._database, list(self._rows(batch)))
            if why is not None:
                self._fresh = batch | self._fresh
            self._tell(why)

    def _rows(self, batch: Mapping[str, float]) -> Iterable[dict[str, Any]]:
        """Names and errors are told by others: what no database takes, such as half a character, is spelled out."""
        for key, at in batch.items():
            learned = self._figures[key]
            figures = asdict(learned) | {"last_error": printable(learned.last_error)}
            yield {"runner": key, "name": printable(self._names.get(key, "")), **figures, "updated_at": at}

    async def _begin(self, database: Database) -> None:
        """Bring in what was known before. Of what was learned in the meantime, neither half is lost."""
        before, names = await _read(database, self._clock.wall() - YEAR)
        self._database = database
        self._names = names | {key: name for key, name in self._names.items() if name}
        since = dict(self._figures)
        self._figures.update(before)
        for key, learned in since.items():
            self.keep(key, learned.on_top_of(before.get(key, _NOTHING)))
        self._tell(None)
        self.known.set()

    async def _write_behind(self) -> None:
        while True:
            await self._waiting.wait()
            await self._clock.sleep(AGAIN if self._troubled else GATHER)
            self._waiting.clear()
            await to_its_end(self.flush())
            if self._fresh:
                self._waiting.set()

    def _tell(self, why: str | None) -> None:
        if why is not None and not self._troubled:
            words = f"What Seadragon learns of models cannot be written: {why}. It goes on, and tries again."
            self._journal.say("storage", words, level="warning")
        elif why is None and self._troubled:
            self._journal.say("storage", "What Seadragon learns of models is written again.")
        self._troubled = why is not None


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


async def _written(database: Database, rows: list[dict[str, Any]]) -> str | None:
    """Write these rows in one transaction; why it could not be done, else None."""
    from sqlalchemy import delete, insert
    from sqlalchemy.exc import SQLAlchemyError

    from controller.storage.tables import LEARNED

    try:
        async with database.writing() as connection:  # deleted and made anew: every SQL database knows that
            await connection.execute(delete(LEARNED).where(LEARNED.c.runner.in_([row["runner"] for row in rows])))
            await connection.execute(insert(LEARNED), rows)
    except SQLAlchemyError as error:
        return words_of(error)
    return None


def _learned(row: Mapping[Any, Any]) -> Learned:
    return Learned(**{name: row[name] for name in Learned.__struct_fields__})
