"""Who is calling: asked once for every request, by one code for every spelling of a credential."""

from __future__ import annotations

from collections.abc import Mapping

from controller.auth.access import Principal
from controller.auth.credentials import NOTHING, Offered, extract
from controller.auth.keyring import Denied, Flaw, Keyring
from controller.auth.policy import Right
from controller.auth.rates import Rates
from controller.auth.visitor import neighbourhood
from controller.clock import Clock
from controller.proxy.exchange import Exchange
from controller.proxy.rules import Rules
from controller.refusal import Reason, Refused

CHALLENGE = ((b"www-authenticate", b'Bearer realm="seadragon"'),)
"""Never `Basic`: browsers would ask people for a password that nobody gave them."""

_KEY_WORDS: Mapping[Flaw, str] = {
    Flaw.MISTYPED: "This key is mistyped or cut short. Copy it again, from sd_ to its end.",
    Flaw.UNKNOWN: "This key is not known here. Check that it belongs to this server, or ask whoever runs it for one.",
    Flaw.FOREIGN: "This is no key of this server's: those begin with sd_. Ask whoever runs it for one.",
    Flaw.REVOKED: 'The key "{}" was taken back. Ask whoever runs this server for a new one.',
    Flaw.PAUSED: 'The key "{}" is paused. Whoever runs this server can let it go on.',
    Flaw.EXPIRED: 'The key "{}" has expired. Ask whoever runs this server for a new one.',
    Flaw.EARLY: 'The key "{}" does not count yet: the clock here was ahead when it was made, or is behind now. Ask '
    "whoever runs this server: `seadragon doctor` says more.",
    Flaw.DISABLED: 'The key "{}" belongs to somebody who may not come in now. Ask whoever runs this server.',
    Flaw.ELSEWHERE: 'The key "{}" may not be used from this address. Whoever runs this server can change that.',
}
_SEVERAL = Refused(400, Reason.KEYS, "Two different keys came with this request. Send one of them.")
_ENDED = {
    "person": "You are not signed in any more. Sign in again, or ask whoever runs this server.",
    "address": "This address is not on the allow-list any more. Ask whoever runs this server.",
}
_UNSURE = Refused(
    403,
    Reason.UNSURE,
    "It is not known at this moment who is kept out here, so an address alone lets nobody in. Use a key, or ask "
    "whoever runs this server: `seadragon doctor` says why.",
)
_UNREAD = Refused(
    503,
    Reason.UNKNOWABLE,
    "It cannot be looked up at this moment who has a key, an account or a right here. Please try again in a moment. "
    "Whoever runs this server: `seadragon doctor` says why.",
    retry_after=10,
)
_LESS = Refused(403, Reason.ENDED, "What you may do here was changed meanwhile. Please ask again.")


class Callers:
    """What is asked of the keyring for a request, and how often somebody may ask."""

    def __init__(self, keyring: Keyring, clock: Clock) -> None:
        self.keyring = keyring
        self._clock = clock
        self._rates = Rates()
        self._wrong = Rates()

    def of_api(self, exchange: Exchange, rules: Rules) -> tuple[Principal, Offered] | Refused:
        """Who calls the API: a key's holder, else who is at the address, else anybody."""
        now = self._clock.wall()
        verdict = self.keyring.at(exchange.address, now, tunnel=exchange.listener == "tunnel")
        if verdict.denied:
            return _kept_out(exchange)
        offered = extract(exchange.found)
        found = self.keyring.look(offered, exchange.address if exchange.proven else "", now) if offered.ours else None
        if isinstance(found, Denied):
            return self._wrong_key(exchange, rules, found)
        who = found or self._by_itself(exchange, rules, verdict.who)
        if who is None:
            if (unknown := self._unknown(exchange)) is not None:
                return unknown
            if offered.foreign:
                return self._wrong_key(exchange, rules, Denied(Flaw.FOREIGN))
            return stranger(exchange)
        return who, offered

    def of_page(self, exchange: Exchange, rules: Rules) -> tuple[Principal, Offered] | Refused:
        """Who opens a page: who is signed in, else who is at the address. A key opens none."""
        now = self._clock.wall()
        verdict = self.keyring.at(exchange.address, now, tunnel=exchange.listener == "tunnel")
        if verdict.denied:
            return _kept_out(exchange)
        cookie = exchange.found.get(b"cookie")
        found = self.keyring.person(cookie, now) if cookie is not None else None
        if isinstance(found, Denied):
            return _UNREAD
        who = found or self._by_itself(exchange, rules, verdict.who)
        if who is None:
            return self._unknown(exchange) or stranger(exchange)
        return who, NOTHING

    def let_in(self, exchange: Exchange, who: Principal, rules: Rules) -> Refused | None:
        """Count this request of `who`, who may do what it asks; unless they ask more often than they may."""
        rates = rules.config.access.rates
        if who.kind == "address":
            limit, name = who.per_minute or rates.address, exchange.address
        elif who.kind == "anonymous":
            limit, name = rates.anonymous, f"anonymous {neighbourhood(exchange.address)}"
        else:
            limit, name = who.per_minute or (rates.key if who.kind == "key" else None), f"{who.kind} {who.id}"
        wait = self._rates.take(name, limit, self._clock.now()) if limit else 0
        if not wait:
            self.keyring.used(who, exchange.address)
            return None
        text = f'"{who.label}" may ask {limit} times a minute. Please try again in {wait} s.'
        return Refused(429, Reason.RATE, text, retry_after=wait)

    def ended(self, exchange: Exchange) -> Refused | None:
        """Whether what let an open request in is gone: why it has to end."""
        who = exchange.who
        if who is None:
            return None
        address = exchange.address if exchange.proven else ""
        cookie = exchange.found.get(b"cookie", b"")
        tunnel = exchange.listener == "tunnel"
        found = self.keyring.stands(who, address, self._clock.wall(), tunnel=tunnel, cookie=cookie)
        if isinstance(found, Denied):
            text = _ENDED.get(who.kind) or _KEY_WORDS[found.why].format(found.name)
            return Refused(401, Reason.ENDED, text, headers=CHALLENGE)
        return None if found.may(exchange.needs) and _sees_as_before(exchange, who, found) else _LESS

    def _by_itself(self, exchange: Exchange, rules: Rules, at: Principal | None) -> Principal | None:
        """For whom no credential speaks."""
        if not exchange.proven:
            return None
        if at is not None or self.keyring.addresses_off:
            return at
        return rules.anonymous if exchange.listener != "tunnel" or rules.anonymous_outside else None

    def _unknown(self, exchange: Exchange) -> Refused | None:
        """Why nobody can tell whether this address lets somebody in. None: it is known that it does not."""
        if not exchange.proven:
            return None
        if self.keyring.addresses_off:
            return _UNSURE
        return _UNREAD if self.keyring.unread and exchange.listener != "tunnel" else None  # no row counts in a tunnel

    def _wrong_key(self, exchange: Exchange, rules: Rules, denied: Denied) -> Refused:
        """401, and after a number of them 429; the right key is let in all the same."""
        if denied.why is Flaw.SEVERAL:
            return _SEVERAL
        if denied.why is Flaw.UNREAD:
            return _UNREAD
        origin = neighbourhood(exchange.address)
        wait = self._wrong.take(origin, rules.config.access.rates.wrong, self._clock.now())
        if wait:
            text = f"Too many wrong keys came from {exchange.address or 'there'}. Wait {wait} s, and check the key."
            return Refused(429, Reason.GUESSING, text, retry_after=wait)
        return Refused(401, Reason.KEY, _KEY_WORDS[denied.why].format(denied.name), headers=CHALLENGE)


def _sees_as_before(exchange: Exchange, who: Principal, found: Principal) -> bool:
    """Whether what `who` asked about still exists for who they are now. What is about all models is asked for anew."""
    if (found.models, found.owners) == (who.models, who.owners):
        return True
    return bool(exchange.model) and found.sees(exchange.model)


def stranger(exchange: Exchange) -> Refused:
    """403 for who shows nothing: not 401, on which some programs ask their user to sign in somewhere else."""
    if exchange.listener == "direct" and not exchange.proven:
        name = exchange.proxied.decode("latin-1")
        text = (
            f"This request came through a proxy or a tunnel (it has the header {name}), so its address proves nothing. "
            "Use the server's local address, or a key."
        )
        return Refused(403, Reason.PROXIED, text)
    where = exchange.address or "The address of this connection"
    text = f"{where} is not on the allow-list: send this to whoever runs this server, or use a key."
    return Refused(403, Reason.STRANGER, text)


def _kept_out(exchange: Exchange) -> Refused:
    return Refused(403, Reason.DENIED, f"{exchange.address} is kept out here. Ask whoever runs this server.")


def may_not(who: Principal, needs: Right) -> Refused:
    """403, with what would have to change."""
    if needs is Right.NOBODY:
        return Refused(403, Reason.OFF, "This is switched off on this server.")
    if needs is Right.MANAGE:
        return may_not_manage(who)
    if who.kind == "key":
        text = f'The key "{who.label}" may not do this: among its scopes is no `{needs}`. Whoever runs this server can '
        return Refused(403, Reason.RIGHT, text + "give out one that has it.")
    return Refused(403, Reason.RIGHT, f'"{who.label}" may not do this here. It needs the right `{needs}`.')


def may_not_manage(who: Principal) -> Refused:
    """403, with the line of access.yaml that would have to change."""
    if who.kind == "address" and not who.id:
        text = (
            f'"{who.label}" may ask models here, but not change or unload them. To allow it, set `manage: true` on the '
            f'entry with `label: "{who.label}"` under `allow:` in access.yaml.'
        )
    else:
        text = f'"{who.label}" may ask models here, but not change or unload them: that needs the right `manage`.'
    return Refused(403, Reason.MANAGE, text)
