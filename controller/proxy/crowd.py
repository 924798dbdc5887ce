"""Who has how much of a listener open, so that one machine cannot take the place of all others. Pure.

Connections are counted by the machine at their other end; what a tunnel or a proxy brings, by the visitor it names, as
open requests: the connections are its own. Programs of this machine are not counted: whoever runs here has shorter ways
to do harm, and a proxy that runs here brings the connections of many. An IPv6 address counts as its /64, since one
machine may have all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import Enum
from typing import Final

from controller.auth.access import Network, plain_address
from controller.auth.visitor import neighbourhood
from controller.config.listening import LimitSettings

PAGES: Final = 2
"""Pages have every second place of a listener at most: the API never waits for what strangers send to a form."""


class Crowd:
    """Who is connected, by address; at most `limit` for each. `trusted` are proxies: each brings those of many."""

    def __init__(self, limit: int, trusted: Iterable[Network] = ()) -> None:
        self.limit = limit
        self._trusted = tuple(trusted)
        self._counts: Counter[str] = Counter()

    def enter(self, peer: str) -> bool:
        """Count one more from `peer`. False, and not counted, when it has as many as it may."""
        place = self._place(peer)
        if not place:
            return True
        if self._counts[place] >= self.limit:
            return False
        self._counts[place] += 1
        return True

    def leave(self, peer: str) -> None:
        """One that was let in has ended."""
        place = self._place(peer)
        if place:
            self._counts[place] -= 1
            if not self._counts[place]:
                del self._counts[place]

    def __len__(self) -> int:
        """How many addresses are connected."""
        return len(self._counts)

    def _place(self, peer: str) -> str:
        """Whose connection counts as one with `peer`'s; empty for those that are not counted."""
        address = plain_address(peer)
        if address is None or address.is_loopback or any(address in network for network in self._trusted):
            return ""
        return neighbourhood(str(address))


class Full(Enum):
    """Why there is no place for a request."""

    VISITOR = "its visitor has as many open as one may"
    PAGES = "pages have all the places that are theirs"


class Places:
    """The requests that are open on one listener, by visitor, and those to pages."""

    def __init__(self) -> None:
        self._visitors = Crowd(0)
        self._pages = 0

    def enter(self, visitor: str, limits: LimitSettings, *, page: bool) -> Full | None:
        """One more of `visitor`; why not, and then it is not counted."""
        self._visitors.limit = limits.per_address
        if page and self._pages >= limits.connections // PAGES:
            return Full.PAGES
        if not self._visitors.enter(visitor):
            return Full.VISITOR
        self._pages += page
        return None

    def leave(self, visitor: str, *, page: bool) -> None:
        """One that was let in has ended."""
        self._visitors.leave(visitor)
        self._pages -= page
