"""What may travel in the clear, and where those are sent who must not: the rule `require_https`. Pure.

How a request came is a matter of its listener: TLS of our own is seen; what Cloudflare or a proxy says of the visitor
is believed only where they alone can say it. This machine talking to itself crosses no wire that anybody could listen
to, so it is never held to https: else `curl http://127.0.0.1:8420` and every editor here would need a certificate.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from controller.auth.access import plain_address
from controller.certificate import Certificate
from controller.refusal import Reason, Refused

Rule = Literal["off", "pages", "all"]
Kind = Literal["direct", "tunnel", "proxy"]

_SAFE = ("GET", "HEAD")


def by_https(kind: Kind, scheme: str, headers: Iterable[tuple[bytes, bytes]], *, trusted: bool = True) -> bool:
    """Whether the visitor came by https.

    `scheme` is the connection's own. `trusted`: kind proxy, whether the peer is one of the proxies. Every word on the
    visitor must say https, and one must be there: a second header that says otherwise is somebody's attempt.
    """
    if scheme == "https":
        return True
    if kind == "direct" or not trusted:
        return False
    said = {_said(name, value) for name, value in headers if name in _WORDS[kind]}
    return said == {"https"}


_WORDS: dict[Kind, frozenset[bytes]] = {
    "tunnel": frozenset((b"x-forwarded-proto", b"cf-visitor")),
    "proxy": frozenset((b"x-forwarded-proto",)),
}


def _said(name: bytes, value: bytes) -> str:
    if name != b"cf-visitor":
        return value.decode("latin-1").strip().lower()
    try:
        visitor = json.loads(value)
    except (ValueError, RecursionError):
        return ""
    return str(visitor.get("scheme")) if isinstance(visitor, dict) else ""


@dataclass(frozen=True, slots=True)
class HttpsDoor:
    """A listener of ours that speaks https."""

    certificate: Certificate
    port: int


@dataclass(frozen=True, slots=True)
class Came:
    """How a request came, as far as the rule asks."""

    kind: Kind
    https: bool
    peer: str  # the socket's own other end; empty for a UNIX socket
    proxied: bool  # it has a header that only a proxy or a tunnel writes
    method: str
    host: str  # the Host header, which has passed the allow-list
    target: str  # path and query, as they came

    @property
    def plain(self) -> bool:
        """Whether others may have read it on its way."""
        if self.https:
            return False
        address = plain_address(self.peer)
        here = self.kind == "direct" and not self.proxied and (not self.peer or (address and address.is_loopback))
        return not here


def page(rule: Rule, came: Came, doors: Sequence[HttpsDoor], public: Sequence[str]) -> Refused | None:
    """Where a page is to be had instead, or why it is not; None when it may be had here.

    The redirect is a temporary one (307): browsers keep a permanent one, and would go on when the rule is taken back.
    """
    if rule == "off" or not came.plain:
        return None
    url = secure_url(came, doors, public)
    if came.method not in _SAFE:
        return Refused(403, Reason.PLAIN, f"What was sent came over plain http, so it is not used. {_again(url)}")
    if url is None:
        return Refused(403, Reason.PLAIN, f"Pages are shown over https only (`require_https`). {_again(url)}")
    return Refused(307, Reason.PLAIN, f"It is here: {url}", headers=((b"location", url.encode("latin-1")),))


def _again(url: str | None) -> str:
    return f"Use {url} instead." if url else "Ask whoever runs this server for its https address."


def key(rule: Rule, came: Came, id: str, last4: str) -> Refused | None:
    """Why a request that carries our key `id` is refused whatever the key may; None when it is not.

    The key has been in the clear for all who listened, so it is named to its holder, who must replace it. `id` and
    `last4` stand in the request itself, so they tell nobody anything new.
    """
    if rule != "all" or not came.plain:
        return None
    text = (
        f"The key {id} (ending in {last4}) came over plain http, where others may have read it: replace it, and use "
        "https from now on. Whoever runs this server can revoke the old one: `seadragon keys`."
    )
    return Refused(403, Reason.PLAIN, text)


def secure_url(came: Came, doors: Sequence[HttpsDoor], public: Sequence[str]) -> str | None:
    """The same page over https: behind the same name if a certificate holds for it, else where there is one."""
    name = _name(came.host)
    if came.kind != "direct":
        return f"https://{_bracketed(name)}{came.target}"  # the tunnel or the proxy speaks https on the usual port
    for door in doors:
        if door.certificate.holds_for(name):
            return f"https://{_bracketed(name)}{_port(door.port)}{came.target}"
    for door in doors:
        for known in door.certificate.names:
            if not known.startswith("*") and not _here(known):
                return f"https://{_bracketed(known)}{_port(door.port)}{came.target}"
    outside = next((each for each in public if not each.startswith("*")), None)
    return f"https://{outside}{came.target}" if outside else None


def _name(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0].strip("[]")
    return host.partition(":")[0]


def _here(name: str) -> bool:
    address = plain_address(name)
    return name == "localhost" or (address is not None and address.is_loopback)


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name else name


def _port(port: int) -> str:
    return "" if port == 443 else f":{port}"
