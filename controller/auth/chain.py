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
from dataclasses import dataclass
from typing import Final, Protocol

BEGINNING: Final = "0" * 64
"""What stands in for the hash before the first row."""
FORGOTTEN: Final = "audit.forgotten"
"""The deed of a row that says: rows up to the one named in its target were old, and are gone."""


class Linked(Protocol):
    """A row, as far as the chain is concerned. Everything but `hash` itself goes into the hash."""

    @property
    def number(self) -> int: ...
    @property
    def at(self) -> float: ...
    @property
    def who(self) -> str: ...
    @property
    def peer(self) -> str: ...
    @property
    def deed(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def result(self) -> str: ...
    @property
    def request(self) -> str: ...
    @property
    def facts(self) -> str: ...
    @property
    def before(self) -> str: ...
    @property
    def hash(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at the whole chain found."""

    rows: int
    last: int  # its number; 0: there is no row
    hash: str  # of the last row that is as it was written
    broken: int | None = None  # number of the first row that is not
    words: str = ""  # what is wrong with it


def seal(row: Linked) -> str:
    """The hash of a row (SHA-256, hexadecimal): of its fields as JSON, which is one text for one row."""
    fields = [row.number, row.at, row.who, row.peer, row.deed, row.target, row.result, row.request, row.facts]
    return hashlib.sha256(json.dumps([*fields, row.before]).encode()).hexdigest()


def verify(rows: Iterable[Linked]) -> Verdict:
    """Look at all rows, in the order of their numbers."""
    count, last, before = 0, 0, BEGINNING
    begins = ""  # with the row that ought to stand before the first one, when that is not the very first
    forgotten: set[str] = set()
    for row in rows:
        if not count and row.number != 1:
            begins, last, before = mark(row.number - 1, row.before), row.number - 1, row.before
        if words := _wrong(row, last, before):
            return Verdict(count, last, before, row.number, words)
        count, last, before = count + 1, row.number, row.hash
        if row.deed == FORGOTTEN:
            forgotten.add(row.target)
    if begins and begins not in forgotten:
        first = int(begins.partition(" ")[0]) + 1
        return Verdict(count, last, before, first, f"The rows before number {first} are gone, and not by their age.")
    return Verdict(count, last, before)


def mark(number: int, hash: str) -> str:
    """How the last row that was forgotten is named in the row that says so."""
    return f"{number} {hash}"


def _wrong(row: Linked, last: int, before: str) -> str:
    if row.number != last + 1:
        return f"A row is missing before number {row.number}: the one before it is number {last}."
    if row.before != before:
        return f"Row {row.number} does not follow from the one before it."
    return "" if row.hash == seal(row) else f"Row {row.number} is not as it was written."
