"""From where a request comes: the one place that says which address it counts as.

Trust belongs to the listener. A direct one believes its socket alone; the tunnel's believes `CF-Connecting-IP` alone,
which Cloudflare overwrites; a proxy's believes one header of the proxies it names. Whatever else a visitor sends
decides nothing. (X-Forwarded-For through a tunnel is never read: Cloudflare appends to what the visitor sent.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final, Literal, Protocol

from controller.auth.access import Address, Network
from controller.config.listening import Listener

Kind = Literal["direct", "tunnel", "proxy"]
Headers = Iterable[tuple[bytes, bytes]]

CLOUDFLARE: Final = b"cf-connecting-ip"
_LONGEST = 64  # hops of a list
_LONGEST_ADDRESS = 64  # characters; none has as many


@dataclass(frozen=True, slots=True)
class Unclear:
    """Nobody can tell where it comes from. `status` and `text` are for its client."""

    status: int
    text: str


class Arrival(Protocol):
    """How a listener tells who its visitors are."""

    @property
    def kind(self) -> Kind: ...

    def address(self, peer: str, headers: Headers) -> str | Unclear:
        """The address it counts as, in its one spelling; "" for a peer that has none."""


@dataclass(frozen=True, slots=True)
class Direct:
    """By the socket's other end."""

    kind: Kind = "direct"

    def address(self, peer: str, headers: Headers) -> str | Unclear:
        return spelled(peer.partition("%")[0]) or ""


@dataclass(frozen=True, slots=True)
class Tunnelled:
    """By what Cloudflare says: exactly once, and an address."""

    kind: Kind = "tunnel"

    def address(self, peer: str, headers: Headers) -> str | Unclear:
        values = [value for name, value in headers if name == CLOUDFLARE]
        found = spelled(values[0].decode("latin-1")) if len(values) == 1 else None
        return found or _UNNAMED


@dataclass(frozen=True, slots=True)
class Proxied:
    """By one header of proxies that are named. Of a list, the last address that is no proxy's: those before it the
    visitor may have written.
    """

    trusted: tuple[Network, ...]
    header: bytes
    socket: bool = False  # it is a UNIX socket: whoever may open it is trusted
    kind: Kind = "proxy"

    def address(self, peer: str, headers: Headers) -> str | Unclear:
        if not (self.socket or self._trusts(spelled(peer.partition("%")[0]))):
            return _NO_PROXY
        hops = b",".join(value for name, value in headers if name == self.header).decode("latin-1").split(",")
        if len(hops) > _LONGEST:
            return _UNCLEAR
        for hop in reversed(hops):
            visitor = spelled(hop.strip(" \t"))
            if visitor is None:
                return _UNCLEAR
            if not self._trusts(visitor):
                break
        return visitor or _UNCLEAR

    def _trusts(self, address: str | None) -> bool:
        known = ip_address(address) if address else None
        return known is not None and any(known in network for network in self.trusted)


DIRECT: Final = Direct()
TUNNELLED: Final = Tunnelled()

_UNNAMED = Unclear(
    400, "This came by the tunnel's own door without saying, once and plainly, whose request it is (CF-Connecting-IP)."
)
_NO_PROXY = Unclear(
    403, "This door is for the proxy alone, whose address stands under `trusted` in server.yaml. Use another address."
)
_UNCLEAR = Unclear(400, "The proxy did not say plainly whose request this is: its header must hold IP addresses only.")


def arrival(listener: Listener) -> Arrival:
    """How `listener` tells who its visitors are."""
    if listener.kind == "proxy":
        trusted = tuple(ip_network(each) for each in listener.trusted)
        return Proxied(trusted, listener.header.encode(), bool(listener.place.path))
    return _PLAIN[listener.kind]


_PLAIN: Final[Mapping[str, Arrival]] = {"direct": DIRECT, "tunnel": TUNNELLED}


def spelled(text: str) -> str | None:
    """The one spelling of an address, an IPv4 one in IPv6's clothes as what it is; None for what is no address."""
    return _spelled(text) if len(text) <= _LONGEST_ADDRESS else None


@lru_cache(4096)
def _spelled(text: str) -> str | None:
    if "%" in text:
        return None  # a zone means something on one machine only
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return str((address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address)


@lru_cache(4096)
def neighbourhood(address: str) -> str:
    """What is counted as one visitor: an IPv4 address, or the /64 that an IPv6 one can move about in."""
    found: Address | None = ip_address(address) if address else None
    return str(ip_network((found, 64), strict=False)) if isinstance(found, IPv6Address) else address
