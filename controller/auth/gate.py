"""What a browser may be made to do. An address is an ambient right, like a cookie: any web page that is open on an
allowed machine can send requests from it, and a name that suddenly points to 127.0.0.1 can read the answers.

So the Host must be one of ours, and what a foreign page can cause is refused. The key is `Sec-Fetch-Site`, which no
script can set: browsers send it, and so do programs that are built on a browser's network stack, where nothing caused
the request (`none`). Node's fetch sends `sec-fetch-mode` alone. docs/security.md has the whole table, with the sources.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from controller.auth.access import plain_address

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:@/\\?#\s]+)(:\d{1,5})?")
_REMEMBERED = 1024
_LONGEST_HOST = 512  # bytes; no name has as many
_SAFE = ("GET", "HEAD")
_ANY_PORT = ":*"

CONTAINERS: Final = frozenset(
    ("host.docker.internal", "gateway.docker.internal")  # Docker's; OrbStack and Rancher Desktop take the same
    + ("host.containers.internal", "gateway.containers.internal")  # Podman's
    + ("host.lima.internal",)  # Lima's and Colima's
)
"""What containers call the machine they run on."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What of a request tells whether a web page caused it. None: it has no such header. (What a page can choose, as
    the content type, tells nothing.)
    """

    method: str
    host: bytes | None
    origin: bytes | None = None
    site: bytes | None = None  # Sec-Fetch-Site …
    mode: bytes | None = None
    dest: bytes | None = None

    @property
    def safe(self) -> bool:
        """Whether it only looks."""
        return self.method in _SAFE

    @property
    def same(self) -> bool:
        """Whether its page came from the server that its Host names (which the Host allow-list has passed). A name for
        containers names no page of ours: whoever answers for names in a strange network could point it here.
        """
        if self.origin is None or self.host is None or _name(self.host) in CONTAINERS:
            return False
        return self.origin.lower() in (b"http://" + self.host.lower(), b"https://" + self.host.lower())

    @property
    def followed(self) -> bool:
        """Whether somebody followed a link, and sees what comes as a page of its own."""
        return self.safe and self.mode == b"navigate" and self.dest == b"document"


class Gate:
    """The Host allow-list and the origins whose pages may call, of one configuration.

    `addresses`: whether a server's own address is a name of it; never for those who come from outside, by a name.
    `bridged`: whether an address is that of a container on this machine.
    """

    def __init__(
        self,
        hosts: Iterable[str],
        origins: Iterable[str],
        *,
        addresses: bool = True,
        bridged: Callable[[str], bool] = lambda peer: False,
    ) -> None:
        self._addresses, self._bridged = addresses, bridged
        names = [host.lower().rstrip(".") for host in hosts]
        self._hosts = frozenset(name for name in names if not name.startswith("*."))
        self._domains = tuple(name[1:] for name in names if name.startswith("*."))  # one label before each
        self._origins = tuple(_pattern(origin) for origin in origins)
        self._verdicts: dict[tuple[bytes | None, str], bool | None] = {}

    @property
    def remembered(self) -> int:
        """How many verdicts it need not find again."""
        return len(self._verdicts)

    def knows_host(self, host: bytes | None, own: str, peer: str = "") -> bool:
        """Whether a Host header names this server: a configured name, a loopback literal, or `own`, the address the
        connection came in at; also what containers call it, when `peer`, the other end, is one or on this machine.
        """
        if host is not None and len(host) > _LONGEST_HOST:
            return False
        key = (host, own)
        verdict = self._verdicts.get(key)
        if verdict is None:
            if len(self._verdicts) >= _REMEMBERED:
                self._verdicts.clear()
            verdict = self._verdicts[key] = self._look(host, own)
        return self._near(peer, own) if verdict is None else verdict

    def knows_origin(self, origin: bytes) -> bool:
        """Whether pages of `origin` may call the API."""
        text = origin.decode("latin-1")
        return any(pattern.fullmatch(text) for pattern in self._origins)

    def foreign(self, sent: Sent, *, linked: bool = False) -> bool:
        """Whether a foreign web page may be behind a request. `linked`: it is to a page of ours, and links to those may
        stand anywhere.
        """
        if sent.origin is not None and self.knows_origin(sent.origin):
            return False
        match sent.site:
            case None:
                return sent.origin is not None and not sent.same
            case b"same-origin":
                return False
            case b"none" if sent.origin is None:  # browsers name the origin of all that is not safe, be it `null`
                return sent.mode == b"navigate" and not sent.safe
            case b"none":
                return not sent.same
        return not (linked and sent.followed)

    def _look(self, host: bytes | None, own: str) -> bool | None:
        """None: it depends on who asks."""
        name = _name(host)
        if name is None:
            return False
        if name in self._hosts or name[name.find(".") :] in self._domains:
            return True
        if name in CONTAINERS and self._addresses:
            return None
        address = plain_address(name.strip("[]"))
        return self._addresses and address is not None and (address.is_loopback or address == plain_address(own))

    def _near(self, peer: str, own: str) -> bool:
        """Whether it comes from this machine: Docker Desktop and virtual machines pass it on from here."""
        address = plain_address(peer)
        if address is None:
            return False
        return address.is_loopback or address == plain_address(own) or self._bridged(str(address))


def _name(host: bytes | None) -> str | None:
    """The name in a Host header; None when that is none."""
    match = _HOST.fullmatch(host.decode("latin-1").lower()) if host else None
    return match[1].rstrip(".") if match else None


def _pattern(origin: str) -> re.Pattern[str]:
    """A star for a host is any host, and one for a port any port, the usual one too."""
    stem = origin.lower().removesuffix(_ANY_PORT)
    port = r"(:[0-9]{1,5})?" if stem != origin.lower() else ""
    return re.compile(r"[^/\s]*".join(map(re.escape, stem.split("*"))) + port, re.IGNORECASE)
