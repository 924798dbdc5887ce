"""Who did what, and what was refused: rows that are only ever added, each chained to the one before it.

`auth/chain.py` says what the chain is good for. Nobody waits for it: a note is written within a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any, Final

from controller.auth.chain import FORGOTTEN, ChainVerdict, Inspection, mark, sealed
from controller.auth.rows import AuditRow
from controller.auth.sparing import Sparing
from controller.clock import Clock
from controller.config.machine import AuditSettings
from controller.events import Journal
from controller.plain import printable
from controller.redact import redact, redact_all
from controller.storage.database import Database
from controller.storage.write_behind import OPENING, WriteBehind

if TYPE_CHECKING:
    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

OURSELVES: Final = "seadragon"
"""The actor of what nobody ordered."""
GATHER: Final = 1.0  # seconds until a note is in the database
LONGEST: Final = 300  # characters of a text from outside
SWEEP: Final = 6 * 3600.0  # seconds between two looks for what is too old
MOST: Final = 10_000  # rows that one question is answered with
AT_A_TIME: Final = 100  # rows of the chain looked at in one go: a millisecond, in which nothing else happens
_KEPT: Final = tuple(field.name for field in fields(AuditRow))


class Audit:
    """`note` from the first moment to the last, whatever becomes of the database; questions once it is open."""

    def __init__(
        self, clock: Clock, journal: Journal, settings: Callable[[], AuditSettings], *, opening: float = OPENING
    ) -> None:
        self._clock, self._journal, self._settings = clock, journal, settings
        self._behind: WriteBehind[AuditRow] = WriteBehind(
            clock, journal, "Rows of the audit", self._write, gather=GATHER, opening=opening
        )
        self._sparing = Sparing()
        self._last: tuple[int, bytes] | None = None  # number and hash of the row we wrote last
        self.noted = 0

    @property
    def dropped(self) -> int:
        """Notes that found no room because the disk took none."""
        return self._behind.dropped

    def note(
        self,
        what: str,
        *,
        actor: str,
        target: str = "",
        outcome: str = "done",
        peer: str = "",
        request: str = "",
        facts: Mapping[str, object] | None = None,
    ) -> None:
        """Something was done, refused, or failed. Never waits. `rows.AuditRow` says what each is; a secret in any of
        them is hidden, and what a terminal would obey is spelled out.
        """
        about = _text(actor), _text(what), _text(target), _text(outcome), _text(peer), _text(request)
        self._behind.put(AuditRow(0, self._clock.wall(), *about, _facts(facts or {})))
        self.noted += 1

    def refused(
        self, what: str, *, peer: str, actor: str = "", target: str = "", reason: str = "", request: str = ""
    ) -> None:
        """Somebody was turned away: told one by one while they are few, and counted when they are many."""
        now = self._clock.now()
        self._tell_silenced(now)
        if self._sparing.tell(peer, now):
            facts = {"reason": reason} if reason else {}
            self.note(what, actor=actor, target=target, outcome="refused", peer=peer, request=request, facts=facts)

    async def run(self, database: Database) -> None:
        """Write behind, and drop what is too old, until cancelled. `database` is open until this returns."""
        await self._behind.run(database, self._sweep)

    async def rows(
        self, since: float = 0.0, *, actor: str = "", what: str = "", before: int | None = None, count: int = 100
    ) -> list[dict[str, Any]]:
        """The last `count` rows that fit, newest first. `what` is the beginning of a deed's name, as in `key.`;
        `before` a number, to turn the page. Raises SeadragonError.
        """
        from sqlalchemy import select

        from controller.storage.tables import AUDIT

        chosen = [AUDIT.c.at >= since]
        chosen += [AUDIT.c.actor == actor] if actor else []
        chosen += [AUDIT.c.what.startswith(what, autoescape=True)] if what else []
        chosen += [AUDIT.c.number < before] if before is not None else []
        question = select(AUDIT).where(*chosen).order_by(AUDIT.c.number.desc()).limit(min(count, MOST))
        async with self._behind.asking() as connection:
            return [_document(_row(each)) for each in await connection.execute(question)]

    async def verify(self) -> ChainVerdict:
        """Look at every row and its place in the chain. Raises SeadragonError when the rows cannot be read."""
        from sqlalchemy import select

        from controller.storage.tables import AUDIT

        inspection, after = Inspection(), -1
        async with self._behind.asking() as connection:
            while True:
                some = select(AUDIT).where(AUDIT.c.number > after).order_by(AUDIT.c.number).limit(AT_A_TIME)
                rows = [_row(each) for each in await connection.execute(some)]
                inspection.look(rows)
                if len(rows) < AT_A_TIME:
                    break
                after = rows[-1].number
        found = inspection.verdict
        if found.broken is None and self._last is not None and found.last < self._last[0]:
            words = f"The last rows are gone: row {self._last[0]} had been written."
            return replace(found, broken=found.last + 1, words=words)
        return found

    # --- itself ---

    async def _write(self, database: Database, rows: Sequence[AuditRow]) -> None:
        async with database.writing() as connection:
            last = await _tail(connection)
            if self._last is not None and last != self._last:
                rows = [self._altered(last[0]), *rows]
            last = await _append(connection, last, rows)
        self._last = last

    def _altered(self, found: int) -> AuditRow:
        assert self._last is not None
        words = f"The audit was changed from outside: row {self._last[0]} was its last, and now row {found} is."
        self._journal.say("storage", words, level="error")
        return self._own("audit.altered", f"row {self._last[0]}")

    def _own(self, what: str, target: str) -> AuditRow:
        return AuditRow(0, self._clock.wall(), OURSELVES, what, target, "done", "", "")

    async def _sweep(self, database: Database) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        while True:
            self._tell_silenced(self._clock.now())
            with suppress(SQLAlchemyError):  # what could not be dropped now is dropped the next time
                await self._forget(database, self._clock.wall() - self._settings().keep)
            await self._clock.sleep(SWEEP)

    async def _forget(self, database: Database, until: float) -> None:
        """Drop the rows before `until` with which the chain begins, and say so in the chain."""
        from sqlalchemy import delete, func, select

        from controller.storage.tables import AUDIT

        async with database.writing() as connection:
            first, last = await connection.scalar(select(func.min(AUDIT.c.number))), await _tail(connection)
            young = await connection.scalar(select(func.min(AUDIT.c.number)).where(AUDIT.c.at >= until))
            end = last[0] if young is None else young - 1
            if first is None or end < first:
                return
            hash = await connection.scalar(select(AUDIT.c.hash).where(AUDIT.c.number == end))
            assert hash is not None
            await connection.execute(delete(AUDIT).where(AUDIT.c.number <= end))
            last = await _append(connection, last, [self._own(FORGOTTEN, mark(end, hash))])
        self._last = last

    def _tell_silenced(self, now: float) -> None:
        for place, count in self._sparing.ended(now):
            self.note("door.refused_more", actor="", outcome="refused", peer=place, facts={"count": count})


async def _tail(connection: AsyncConnection) -> tuple[int, bytes]:
    """Number and hash of the last row; of an empty table, what its first one follows."""
    from sqlalchemy import select

    from controller.storage.tables import AUDIT

    found = await connection.execute(select(AUDIT.c.number, AUDIT.c.hash).order_by(AUDIT.c.number.desc()).limit(1))
    row = found.one_or_none()
    return (0, b"") if row is None else (row.number, row.hash)


async def _append(connection: AsyncConnection, last: tuple[int, bytes], rows: Sequence[AuditRow]) -> tuple[int, bytes]:
    """Number, chain and write the rows; what the next one follows."""
    from sqlalchemy import insert

    from controller.storage.tables import AUDIT

    number, before = last
    chained = []
    for row in rows:
        number += 1
        chained.append(sealed(replace(row, number=number, before=before)))
        before = chained[-1].hash
    await connection.execute(insert(AUDIT), [asdict(row) for row in chained])
    return number, before


def _row(found: Row[Any]) -> AuditRow:
    return AuditRow(**{name: getattr(found, name) for name in _KEPT})


def _document(row: AuditRow) -> dict[str, Any]:
    """A row as it is shown."""
    return asdict(row) | {"before": row.before.hex(), "hash": row.hash.hex()}


def _text(text: str) -> str:
    return printable(redact(text[:LONGEST]))


def _facts(facts: Mapping[str, object]) -> dict[str, object]:
    """As they come back from any database: plain, without a secret, and nothing in them that a terminal would obey."""
    plain: Mapping[str, object] = json.loads(json.dumps(redact_all(facts), default=str))
    return {_text(name): _spelled(value) for name, value in plain.items()}


def _spelled(value: object) -> object:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return [_spelled(each) for each in value]
    if isinstance(value, dict):
        return {_text(name): _spelled(each) for name, each in value.items()}
    return value
