"""When what was last used, by whom: noted at once, written behind by the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from controller.auth.held.memory import HeldRows
from controller.auth.rows import AllowRow, KeyRow, SessionRow
from controller.storage import shelf

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

Used = KeyRow | SessionRow | AllowRow
Noted = Mapping[type[Used], Mapping[str, dict[str, Any]]]


class LastUses:
    """By kind of row and id, the fields that are not written yet."""

    def __init__(self, rows: HeldRows) -> None:
        self._rows = rows
        self._noted: dict[type[Used], dict[str, dict[str, Any]]] = {KeyRow: {}, SessionRow: {}, AllowRow: {}}

    def note(self, row: Used, at: float, **fields: Any) -> None:
        """It was used at `at`, in seconds since the epoch. Costs next to nothing."""
        self._noted[type(row)][row.id] = {"used_at": at, **fields}

    def of(self, row: Used, field: str) -> Any:
        """What a field of it says as of this moment: rows are up to a minute behind."""
        noted = self._noted[type(row)].get(row.id)
        return getattr(row, field) if noted is None else noted[field]

    def waiting(self) -> Noted:
        """What is to be written."""
        return {kind: dict(each) for kind, each in self._noted.items() if each}

    async def write(self, connection: AsyncConnection, uses: Noted) -> None:
        """Write them. Raises sqlalchemy.exc.SQLAlchemyError; then they stay noted."""
        for kind, each in uses.items():
            await shelf.change(connection, kind, [{"id": id, **fields} for id, fields in each.items()])

    def written(self, uses: Noted) -> None:
        """The same in memory, where a use may have been noted since."""
        for kind, each in uses.items():
            for id, fields in each.items():
                if row := self._rows.of(kind).get(id):
                    self._rows.take(replace(row, **fields))
            self._noted[kind] = {id: fields for id, fields in self._noted[kind].items() if fields is not each.get(id)}
