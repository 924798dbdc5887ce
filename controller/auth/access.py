"""Who a peer is: the allow-list of `access.yaml`, by address. An address counts only where nobody can lend it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal

from controller.auth.policy import ROLES, Right
from controller.config.schema import Allowed

_REMEMBERED = 4096  # addresses whose verdict is kept
_USUAL: Final = ROLES["address"].may

Kind = Literal["address", "key", "person", "operator", "anonymous"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, and what they may do."""

    label: str
    lane: float = 1.0
    manage: bool = False
    default: str = ""  # the model of a request that names none
    running: int | None = None  # caps of its own in the line
    waiting: int | None = None
    kind: Kind = "address"
    id: str = ""  # of its row: a key, a person, an entry of the allow-list; "": it has none
    rights: frozenset[Right] = _USUAL

    def __post_init__(self) -> None:
        if self.manage:
            object.__setattr__(self, "rights", self.rights | {Right.MANAGE})
        object.__setattr__(self, "manage", Right.MANAGE in self.rights)

    def may(self, right: Right) -> bool:
        """Whether this principal has `right`."""
        return right in self.rights or right is Right.ANYONE


def principal_of(entry: Allowed) -> Principal:
    """Who an entry of the allow-list is."""
    return Principal(entry.label, entry.lane, entry.manage, entry.default or "", entry.running, entry.waiting)


Network = IPv4Network | IPv6Network


class AllowList:
    """The entries of `allow`, ready to be asked. First match wins."""

    def __init__(self, entries: Iterable[Allowed]) -> None:
        self._entries: Sequence[tuple[Network, Principal]] = [
            (ip_network(address, strict=False), principal_of(entry)) for entry in entries for address in entry.addresses
        ]
        self._known: dict[str, Principal | None] = {}

    def principal(self, peer: str) -> Principal | None:
        """Who is at the address `peer`; None for a stranger, and for a peer without an address."""
        try:
            return self._known[peer]
        except KeyError:
            pass
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        found = self._known[peer] = self._look(peer)
        return found

    def _look(self, peer: str) -> Principal | None:
        address = plain_address(peer)
        if address is None:
            return None
        return next((who for network, who in self._entries if address in network), None)


def plain_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address in `text`: without a zone, and an IPv4 one in IPv6's clothes as what it is. None when it is none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
