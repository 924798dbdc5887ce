"""How many refusals of one address are written down: enough to see it, too few for a scanner to fill a disk. Pure.

The first few of a stretch are told one by one, then they are counted, and at its end their number is told once. IPv6
addresses count by their /64, which is what one household or one server gets.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv6Address, ip_network
from typing import Final

from controller.auth.access import plain_address

EACH: Final = 10
"""Refusals of one address that are told one by one in a stretch."""
ALL: Final = 200
"""… and of all addresses together."""
STRETCH: Final = 600.0  # seconds
PLACES: Final = 1000  # addresses told apart in a stretch
ELSEWHERE: Final = "(others)"


class Sparing:
    """The refusals of the stretch that runs. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._count = 0  # told, of all
        self._told: Counter[str] = Counter()
        self._silenced: Counter[str] = Counter()

    @property
    def ends(self) -> float | None:
        """When the stretch that runs ends; None while there is none."""
        return None if self._began is None else self._began + STRETCH

    def tell(self, peer: str, now: float) -> bool:
        """Whether this refusal of the address `peer` is to be told by itself. Ask `ended` first."""
        if self._began is None:
            self._began = now
        place = place_of(peer)
        if place not in self._told and len(self._told) >= PLACES:
            place = ELSEWHERE
        if self._told[place] < EACH and self._count < ALL:
            self._told[place] += 1
            self._count += 1
            return True
        self._silenced[place if place in self._silenced or len(self._silenced) < PLACES else ELSEWHERE] += 1
        return False

    def ended(self, now: float) -> list[tuple[str, int]]:
        """Each place of a stretch that is over, and how many of its refusals were not told; most first."""
        if self._began is None or now < self._began + STRETCH:
            return []
        silenced, self._began = self._silenced.most_common(), None
        self._told, self._silenced, self._count = Counter(), Counter(), 0
        return silenced


def place_of(peer: str) -> str:
    """The address, or the network it counts with."""
    address = plain_address(peer)
    if address is None:
        return peer[:64]
    return str(ip_network((address, 64), strict=False)) if isinstance(address, IPv6Address) else str(address)
