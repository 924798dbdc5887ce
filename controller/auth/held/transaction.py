"""One order on its way: what it does to the database now, and to memory once that is committed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from controller.auth.rows import AllowRow, HeldRow, InviteRow, KeyRow, LinkRow, RowT
from controller.storage import shelf

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

Given = KeyRow | InviteRow | AllowRow | LinkRow
"""What stands on the right of whoever gave it out."""


class Transaction:
    """What an order writes by. Raises sqlalchemy.exc.SQLAlchemyError, which the ledger puts into words."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.kept: list[HeldRow] = []
        self.gone: list[HeldRow] = []
        self.settles = False  # what was given out is looked through, whatever the order does
        self.heir = ""  # the identity of who answers from now on for what was given out; "": it ends
        self.ended: list[Given] = []  # what was given out and ends with its giver's right
        self.handed: list[Given] = []  # … or goes to the heir

    async def put(self, row: RowT) -> RowT:
        """A new row."""
        await shelf.put(self.connection, row)
        self.keep(row)
        return row

    async def change(self, row: RowT, **fields: Any) -> RowT:
        """The row with these fields different."""
        await shelf.change(self.connection, type(row), [{"id": row.id, **fields}])
        changed = replace(row, **fields)
        self.keep(changed)
        return changed

    async def drop(self, row: HeldRow) -> None:
        """The row no longer."""
        await shelf.drop(self.connection, row)
        self.lose(row)

    def after(self, kind: type[RowT], rows: Mapping[str, RowT]) -> Mapping[str, RowT]:
        """`rows` as they will be when this is in memory."""
        gone = {row.id for row in self.gone if isinstance(row, kind)}
        kept = {row.id: row for row in self.kept if isinstance(row, kind)}
        return {id: row for id, row in {**rows, **kept}.items() if id not in gone}

    def keep(self, row: HeldRow) -> None:
        """The row, which the database has so already."""
        self.kept.append(row)

    def lose(self, row: HeldRow) -> None:
        """The row no longer, which the database has lost already."""
        self.gone.append(row)
