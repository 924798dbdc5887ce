"""The row of doors that every request passes. Nothing is open that the policy table does not open."""

from __future__ import annotations

from enum import Enum

from controller.auth.access import Principal
from controller.auth.policy import POLICY, Right
from controller.proxy.dialects import Headers, Reason, Refused
from controller.proxy.exchange import Exchange, Scope
from controller.proxy.headers import holds_secret, read
from controller.proxy.paths import Unclean, resolve
from controller.proxy.routes import Match, WrongMethod, dialect_of, find
from controller.proxy.rules import Rules


class Elsewhere(Enum):
    """Requests that are none of the route table's."""

    PAGES = "pages"
    OPTIONS = "options"


PAGES, OPTIONS = Elsewhere.PAGES, Elsewhere.OPTIONS
Admitted = Match | Elsewhere

_SAFE = ("GET", "HEAD")
_CLOSED = Refused(
    403,
    Reason.TUNNEL,
    "This server does not take requests through the tunnel yet. Use it from its own network, by its local address.",
)
_NO_SECRETS = Refused(400, Reason.BAD, "Keys do not belong into a URL, where they end up in logs. Remove it.")
_WRONG_HOST = Refused(
    421,
    Reason.HOST,
    "This server is not called by that name. If the name is right, add it under `hosts:` in access.yaml.",
)
_FOREIGN = Refused(
    403,
    Reason.ORIGIN,
    "A web page of another site sent this request. If that page is yours, add its origin under `origins:` in "
    "access.yaml.",
)


def admit(exchange: Exchange, rules: Rules, through_tunnel: Principal | None) -> Admitted | Refused:
    """Where the request goes, or why it may not. Fills in what is learnt on the way: who, dialect, route, headers."""
    scope = exchange.scope
    found, proxied = read(scope["headers"])
    exchange.found = found
    place = rules.quick.get((exchange.method, scope["raw_path"])) or _place(exchange, rules)
    if isinstance(place, Match):
        exchange.route, exchange.dialect = place.route.path, place.route.dialect
        needs = Right.ANYONE if exchange.method == "HEAD" and place.target == "/" else POLICY[exchange.route].needs
    else:
        needs = POLICY["pages"].needs if place is PAGES else Right.ANYONE
    if exchange.listener != "direct":
        closed = through_tunnel is None and not (exchange.route in POLICY and POLICY[exchange.route].tunnel)
        if closed:
            return _CLOSED
        exchange.who = through_tunnel
    elif proxied is None:
        exchange.who = rules.allow.principal(exchange.peer)
    return _pass(exchange, rules, place, needs, proxied)


def _pass(
    exchange: Exchange, rules: Rules, place: Admitted | Refused, needs: Right, proxied: bytes | None
) -> Admitted | Refused:
    found, server = exchange.found, exchange.scope.get("server")
    host = found.get(b"host")
    if not rules.gate.knows_host(host, server[0] if server else "") and exchange.route != "/healthz":
        return _WRONG_HOST
    if isinstance(place, Refused):
        return place
    if exchange.query and holds_secret(exchange.query):
        return _NO_SECRETS
    origin = found.get(b"origin")
    if origin is not None and rules.gate.knows_origin(origin):
        exchange.extra += cross_origin(origin)
    if needs is Right.ANYONE:
        return place
    if exchange.who is None:
        return _stranger(exchange.peer, proxied)
    if origin is not None or b"sec-fetch-site" in found:
        safe = exchange.method in _SAFE
        foreign = rules.gate.foreign(safe=safe, site=found.get(b"sec-fetch-site"), origin=origin, host=host)
        if foreign and not (place is PAGES and safe):  # a link to a page may stand anywhere
            return _FOREIGN
    if not exchange.who.may(needs):
        return _may_not(exchange.who, needs)
    return place


def _place(exchange: Exchange, rules: Rules) -> Admitted | Refused:
    """As the table of quick matches says, for the paths that are not in it."""
    scope, method = exchange.scope, exchange.method
    path = resolve(scope["raw_path"], rules.prefixes)
    if isinstance(path, Unclean):
        return Refused(400, Reason.PATH, path.why)
    if path is None or (path == "/" and method == "GET" and _wants_page(exchange, scope)):
        exchange.route = "pages"
        return PAGES
    exchange.dialect = dialect_of(path, anthropic=b"anthropic-version" in exchange.found)
    if method == "OPTIONS":
        return OPTIONS
    match = find(method, path)
    if match is None:
        return Refused(404, Reason.UNLISTED, "There is nothing at this path.")
    if isinstance(match, WrongMethod):
        allowed = ", ".join(match.allowed)
        exchange.dialect = match.dialect
        text = f"This path does not take {method}. It takes {allowed}."
        return Refused(405, Reason.METHOD, text, headers=((b"allow", allowed.encode()),))
    return match


def _wants_page(exchange: Exchange, scope: Scope) -> bool:
    return scope["raw_path"] == b"/" and b"text/html" in exchange.found.get(b"accept", b"")


def _stranger(peer: str, proxied: bytes | None) -> Refused:
    if proxied is not None:
        name = proxied.decode("latin-1")
        text = (
            f"This request came through a proxy or a tunnel (it has the header {name}), so its address proves nothing. "
            "Use the server's local address."
        )
        return Refused(403, Reason.PROXIED, text)
    text = f"The address {peer or 'of this connection'} is not allowed here. Whoever runs this server can add it "
    return Refused(403, Reason.STRANGER, text + "under `allow:` in access.yaml.")


def _may_not(who: Principal, needs: Right) -> Refused:
    if needs is Right.NOBODY:
        return Refused(403, Reason.OFF, "This is switched off on this server.")
    return may_not_manage(who)


def may_not_manage(who: Principal) -> Refused:
    """403, with the line of access.yaml that would have to change."""
    text = (
        f'"{who.label}" may ask models here, but not change or unload them. To allow it, set `manage: true` on the '
        f'entry with `label: "{who.label}"` under `allow:` in access.yaml.'
    )
    return Refused(403, Reason.MANAGE, text)


_ALLOWED_HEADERS = b", ".join(
    (
        b"Authorization, X-API-Key, Content-Type, Accept, User-Agent, X-Requested-With, OpenAI-Beta",
        b"anthropic-version, anthropic-beta, x-stainless-arch, x-stainless-async, x-stainless-custom-poll-interval",
        b"x-stainless-helper-method, x-stainless-lang, x-stainless-os, x-stainless-package-version",
        b"x-stainless-poll-helper, x-stainless-retry-count, x-stainless-runtime, x-stainless-runtime-version",
        b"x-stainless-timeout",
    )
)
"""Star patterns are not allowed in this header: the SDK's telemetry headers are named one by one."""


def cross_origin(origin: bytes) -> Headers:
    """What lets a page of a configured origin read an answer."""
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", b"Retry-After, X-Request-Id, X-Seadragon-Adjusted, X-Seadragon-Queue"),
        (b"vary", b"Origin"),
    ]


def preflight(exchange: Exchange) -> Headers:
    """What an OPTIONS request is told, beside `cross_origin`: nothing, when the page's origin is not configured."""
    if not any(name == b"access-control-allow-origin" for name, _ in exchange.extra):
        return []
    told = [
        (b"access-control-allow-methods", b"GET, HEAD, POST, DELETE, OPTIONS"),
        (b"access-control-allow-headers", _ALLOWED_HEADERS),
        (b"access-control-max-age", b"600"),
    ]
    if b"access-control-request-private-network" in exchange.found:
        told.append((b"access-control-allow-private-network", b"true"))
    return told
