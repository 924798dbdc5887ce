"""Where people find this server: what stands before the path of a link that is sent to somebody. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from controller.config.listening import Listener
from controller.config.schema import Config, Server

_ANY = ("0.0.0.0", "::")  # noqa: S104 - what is listened on is compared, not bound

ONLY_HERE: Final = "This works on this machine only."
NAMELESS: Final = (
    f"{ONLY_HERE} For others, say by which name they reach this server: under hosts in access.yaml, or for a tunnel "
    "under tunnel, hostnames in server.yaml. Then make it anew."
)
AT_HOME: Final = (
    f"{ONLY_HERE} For a phone at home, put this machine's own address, such as 192.168.1.10:8420, under listeners in "
    "server.yaml, with plain_cookies: true; for https, or from anywhere, see docs/tunnel.md. Then make it anew."
)
"""What to set. Over plain http nobody signs in from another machine unless the operator says so (`plain_cookies`)."""


@dataclass(frozen=True, slots=True)
class LinkPlaces:
    """Where a link may lead: never none, the best first, without a slash at the end."""

    urls: tuple[str, ...]
    caution: str = ""  # why nobody gets there but from this machine, and what to set; "": others do


def places(config: Config) -> LinkPlaces:
    """Names of the tunnel; names of the house, then addresses, of listeners where people can sign in: over https, or
    plain where that is allowed; names that a proxy of ours stands for. This machine's own only when all else lacks.
    """
    server = config.server
    direct = [each for each in server.listeners if each.kind == "direct" and each.place.host]
    direct.sort(key=lambda each: each.tls.cert is None)
    names = [name for name in config.access.hosts if name != "localhost"]
    open_ones = [each for each in direct if _lets_in(each, server)]
    named = [_url(each, name) for each in open_ones for name in names]
    plain = [_url(each, each.place.host) for each in open_ones if each.place.host not in _ANY]
    proxied = any(each.kind == "proxy" for each in server.listeners)
    found = [*_of_tunnel(server), *named, *plain] or [f"https://{name}" for name in names if proxied]
    if found:
        return LinkPlaces(tuple(dict.fromkeys(found)))
    here = tuple(dict.fromkeys(_url(each, "localhost") for each in direct)) or ("http://localhost",)
    return LinkPlaces(here, NAMELESS if open_ones or proxied or _tunnelled(server) else AT_HOME)


def _of_tunnel(server: Server) -> list[str]:
    names = server.tunnel.hostnames if _tunnelled(server) else ()
    return [f"https://{name}" for name in names if not name.startswith("*")]


def _tunnelled(server: Server) -> bool:
    """Whether a tunnel leads here: ours, or one that somebody else runs."""
    return server.tunnel.mode != "off" or any(each.kind == "tunnel" for each in server.listeners)


def _lets_in(listener: Listener, server: Server) -> bool:
    """Whether people on other machines can sign in by it."""
    plain = listener.plain_cookies and server.require_https == "off"
    return not listener.place.loopback and (listener.tls.cert is not None or plain)


def _url(listener: Listener, host: str) -> str:
    bracketed = f"[{host}]" if ":" in host else host
    scheme, port = ("http", 80) if listener.tls.cert is None else ("https", 443)
    shown = "" if listener.place.port == port else f":{listener.place.port}"
    return f"{scheme}://{bracketed}{shown}"
