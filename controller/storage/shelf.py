"""Rows of the door's tables as the frozen words of `auth/rows.py`: read, put, changed, dropped.

Everything here raises sqlalchemy.exc.SQLAlchemyError; whatever names a row binds it as a parameter.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, Final

from controller.auth.rows import AHEAD, AllowRow, HeldRow, InviteRow, KeyRow, LinkRow, RowT, SessionRow, UserRow

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection

NAMES: Final[Mapping[type[Any], str]] = {
    InviteRow: "invites",
    UserRow: "users",
    SessionRow: "sessions",
    KeyRow: "keys",
    AllowRow: "allowed",
    LinkRow: "resets",
}
"""What each kind of row is kept in. Those that others point at come first."""

_AT_ONCE: Final = 1000  # rows read before others get their turn
_REPEATED: Final = frozenset({"user_id", "device", "started_from", "used_from", "by"})  # one text for many rows


async def everything(connection: AsyncConnection, kind: type[RowT]) -> AsyncIterator[list[RowT]]:
    """Every row of this kind, some at a time."""
    from sqlalchemy import select

    table, names = _table(kind), [field.name for field in fields(kind)]
    shared = dict[str, str]()
    shares = [shared if name in _REPEATED else None for name in names]
    async with connection.stream(select(*(table.c[name] for name in names))) as result:
        async for some in result.partitions(_AT_ONCE):
            yield [kind(*map(_read, row, shares)) for row in some]


async def put(connection: AsyncConnection, row: HeldRow) -> None:
    """Write a new row."""
    from sqlalchemy import insert

    await connection.execute(insert(_table(type(row))), asdict(row))


async def change(connection: AsyncConnection, kind: type[Any], changes: Iterable[Mapping[str, Any]]) -> None:
    """Write the fields of these rows anew; each is named by its `id`, and all name the same fields."""
    from sqlalchemy import bindparam, update

    table = _table(kind)
    given = [{f"new_{name}": value for name, value in each.items()} for each in changes]
    if given:
        values: dict[str, Any] = {name.removeprefix("new_"): bindparam(name) for name in given[0] if name != "new_id"}
        await connection.execute(update(table).where(table.c.id == bindparam("new_id")).values(values), given)


async def drop(connection: AsyncConnection, row: HeldRow) -> None:
    """Delete a row, and what belongs to it."""
    from sqlalchemy import delete

    table = _table(type(row))
    await connection.execute(delete(table).where(table.c.id == row.id))


async def drop_expired(connection: AsyncConnection, kind: type[SessionRow | LinkRow], now: float) -> None:
    """Delete what ends at `now` (seconds since the epoch) or ended before."""
    from sqlalchemy import delete

    table = _table(kind)
    await connection.execute(delete(table).where(table.c.expires_at <= now))


async def take_use(connection: AsyncConnection, hash: bytes, now: float) -> bool:
    """Use an invite up by one. This one statement decides, however many try it at once."""
    from sqlalchemy import update

    table = _table(InviteRow)
    good = (table.c.used < table.c.uses) & _counts(table, now) & table.c.revoked_at.is_(None)
    taken = await connection.execute(update(table).where(table.c.hash == hash, good).values(used=table.c.used + 1))
    return taken.rowcount == 1


async def take_link(connection: AsyncConnection, link: LinkRow, now: float) -> bool:
    """Use a one-time link up. This one statement decides."""
    from sqlalchemy import delete

    table = _table(LinkRow)
    taken = await connection.execute(delete(table).where(table.c.hash == link.hash, _counts(table, now)))
    return taken.rowcount == 1


def _counts(table: Table, now: float) -> Any:
    """`auth/rows.py: counts`, for the database."""
    return (table.c.created_at <= now + AHEAD) & (table.c.expires_at > now)


def _table(kind: type[Any]) -> Table:
    from controller.storage.tables import METADATA

    return METADATA.tables[NAMES[kind]]


def _read(value: Any, shared: dict[str, str] | None) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return value if shared is None else shared.setdefault(value, value)
