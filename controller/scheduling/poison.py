"""Requests that crash what answers them. One that was at work in two crashes is not tried a third time."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

CRASHES: Final = 2
REMEMBERED: Final = 256  # marks; the oldest go first


class Poison:
    """Marks of requests (a digest, never their text) that were being answered when their runner crashed."""

    def __init__(self) -> None:
        self._crashes: OrderedDict[str, int] = OrderedDict()

    def __bool__(self) -> bool:
        """Whether any is known: if not, nobody needs to work out a mark."""
        return bool(self._crashes)

    def blame(self, mark: str) -> bool:
        """It was at work in a crash. Whether that is once too often."""
        self._crashes[mark] = self._crashes.get(mark, 0) + 1
        self._crashes.move_to_end(mark)
        if len(self._crashes) > REMEMBERED:
            self._crashes.popitem(last=False)
        return self.refused(mark)

    def refused(self, mark: str) -> bool:
        """Whether it is not to be tried again."""
        return self._crashes.get(mark, 0) >= CRASHES

    def forgive(self, mark: str) -> None:
        """It was answered after all: a neighbour was to blame."""
        self._crashes.pop(mark, None)
