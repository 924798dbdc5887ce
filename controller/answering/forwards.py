"""Requests that are forwarded without a place in the line, since no runner here is meant: each caller has a share.

An engine reads every one of them whole before it says anything, so what many at a time cost is memory. Pure.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Final

SHARE: Final = 8  # at a time; a model in the cloud answers as many


class Forwards:
    """Who has how many of them open."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @contextlib.contextmanager
    def place(self, caller: str) -> Iterator[bool]:
        """A place for one of `caller`, by identity, for as long as the block lasts; False when there is none."""
        there = self._open[caller] < SHARE
        self._open[caller] += there
        try:
            yield there
        finally:
            self._open[caller] -= there
            if not self._open[caller]:
                del self._open[caller]

    def __len__(self) -> int:
        """How many are open."""
        return self._open.total()
