"""How many connections each address has to a listener, so that one machine cannot take the place of all others. Pure.

Programs of this machine are not counted: whoever runs here has shorter ways to do harm, and a proxy that runs here
brings the connections of many. An IPv6 address counts as its /64, since one machine may have all of them.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv6Address, ip_network

from controller.auth.access import plain_address

_HOUSE = 64  # bits of an IPv6 address that a household's machines share


class Crowd:
    """Who is connected, by address; at most `limit` connections for each."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._counts: Counter[str] = Counter()

    def enter(self, peer: str) -> bool:
        """Count one more connection from `peer`. False, and not counted, when it has as many as it may."""
        place = _place(peer)
        if not place:
            return True
        if self._counts[place] >= self.limit:
            return False
        self._counts[place] += 1
        return True

    def leave(self, peer: str) -> None:
        """A connection that was let in has ended."""
        place = _place(peer)
        if place:
            self._counts[place] -= 1
            if not self._counts[place]:
                del self._counts[place]

    def __len__(self) -> int:
        """How many addresses are connected."""
        return len(self._counts)


def _place(peer: str) -> str:
    """Whose connection counts as one with `peer`'s; empty for those that are not counted."""
    address = plain_address(peer)
    if address is None or address.is_loopback:
        return ""
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _HOUSE), strict=False))
    return str(address)
