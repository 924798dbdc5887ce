"""What a browser may be made to do. An address is an ambient right, like a cookie: any web page that is open on an
allowed machine can send requests from it, and a name that suddenly points to 127.0.0.1 can read the answers.

So the Host must be one of ours, and what a foreign page sends is refused. The key is `Sec-Fetch-Site`, which only
browsers send and no script can set; Node's fetch sends `sec-fetch-mode` alone and is no browser.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from controller.auth.access import plain_address

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:@/\\?#\s]+)(:\d{1,5})?")
_REMEMBERED = 1024


class Gate:
    """The Host allow-list and the origins whose pages may call, of one configuration.

    `addresses`: whether a server's own address is a name of it; never for those who come from outside, by a name.
    """

    def __init__(self, hosts: Iterable[str], origins: Iterable[str], *, addresses: bool = True) -> None:
        self._addresses = addresses
        names = [host.lower().rstrip(".") for host in hosts]
        self._hosts = frozenset(name for name in names if not name.startswith("*."))
        self._domains = tuple(name[1:] for name in names if name.startswith("*."))  # one label before each
        self._origins = tuple(_pattern(origin) for origin in origins)
        self._verdicts: dict[tuple[bytes | None, str], bool] = {}

    def knows_host(self, host: bytes | None, own: str) -> bool:
        """Whether a Host header names this server: a configured name, a loopback literal, or `own`, the address the
        connection came in at.
        """
        key = (host, own)
        verdict = self._verdicts.get(key)
        if verdict is None:
            if len(self._verdicts) >= _REMEMBERED:
                self._verdicts.clear()
            verdict = self._verdicts[key] = self._look(host, own)
        return verdict

    def knows_origin(self, origin: bytes) -> bool:
        """Whether pages of `origin` may call the API."""
        text = origin.decode("latin-1")
        return any(pattern.fullmatch(text) for pattern in self._origins)

    def foreign(self, *, safe: bool, site: bytes | None, origin: bytes | None, host: bytes | None) -> bool:
        """Whether a foreign web page is behind a request. `safe`: it is a GET or HEAD."""
        if origin is not None and self.knows_origin(origin):
            return False
        if site is not None:
            return not (site == b"same-origin" or (site == b"none" and safe))
        return origin is not None and not _same(origin, host)

    def _look(self, host: bytes | None, own: str) -> bool:
        match = _HOST.fullmatch(host.decode("latin-1").lower()) if host else None
        if match is None:
            return False
        name = match[1].rstrip(".")
        if name in self._hosts or name[name.find(".") :] in self._domains:
            return True
        address = plain_address(name.strip("[]"))
        return self._addresses and address is not None and (address.is_loopback or address == plain_address(own))


def _same(origin: bytes, host: bytes | None) -> bool:
    """Whether a page of `origin` came from the server that `host` names (which the Host allow-list has passed)."""
    return host is not None and origin.lower() in (b"http://" + host.lower(), b"https://" + host.lower())


def _pattern(origin: str) -> re.Pattern[str]:
    return re.compile(r"[^/\s]*".join(re.escape(part) for part in origin.lower().split("*")), re.IGNORECASE)
