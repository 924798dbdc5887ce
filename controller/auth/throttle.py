"""How fast passwords and codes may be tried. Pure: it is given the time.

Each try counts when it is let through, before anybody knows whether it was right, so that a thousand at once are no way
around; a right one is forgiven afterwards. Nobody is ever locked out: strangers who guess at an account slow each other
down, while from an address at which its owner has signed in before only that owner's own mistakes count.

The figures: Nextcloud's delays (0.2 s, doubling, 25 s at most), Vaultwarden's ten tries a minute for an address.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_network
from typing import Final

from controller.auth.access import plain_address

FIRST: Final = 0.2  # seconds until the second try
LONGEST: Final = 25.0  # seconds until the next one, at most
MINUTE: Final = 60.0
A_MINUTE: Final = 10  # tries of one address
HOUR: Final = 3600.0
AN_HOUR: Final = 100  # tries of all strangers together at one account
FORGOTTEN: Final = 900.0  # seconds without a try after which delays begin anew
REMEMBERED: Final = 20_000  # accounts and addresses; the ones tried longest ago make room


@dataclass(slots=True)
class _Tries:
    """What was tried at one place."""

    count: int = 0
    last: float = float("-inf")
    moments: deque[float] = field(default_factory=deque)

    def wait(self, now: float, span: float, most: int) -> float:
        """Seconds until another try, of which there may be `most` in `span`."""
        if now - self.last > FORGOTTEN:
            self.count = 0
        while self.moments and self.moments[0] <= now - span:
            self.moments.popleft()
        pause = min(LONGEST, FIRST * 2 ** min(self.count - 1, 30)) if self.count else 0.0
        wait = max(0.0, self.last + pause - now)
        return max(wait, self.moments[0] + span - now) if len(self.moments) >= most else wait

    def note(self, now: float) -> None:
        self.count += 1
        self.last = now
        self.moments.append(now)


_Place = tuple[str, str]


class Throttle:
    """All tries of late."""

    def __init__(self) -> None:
        self._places: OrderedDict[_Place, _Tries] = OrderedDict()

    def ask(self, account: str, address: str, now: float, *, known: bool = False) -> float:
        """0: the try may go on, and counts. Otherwise the seconds to wait: nothing is counted then.

        `account`: what the password is for, existing or not; "" for codes and links, which name nobody. `known`: its
        owner has signed in from this address before.
        """
        places = _places(account, address, known)
        wait = max(self._at(place).wait(now, *_bound(place)) for place in places)
        if wait <= 0:
            for place in places:
                self._at(place).note(now)
        return wait

    def right(self, account: str, address: str, *, known: bool = False) -> None:
        """The try that was let through last was right: it is taken back. At its address and in its pair, so are those
        before it; at the account they are not, since others made them.
        """
        for place in _places(account, address, known):
            if (tries := self._places.get(place)) and tries.moments:
                tries.count = tries.count - 1 if place[0] == "account" else 0
                tries.moments.pop()

    def __len__(self) -> int:
        return len(self._places)

    def _at(self, place: _Place) -> _Tries:
        tries = self._places.setdefault(place, _Tries())
        self._places.move_to_end(place)
        if len(self._places) > REMEMBERED:
            self._places.popitem(last=False)
        return tries


def home_of(address: str) -> str:
    """What counts as one address: of IPv6 the /64, which is what one household gets."""
    found = plain_address(address)
    if isinstance(found, IPv6Address):
        return str(ip_network((found, 64), strict=False))
    return str(found) if found is not None else address


def _places(account: str, address: str, known: bool) -> list[_Place]:
    home = home_of(address)
    if not account:
        return [("address", home)]
    return [("address", home), ("pair", f"{account}\0{home}") if known else ("account", account)]


def _bound(place: _Place) -> tuple[float, int]:
    return (HOUR, AN_HOUR) if place[0] == "account" else (MINUTE, A_MINUTE)
