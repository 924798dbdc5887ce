"""What everybody used, at hand for a while request by request and for years per day. Prompts are never in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cache, lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec.structs import astuple

from controller.clock import Clock
from controller.config.machine import UsageSettings
from controller.events import Journal
from controller.storage.database import Database
from controller.storage.write_behind import CAPACITY, OPENING, WriteBehind
from controller.usage import GROUPINGS, Grouping, Slot, Sums, Use, rolled_up, week_of

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Insert, Table, Update

Whose = Mapping[str, str]
"""Whose requests are meant, by columns of `usage`: kind, caller_id, key_id, user_id, model. Empty: everybody's."""

SWEEP: Final = 6 * 3600.0  # seconds between two looks for what is too old
BATCH: Final = 2000  # rows of one transaction: preparing them holds the event loop for about a millisecond
TOGETHER: Final = 250
"""Rows of one statement. SQLAlchemy's own way from values to rows costs 20 µs for each, and the driver's lets go of the
interpreter's lock for each row: with a busy event loop beside it, that is two switches between threads a row.
"""
MOST: Final = 10_000  # requests or groups one question is answered with
_COLUMNS: Final[Mapping[Grouping, tuple[str, ...]]] = {
    "caller": ("kind", "caller_id", "caller"),
    "key": ("key_id", "caller_id", "caller"),
    "model": ("model",),
    "day": ("day",),
    "week": ("day",),
}
assert set(_COLUMNS) == set(GROUPINGS)
_CALLERS: Final = ("caller", "key")  # groupings that tell callers apart
_LAST: Final = "last_day"
_SUMMED: Final = tuple(Sums.__dataclass_fields__)
_FIELDS: Final = Use.__struct_fields__
_QUARTER: Final = 900  # seconds; every offset from UTC is a number of these, so a day never ends within one


class UsageStore:
    """`note` from the first moment to the last, whatever becomes of the database; questions once it is open."""

    def __init__(
        self,
        clock: Clock,
        journal: Journal,
        settings: Callable[[], UsageSettings],
        *,
        capacity: int = CAPACITY,
        opening: float = OPENING,
    ) -> None:
        self._clock, self._settings = clock, settings
        self._behind: WriteBehind[Use] = WriteBehind(
            clock, journal, "Rows of usage", _write, capacity=capacity, batch=BATCH, opening=opening
        )
        self.note: Callable[[Use], None] = self._behind.put
        """A request has ended."""

    @property
    def dropped(self) -> int:
        """Requests that found no room because the disk took none."""
        return self._behind.dropped

    async def run(self, database: Database) -> None:
        """Write behind, and drop what is too old, until cancelled. `database` is open until this returns."""
        await self._behind.run(database, self._sweep)

    async def sums(self, by: Grouping, since: float = 0.0, only: Whose | None = None) -> list[dict[str, Any]]:
        """Sums of the days from the one of `since` (seconds since the epoch) on, most requests first; days and weeks in
        their order. Raises SeadragonError.
        """
        from sqlalchemy import func, select

        from controller.storage.tables import USAGE_DAILY as DAILY

        columns = [DAILY.c[name] for name in _COLUMNS[by]]
        summed = [func.sum(DAILY.c[name]).label(name) for name in _SUMMED]
        chosen = [DAILY.c.day >= day_of(since), *_chosen(DAILY, only)]
        last = [func.max(DAILY.c.day).label(_LAST)] if by in _CALLERS else []
        question = select(*columns, *summed, *last).where(*chosen).group_by(*columns)
        order = DAILY.c.day if by in ("day", "week") else func.sum(DAILY.c.requests).desc()
        found = await self._ask(question.order_by(order).limit(MOST))
        if by in _CALLERS:
            return _by_caller(found)
        return _by_week(found) if by == "week" else found

    async def requests(self, since: float = 0.0, only: Whose | None = None, count: int = 100) -> list[dict[str, Any]]:
        """The last `count` requests that ended after `since`, newest first. Raises SeadragonError."""
        from sqlalchemy import select

        from controller.storage.tables import USAGE

        columns = [each for each in USAGE.c if each.name != "id"]
        question = select(*columns).where(USAGE.c.at >= since, *_chosen(USAGE, only))
        return await self._ask(question.order_by(USAGE.c.id.desc()).limit(min(count, MOST)))

    async def _ask(self, question: Any) -> list[dict[str, Any]]:
        async with self._behind.asking() as connection:
            return [dict(row) for row in (await connection.execute(question)).mappings()]

    async def _sweep(self, database: Database) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        while True:
            settings, now = self._settings(), self._clock.wall()
            with suppress(SQLAlchemyError):  # what could not be dropped now is dropped the next time
                await forget(database, rows=now - settings.keep, days=day_of(now - settings.daily))
            await self._clock.sleep(SWEEP)


def day_of(at: float) -> str:
    """The day of a moment, where this machine stands: `2026-11-21`."""
    return _day_of_quarter(at // _QUARTER)


@lru_cache(16)
def _day_of_quarter(number: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(number * _QUARTER))


async def forget(database: Database, *, rows: float, days: str) -> None:
    """Drop requests that ended before `rows`, and sums of days before `days`. Raises SQLAlchemyError."""
    from sqlalchemy import delete

    from controller.storage.tables import USAGE, USAGE_DAILY

    async with database.writing() as connection:
        await connection.execute(delete(USAGE).where(USAGE.c.at < rows))
        await connection.execute(delete(USAGE_DAILY).where(USAGE_DAILY.c.day < days))


async def _write(database: Database, uses: Sequence[Use]) -> None:
    """The rows and what they add to their days, together or not at all."""
    statements = _statements()
    async with database.writing() as connection:
        row = statements.row.compile(dialect=connection.dialect, column_keys=_FIELDS)
        assert row.positiontup == list(_FIELDS), "A use has the columns of its table, in their order."
        for first in range(0, len(uses), TOGETHER):
            some = uses[first : first + TOGETHER]
            await connection.exec_driver_sql(_times(str(row), len(some)), tuple(chain(*map(astuple, some))))
        for slot, sums in rolled_up(uses, day_of).items():
            day = slot._asdict() | asdict(sums)
            if not (await connection.execute(statements.more, {f"new_{name}": day[name] for name in day})).rowcount:
                await connection.execute(statements.day, day)


def _times(insertion: str, count: int) -> str:
    """The statement for one row, made one for `count` of them."""
    before, values, row = insertion.rpartition(" VALUES ")
    return f"{before}{values}{', '.join([row] * count)}"


class _Statements(NamedTuple):
    """Made once: building one costs more than carrying it out."""

    row: Insert
    more: Update  # a day's sums grow; every SQL database knows that, and we are the only writer
    day: Insert  # … when there is none yet


@cache
def _statements() -> _Statements:
    from sqlalchemy import bindparam, insert, update

    from controller.storage.tables import USAGE
    from controller.storage.tables import USAGE_DAILY as DAILY

    same = [DAILY.c[name] == bindparam(f"new_{name}") for name in Slot._fields]
    grown = {name: DAILY.c[name] + bindparam(f"new_{name}") for name in _SUMMED}
    return _Statements(insert(USAGE), update(DAILY).where(*same).values(grown), insert(DAILY))


def _chosen(table: Table, only: Whose | None) -> list[ColumnElement[bool]]:
    return [table.c[name] == value for name, value in (only or {}).items()]


def _by_caller(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One sum for each caller, whatever it was called in between: its last name stands for all."""
    callers: dict[str, dict[str, Any]] = {}
    for row in sorted(found, key=lambda each: str(each[_LAST]), reverse=True):
        same = callers.get(row["caller_id"])
        if same is None:
            callers[row["caller_id"]] = {name: value for name, value in row.items() if name != _LAST}
        else:
            same.update({name: same[name] + row[name] for name in _SUMMED})
    return sorted(callers.values(), key=lambda each: -each["requests"])


def _by_week(days: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same by the Monday of their week. In Python: databases do not agree on what a week is."""
    weeks: dict[str, dict[str, Any]] = {}
    for day in days:
        monday = week_of(day["day"])
        week = weeks.setdefault(monday, {"week": monday, **dict.fromkeys(_SUMMED, 0)})
        for name in _SUMMED:
            week[name] += day[name]
    return list(weeks.values())
