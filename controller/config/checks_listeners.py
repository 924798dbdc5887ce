"""What fits together among the listeners: addresses, whom each believes, and what may travel in the clear. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Final

from controller.config.mistake import Check, Mistake
from controller.config.problem import shown
from controller.config.schema import Config
from controller.settings.addresses import Place


def _listeners_apart(config: Config) -> Iterator[Mistake]:
    for (_, first), (later, second) in combinations(enumerate(config.server.listeners), 2):
        if clash(first.place, second.place):
            found = f"{second.address}, which {first.address} listens on already"
            yield Mistake(("server", "listeners", later, "address"), found, "each address once")


def clash(one: Place, other: Place) -> bool:
    """Whether two listeners cannot have both."""
    if one == other or one.path or other.path:
        return one == other
    same_host = _host(one) == _host(other) or one.everywhere or other.everywhere
    return same_host and one.port == other.port != 0


def _host(where: Place) -> str:
    return "127.0.0.1" if where.host in ("localhost", "::1") else where.host


def _one_tunnel(config: Config) -> Iterator[Mistake]:
    tunnels = [(index, each) for index, each in enumerate(config.server.listeners) if each.kind == "tunnel"]
    for index, _ in tunnels[1:]:
        yield Mistake(("server", "listeners", index, "kind"), "a second tunnel", "one listener of kind tunnel")
    for index, listener in tunnels:
        if not listener.place.loopback:
            allowed = "unix:/path or 127.0.0.1:port: what it is told about the visitor is believed"
            yield Mistake(("server", "listeners", index, "address"), shown(listener.address), allowed)


def _proxies_known(config: Config) -> Iterator[Mistake]:
    """Whom a listener believes is said, and only where anybody is believed."""
    for index, listener in enumerate(config.server.listeners):
        at = ("server", "listeners", index)
        if listener.kind == "proxy" and not listener.trusted and not listener.place.path:
            yield Mistake((*at, "trusted"), "nothing", "the addresses of the proxy: kind proxy needs it", (*at, "kind"))
        if listener.kind != "proxy" and listener.trusted:
            found = f"a setting of kind proxy on kind {listener.kind}"
            yield Mistake((*at, "trusted"), found, "it left out", key=True)


def _certificates_whole(config: Config) -> Iterator[Mistake]:
    for index, listener in enumerate(config.server.listeners):
        at, tls = ("server", "listeners", index, "tls"), listener.tls
        if tls.cert is None and tls.key is None:
            continue
        for name, path in (("cert", tls.cert), ("key", tls.key)):
            if path is None:
                yield Mistake((*at, name), "nothing", "a file: a certificate and its key belong together", at)
        if listener.kind == "tunnel" or listener.place.path:
            yield Mistake(at, "tls", "none here: cloudflared and sockets of this machine speak plain http", key=True)


def _plain_cookies_at_home(config: Config) -> Iterator[Mistake]:
    """A password that travels in the clear is read by whoever is on the way: at most the house's own network."""
    for index, listener in enumerate(config.server.listeners):
        at = ("server", "listeners", index, "plain_cookies")
        if not listener.plain_cookies:
            continue
        if listener.kind != "direct" or not listener.place.private:
            allowed = "false; true only on a direct listener at one private address, such as 192.168.1.10:8420"
            yield Mistake(at, f"true on {listener.kind} {listener.address}", allowed)
        elif listener.tls.cert is not None:
            yield Mistake(at, "true on a listener with tls", "false: with https nothing is plain")


def _https_somewhere(config: Config) -> Iterator[Mistake]:
    server = config.server
    there = any(each.tls.cert or each.kind == "proxy" for each in server.listeners)
    public = server.tunnel.mode != "off" and server.tunnel.hostnames
    if server.require_https != "off" and not there and not public:
        allowed = "off, as long as no listener has tls, and no tunnel has hostnames"
        yield Mistake(("server", "require_https"), server.require_https, allowed)


INSIDE: Final[tuple[Check, ...]] = (
    _listeners_apart,
    _one_tunnel,
    _proxies_known,
    _certificates_whole,
    _plain_cookies_at_home,
    _https_somewhere,
)
