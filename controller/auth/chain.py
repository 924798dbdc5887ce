"""The audit's chain: each row carries a hash of itself and of the row before it, so that a row which is changed, taken
out or put in by hand shows. Pure.

It is a seal against a slip and a stranger with an editor, not against the machine's owner: whoever may write the file
could also reckon every hash anew. Keep the last hash elsewhere (`seadragon audit --verify` tells it) to be sure of the
rows before it. The audit's retention drops the oldest rows and notes how far, as a row of the chain.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from controller.auth.rows import AuditRow

FORGOTTEN: Final = "audit.forgotten"
"""What a row says whose target is the last of those that were old, and are gone."""


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """What a look at the whole chain found."""

    rows: int  # that are as they were written, up to the first that is not
    last: int  # number of the last of them; 0: there is none
    hash: str  # of the last of them, hexadecimal
    broken: int | None = None  # number of the first row that is not
    words: str = ""  # what is wrong with it


def sealed(row: AuditRow) -> AuditRow:
    """The row with its hash."""
    return replace(row, hash=_hash(row))


class Inspection:
    """A look at the whole chain, in the order of the numbers, as many rows at a time as suits the one who looks."""

    def __init__(self) -> None:
        self._rows, self._last, self._before = 0, 0, b""
        self._broken: tuple[int, str] | None = None
        self._beginning = ""  # the row that ought to stand before the first one, when that is not number 1
        self._forgotten: set[str] = set()

    def look(self, rows: Iterable[AuditRow]) -> None:
        """The next rows. After the first that is wrong nothing more is looked at."""
        for row in rows:
            if self._broken is None:
                self._look(row)

    @property
    def verdict(self) -> ChainVerdict:
        """Of all that was looked at."""
        if self._broken is not None:
            return ChainVerdict(self._rows, self._last, self._before.hex(), *self._broken)
        if self._beginning and self._beginning not in self._forgotten:
            first = self._last - self._rows + 1
            words = f"The rows before number {first} are gone, and not because they were old."
            return ChainVerdict(0, 0, "", first, words)
        return ChainVerdict(self._rows, self._last, self._before.hex())

    def _look(self, row: AuditRow) -> None:
        if not self._rows and row.number > 1:
            self._beginning, self._last, self._before = mark(row.number - 1, row.before), row.number - 1, row.before
        if words := _wrong(row, self._last, self._before):
            self._broken = row.number, words
            return
        self._rows, self._last, self._before = self._rows + 1, row.number, row.hash
        if row.what == FORGOTTEN:
            self._forgotten.add(row.target)


def mark(number: int, hash: bytes) -> str:
    """How the last of the rows that are gone is named in the row that says so."""
    return f"{number} {hash.hex()}"


def _wrong(row: AuditRow, last: int, before: bytes) -> str:
    if row.number != last + 1:
        return f"Row {row.number} follows row {last}: what stood between them is gone."
    if row.before != before:
        return f"Row {row.number} was written after another row {last} than the one that is there."
    return "" if row.hash == _hash(row) else f"Row {row.number} is not as it was written."


def _hash(row: AuditRow) -> bytes:
    """SHA-256 over everything but the hash itself, as JSON: one text for one row."""
    told = [row.number, row.at, row.actor, row.what, row.target, row.outcome, row.peer, row.request, row.facts]
    return hashlib.sha256(json.dumps([*told, row.before.hex()], sort_keys=True).encode()).digest()
