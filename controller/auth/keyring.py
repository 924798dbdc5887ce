"""Whose a key is. In memory: no database and no slow hash on the path of a request, and a wrong key takes the steps a
right one does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import Final, Protocol

from controller.auth import cookies, people
from controller.auth.access import STRANGER, AllowList, AtAddress, Network, Principal, bound_of, rights_of, scoped
from controller.auth.credentials import Offered
from controller.auth.giving import Standing, standing
from controller.auth.policy import Right
from controller.auth.rows import AllowRow, KeyRow, SessionRow, UserRow, counts
from controller.auth.secrets import NO_HASH, hash_secret, parse_key, same
from controller.config.entry import Access


class Flaw(StrEnum):
    """Why a credential opens nothing."""

    MISTYPED = "mistyped"
    UNKNOWN = "unknown"
    FOREIGN = "foreign"  # none of ours, and nothing else speaks for the caller
    REVOKED = "revoked"
    PAUSED = "paused"
    EXPIRED = "expired"
    EARLY = "early"  # it was made at a moment that is still to come
    DISABLED = "disabled"  # its owner is
    ELSEWHERE = "elsewhere"  # not from this address
    SEVERAL = "several"  # different keys in one request
    UNREAD = "unread"  # it may be good: nobody can look at this moment


@dataclass(frozen=True, slots=True)
class Denied:
    """A credential that opens nothing. `name`: of the key, told only to who holds its secret."""

    why: Flaw
    name: str = ""


class KeyringRows(people.SignInRows, Protocol):
    """The door's memory: as it is now, at every look."""

    @property
    def keys(self) -> Mapping[str, KeyRow]: ...
    @property
    def addresses(self) -> Mapping[str, AllowRow]: ...
    @property
    def addresses_off(self) -> str:
        """Why an address alone lets nobody in now; empty when it does."""

    @property
    def unread(self) -> str:
        """Why it is not known who has a right; empty when it is."""

    def used(self, who: Principal, address: str) -> None:
        """`who` was let in, from `address`: to be noted, at next to no cost."""


class NoRows:
    """Nobody has a key, and nobody is signed in."""

    keys: Mapping[str, KeyRow] = {}
    users: Mapping[str, UserRow] = {}
    sessions: Mapping[str, SessionRow] = {}
    addresses: Mapping[str, AllowRow] = {}
    addresses_off = ""
    unread = ""

    def used(self, who: Principal, address: str) -> None:
        """By the configuration alone."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A key ready to be asked, made from its row."""

    who: Principal
    networks: tuple[Network, ...]


_GRAVE: Final = frozenset((Right.MANAGE, Right.ADMIN))
_UNKNOWN: Final = Denied(Flaw.UNKNOWN)
_MISTYPED: Final = Denied(Flaw.MISTYPED)
_SEVERAL: Final = Denied(Flaw.SEVERAL)
_UNREAD: Final = Denied(Flaw.UNREAD)


class Keyring:
    """Who holds which key, who is at which address, and who is signed in."""

    def __init__(
        self, rows: KeyringRows | None = None, read_cookie: people.ReadCookie = lambda cookie, now: None
    ) -> None:
        self._rows: KeyringRows = rows or NoRows()
        self._people = people.SignedIn(self._rows, read_cookie)
        self._access = Access()
        self._held: dict[str, _Held] = {}
        self._list: AllowList | None = None

    def use(self, access: Access) -> None:
        """The configuration from now on."""
        self._access = access
        self.changed()

    def changed(self) -> None:
        """Some row is new, different or gone: what was made from rows is made again when it is asked for."""
        self._held.clear()
        self._list = None

    # --- who is it ---

    def look(self, offered: Offered, address: str, now: float) -> Principal | Denied | None:
        """Whose key a request shows, that comes from `address` ("" when that proves nothing). None: it shows none of
        ours. Every key must be good; that there is also an address with rights changes nothing.
        """
        several: Principal | None = None
        found: Principal | None = None
        for token in offered.ours:
            row = self._known(token)
            good = row if isinstance(row, Denied) else self._good(row, address, now)
            if isinstance(good, Denied):
                return good
            several, found = found or several, good
        return _SEVERAL if several is not None and found is not None and several.id != found.id else found

    def at(self, address: str, now: float, *, tunnel: bool = False) -> AtAddress:
        """Who is at an address, for whom that alone speaks."""
        if not address:
            return STRANGER
        if self._list is None:
            rows = sorted(self._counting(now), key=lambda row: (row.created_at, row.id))
            rights, bound = rights_of(self._access, "address"), bound_of(self._access, "address")
            self._list = AllowList(self._access.allow, rows, rights, bound)
        verdict = self._list.verdict(address, now, tunnel=tunnel)
        return AtAddress(None, verdict.until, verdict.denied) if self._rows.addresses_off else verdict

    @property
    def addresses_off(self) -> str:
        """Why nobody is let in for whom no credential speaks: it is not known who is kept out. Empty: it is."""
        return self._rows.addresses_off

    @property
    def unread(self) -> str:
        """Why nobody knows whose a key, a session or an address is. Empty: it is known."""
        return self._rows.unread

    def _counting(self, now: float) -> Iterator[AllowRow]:
        """Entries that let in by somebody's right, which they have still; and whatever keeps out."""
        for row in self._rows.addresses.values():
            if row.verdict == "deny" or self._standing(row.giver, now) is Standing.GOOD:
                yield row

    def _standing(self, giver: str, now: float) -> Standing:
        return standing(giver, self._rows, self._access, now)

    def person(self, cookie: bytes, now: float) -> Principal | Denied | None:
        """Whose browser shows this Cookie header. None: nobody's who is signed in."""
        if self._rows.unread and cookies.token_in(cookie, plain=True):
            return _UNREAD
        return self._people.look(cookie, self._access, now)

    def stands(
        self, who: Principal, address: str, now: float, *, tunnel: bool = False, cookie: bytes = b""
    ) -> Principal | Denied:
        """Who it is now that was let in some time ago, by all that let them in, or why nobody. `cookie`: the header
        that a person came with.
        """
        match who.kind:
            case "key":
                row = self._rows.keys.get(who.id)
                return Denied(Flaw.REVOKED, who.label) if row is None else self._good(row, address, now)
            case "person":
                there = self._people.look(cookie, self._access, now)
                same_one = there is not None and (there.session, there.role) == (who.session, who.role)
                return there if there is not None and same_one else Denied(Flaw.REVOKED, who.label)
            case "address":
                return self.at(address, now, tunnel=tunnel).who or Denied(Flaw.ELSEWHERE)
        return Denied(Flaw.ELSEWHERE) if self.addresses_off else who

    def used(self, who: Principal, address: str) -> None:
        """`who` was let in, from `address`."""
        if who.id:
            self._rows.used(who, address)

    # --- keys ---

    def _known(self, token: str) -> KeyRow | Denied:
        parsed = parse_key(token)
        if parsed is None:
            return _MISTYPED
        if self._rows.unread:
            return _UNREAD
        row = self._rows.keys.get(parsed[0])
        right = same(hash_secret(parsed[1]), NO_HASH if row is None else row.hash)
        return row if right and row is not None else _UNKNOWN

    def _good(self, row: KeyRow, address: str, now: float) -> Principal | Denied:
        if row.revoked_at is not None:
            return Denied(Flaw.REVOKED, row.name)
        if row.paused:
            return Denied(Flaw.PAUSED, row.name)
        if row.expires_at is not None and now >= row.expires_at:
            return Denied(Flaw.EXPIRED, row.name)
        if not counts(row.created_at, row.expires_at, now):
            return Denied(Flaw.EARLY, row.name)
        if row.user_id is None and (stands := self._standing(row.giver, now)) is not Standing.GOOD:
            return Denied(Flaw.PAUSED if stands is Standing.RESTING else Flaw.REVOKED, row.name)
        owner = None if row.user_id is None else self._rows.users.get(row.user_id)
        if row.user_id is not None and (owner is None or owner.disabled):
            return Denied(Flaw.DISABLED, row.name)
        held = self._held.get(row.id)
        if held is None:
            held = self._held[row.id] = _held(row, owner, self._access)
        if held.networks and not (address and any(ip_address(address) in network for network in held.networks)):
            return Denied(Flaw.ELSEWHERE, row.name)
        return held.who


def _held(row: KeyRow, owner: UserRow | None, access: Access) -> _Held:
    rights = scoped(row.scopes, rights_of(access, "key"))
    if owner is not None:  # somebody's key is no way round what they themselves may not do (any more)
        rights -= _GRAVE - rights_of(access, owner.role)
    who = _limited(row, owner, access, rights)
    return _Held(who, tuple(ip_network(cidr, strict=False) for cidr in row.cidrs))


def _limited(row: KeyRow, owner: UserRow | None, access: Access, rights: frozenset[Right]) -> Principal:
    """Whose key it is, held to the stricter of each limit: its own, or that of the person it belongs to."""
    own = Principal(
        row.name,
        row.lane,
        default=row.default_model,
        running=row.running,
        waiting=row.waiting,
        kind="key",
        id=row.id,
        role="key",
        rights=rights,
        models=row.models,
        per_minute=row.per_minute,
    )
    if owner is None:
        return own
    per_minute = row.per_minute or access.rates.key  # what holds for it when its row says nothing
    return replace(
        own,
        lane=own.lane if owner.lane is None else max(own.lane, owner.lane),
        running=_stricter(row.running, owner.running),
        waiting=_stricter(row.waiting, owner.waiting),
        owners=owner.models,
        owner_role=owner.role,
        per_minute=row.per_minute if owner.per_minute is None else _stricter(per_minute, owner.per_minute),
    )


def _stricter(own: int | None, owners: int | None) -> int | None:
    """The lower of two limits; None: there is none."""
    return min((limit for limit in (own, owners) if limit is not None), default=None)
