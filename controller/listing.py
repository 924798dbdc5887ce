"""A table of texts, before anybody draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Listing:
    """`colours` are of the cells in the column `coloured`, one for each row; None: as the text around it."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    colours: Sequence[str | None]
    coloured: int
    numbers: tuple[str, ...] = ()  # the columns that stand to the right, by their names
    none: str = ""  # what is said instead when there is no row
