"""The row of doors that every request passes. Nothing is open that the policy table does not open."""

from __future__ import annotations

import re
from enum import Enum
from urllib.parse import unquote_to_bytes

from controller.auth.credentials import extract, holds_key
from controller.auth.gate import Sent
from controller.auth.policy import Right, Row, Tunnel, page_row, row_of
from controller.auth.secrets import parse_key
from controller.auth.visitor import Unclear
from controller.dialect import Headers
from controller.proxy import cleartext
from controller.proxy.callers import Callers, may_not
from controller.proxy.crowd import Full
from controller.proxy.exchange import Exchange, Scope
from controller.proxy.headers import holds_secret, read
from controller.proxy.paths import Unclean, resolve
from controller.proxy.refusals import SURFACE
from controller.proxy.routes import Match, WrongMethod, dialect_of, find
from controller.proxy.rules import Rules
from controller.refusal import Reason, Refused


class Elsewhere(Enum):
    """Requests that are none of the route table's."""

    PAGES = "pages"
    OPTIONS = "options"


PAGES, OPTIONS = Elsewhere.PAGES, Elsewhere.OPTIONS
_OPEN = Row(Right.ANYONE)
Admitted = Match | Elsewhere

_FOR_ALL = (Reason.DENIED, Reason.UNKNOWABLE)  # what nobody is let in for, not even where everybody may
_OUTSIDE = Refused(
    403,
    Reason.TUNNEL,
    "This is not done through the tunnel. Use the server from its own network, by its local address.",
)
_NO_SECRETS = Refused(400, Reason.BAD, "Keys do not belong into a URL, where they end up in logs. Remove it.")
_NOTHING = Refused(404, Reason.UNLISTED, "There is nothing at this path.")
_WRONG_HOST = Refused(
    421,
    Reason.HOST,
    "This server is not called by that name. If the name is right, add it under `hosts:` in access.yaml.",
)
_TOO_MANY_PAGES = "Too many are looking at the pages of this server now. Please try again in a moment."
_CLOSE = ((b"connection", b"close"),)
_FOREIGN = Refused(
    403,
    Reason.ORIGIN,
    "A web page of another site sent this request. If that page is yours, add its origin under `origins:` in "
    "access.yaml.",
)


def admit(exchange: Exchange, rules: Rules, callers: Callers) -> Admitted | Refused:
    """Where the request goes, or why it may not. Fills in what is learnt on the way: who, dialect, route, headers."""
    scope = exchange.scope
    found, proxied = read(scope["headers"])
    exchange.found = found
    place = rules.quick.get((exchange.method, scope["raw_path"])) or _place(exchange, rules)
    if isinstance(place, Match):
        exchange.route, exchange.dialect = place.route.path, place.route.dialect
    if exchange.route != "/healthz":
        paged = place is PAGES
        lost = _come_in(exchange, rules, proxied, paged=paged) or _placed(exchange, rules, page=paged)
        if lost is not None:
            return lost
    origin = found.get(b"origin")
    if origin is not None and rules.gate.knows_origin(origin):
        exchange.extra += cross_origin(origin)  # also of a refusal, so that its page can say why
    if isinstance(place, Refused):
        return place
    if exchange.query and holds_secret(exchange.query):
        return _NO_SECRETS
    row = row_of(exchange.method, exchange.route) if isinstance(place, Match) else _OPEN
    if place is PAGES:
        page = page_row(scope["path"])
        if page is None:
            return _NOTHING
        row = page
    return _pass(exchange, rules, callers, place, row) or place


def _come_in(exchange: Exchange, rules: Rules, proxied: bytes | None, *, paged: bool) -> Refused | None:
    """By which name, and from where. `paged`: it is to a page, which no container has any use for."""
    scope, arrival = exchange.scope, exchange.arrival
    server, direct = scope.get("server"), arrival.kind == "direct"
    gate = rules.tunnel_gate if arrival.kind == "tunnel" else rules.gate
    peer = exchange.peer if direct and not paged else ""
    if not gate.knows_host(exchange.found.get(b"host"), server[0] if server else "", peer):
        return _WRONG_HOST
    address = arrival.address(exchange.peer, scope["headers"])
    if isinstance(address, Unclear):
        return Refused(address.status, Reason.ADDRESS, address.text)
    exchange.address = address
    if direct and proxied is not None:
        exchange.proxied = proxied
    else:
        exchange.proven = True
    return None


def _placed(exchange: Exchange, rules: Rules, *, page: bool) -> Refused | None:
    """Whether its listener has a place for it. One that has none is closed: its connection is one."""
    limits = rules.config.server.limits
    full = exchange.take_place(limits, page=page)
    if full is None:
        return None
    if full is Full.PAGES:
        return Refused(503, Reason.FULL, _TOO_MANY_PAGES, retry_after=5, headers=_CLOSE)
    text = (
        f"Your address has {limits.per_address} requests to this server open already, as many as it may. Wait for one "
        "to end, or ask whoever runs it to raise `limits: per_address` in server.yaml."
    )
    return Refused(429, Reason.FULL, text, retry_after=2, headers=_CLOSE)


def _pass(exchange: Exchange, rules: Rules, callers: Callers, place: Admitted, row: Row) -> Refused | None:
    """Who is calling, and whether they may."""
    if rules.require_https != "off":
        plain = _plain(exchange, rules, place)
        if plain is not None:
            return plain
    if row.needs is Right.ANYONE and place is not PAGES:
        return None
    known = callers.of_page(exchange, rules) if place is PAGES else callers.of_api(exchange, rules)
    if isinstance(known, Refused):
        return None if row.needs is Right.ANYONE and known.reason not in _FOR_ALL else known
    exchange.who, offered = known
    if row.needs is Right.ANYONE:
        return None
    if exchange.who.kind != "key" or offered.ambient:
        foreign = _foreign(exchange, rules, linked=place is PAGES and row.linked)
        if foreign is not None:
            return foreign
    exchange.needs = row.needs
    if not exchange.who.may(row.needs):
        return may_not(exchange.who, row.needs)
    if exchange.listener == "tunnel" and row.tunnel is not Tunnel.YES and not _let_out(rules, row):
        return _OUTSIDE if row.tunnel is Tunnel.NO else SURFACE
    return callers.let_in(exchange, exchange.who, rules)


def _plain(exchange: Exchange, rules: Rules, place: Admitted) -> Refused | None:
    """What came in the clear and must not: a page, or a key of ours."""
    scope = exchange.scope
    target = scope["raw_path"] + (b"?" + exchange.query if exchange.query else b"")
    came = cleartext.Came(
        exchange.arrival.kind,
        scope.get("seadragon.https", False),
        exchange.peer,
        bool(exchange.proxied),
        exchange.method,
        exchange.found.get(b"host", b"").decode("latin-1"),
        target.decode("latin-1"),
    )
    if place is PAGES:
        return cleartext.page(rules.require_https, came, rules.https_doors(), rules.config.server.tunnel.hostnames)
    keys = filter(None, map(parse_key, extract(exchange.found).ours))
    refusals = (cleartext.key(rules.require_https, came, id, secret[-4:]) for id, secret in keys)
    return next(filter(None, refusals), None)


def _let_out(rules: Rules, row: Row) -> bool:
    return row.tunnel is Tunnel.SURFACE and rules.admin_outside


def _foreign(exchange: Exchange, rules: Rules, *, linked: bool) -> Refused | None:
    """A right that nobody had to show anything for is refused to pages of other sites. `linked`: it is to a page, and
    a link to that may stand anywhere.
    """
    found = exchange.found
    origin, site = found.get(b"origin"), found.get(b"sec-fetch-site")
    if origin is None and site is None:
        return None
    sent = Sent(
        exchange.method, found.get(b"host"), origin, site, found.get(b"sec-fetch-mode"), found.get(b"sec-fetch-dest")
    )
    return _FOREIGN if rules.gate.foreign(sent, linked=linked) else None


def _place(exchange: Exchange, rules: Rules) -> Admitted | Refused:
    """As the table of quick matches says, for the paths that are not in it."""
    scope, method = exchange.scope, exchange.method
    raw = scope["raw_path"]
    anthropic = b"anthropic-version" in exchange.found
    exchange.dialect = dialect_of(raw.decode("latin-1"), anthropic=anthropic)  # as far as can be told, for a refusal
    if holds_key(unquote_to_bytes(raw)):
        return _NO_SECRETS
    path = resolve(raw, rules.prefixes)
    if isinstance(path, Unclean):
        return Refused(400, Reason.PATH, path.why)
    if path is None or (path == "/" and method == "GET" and _wants_page(exchange, scope)):
        exchange.route = "pages"
        return PAGES
    exchange.dialect = dialect_of(path, anthropic=anthropic)
    if method == "OPTIONS":
        return OPTIONS
    match = find(method, path)
    if match is None:
        return _NOTHING
    if isinstance(match, WrongMethod):
        allowed = ", ".join(match.allowed)
        exchange.dialect = match.dialect
        if exchange.found.get(b"upgrade", b"").lower() == b"websocket":
            return _no_websocket(allowed)
        text = f"This path does not take {method}. It takes {allowed}."
        return Refused(405, Reason.METHOD, text, headers=((b"allow", allowed.encode()),))
    return match


def _no_websocket(allowed: str) -> Refused:
    """Codex asks so, and goes on over HTTP after this status alone; after any other it tries again for some seconds."""
    text = f"This server speaks no WebSocket. Send {allowed} over HTTP."
    return Refused(426, Reason.METHOD, text, headers=((b"upgrade", b"HTTP/1.1"), (b"connection", b"upgrade")))


def _wants_page(exchange: Exchange, scope: Scope) -> bool:
    return scope["raw_path"] == b"/" and b"text/html" in exchange.found.get(b"accept", b"")


_NAMES = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+( *, *[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")
_MOST_NAMED = 4096  # bytes: a browser names each header of a request once


def cross_origin(origin: bytes) -> Headers:
    """What lets a page of a configured origin read an answer."""
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", b"Retry-After, X-Request-Id, X-Seadragon-Adjusted, X-Seadragon-Queue"),
        (b"vary", b"Origin"),
    ]


def preflight(exchange: Exchange) -> Headers:
    """What an OPTIONS request is told, beside `cross_origin`: nothing, when the page's origin is not configured.

    A page that may call may send any header: which of them matter is decided when they come. Every library adds some of
    its own, so a list would always lack one.
    """
    if not any(name == b"access-control-allow-origin" for name, _ in exchange.extra):
        return []
    told = [
        (b"access-control-allow-methods", b"GET, HEAD, POST, DELETE, OPTIONS"),
        (b"access-control-max-age", b"600"),
        (b"vary", b"Access-Control-Request-Headers"),
    ]
    asked = exchange.found.get(b"access-control-request-headers", b"")
    if len(asked) <= _MOST_NAMED and _NAMES.fullmatch(asked):
        told.append((b"access-control-allow-headers", asked))
    if b"access-control-request-private-network" in exchange.found:
        told.append((b"access-control-allow-private-network", b"true"))
    return told
