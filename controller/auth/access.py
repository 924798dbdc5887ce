"""Who is calling, and who is at an address: the allow-list, of `access.yaml` and of orders."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal

from controller.auth.policy import IMPLIED, ROLES, Right
from controller.auth.rows import AHEAD, AllowRow
from controller.config.entry import Access, Allowed
from controller.spelling import LONGEST, parse

_REMEMBERED = 4096  # addresses whose verdict is kept
_LONGEST_ADDRESS = 128  # characters, with a zone
_USUAL: Final = ROLES["address"].may
_MOST: Final = ROLES["address"].most

Kind = Literal["address", "key", "person", "operator", "anonymous"]
RoleName = Literal["anonymous", "address", "key", "child", "member", "admin", "operator"]
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

ANONYMOUS_LANE: Final = 3.0
_UNKEPT: Final = {"address": "access.yaml/"}  # where callers without a row are kept

NEVER: Final = ip_address("2a06:98c0:3600::103")
"""What Cloudflare shows for every Worker of a foreign zone: it is anybody."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, and what they may do. `manage` says the same as `Right.MANAGE` among the rights, either way."""

    label: str  # what people read; `identity` is what counts
    lane: float = 1.0
    manage: bool = False
    default: str = ""  # the model of a request that names none
    running: int | None = None  # caps of its own in the line
    waiting: int | None = None
    kind: Kind = "address"
    id: str = ""  # of its row: a key, a person, an entry of the allow-list; "": it has none
    role: RoleName = "address"
    rights: frozenset[Right] = _USUAL
    models: tuple[str, ...] = ()  # patterns; () = all
    owners: tuple[str, ...] = ()  # … of the person whose key it is: both must match
    per_minute: int | None = None  # requests; None: as everywhere
    session: str = ""  # a person's
    owner_role: str = ""  # of the person whose key it is
    identity: str = field(init=False, compare=False, repr=False)
    """What flows, shares, caps and usage go by: two callers never share one, whatever they are called. An entry of
    access.yaml is known by its label, which is unique there; an id of a row holds no slash.
    """

    def __post_init__(self) -> None:
        known = self.id or _UNKEPT.get(self.kind, "") + self.label
        object.__setattr__(self, "identity", f"{self.kind}:{known}")
        if self.manage:
            object.__setattr__(self, "rights", self.rights | {Right.MANAGE})
        object.__setattr__(self, "manage", Right.MANAGE in self.rights)

    @property
    def guest(self) -> bool:
        """Whether the house is not theirs to look into: a child, anybody, and whoever is held to some models. They are
        told what concerns them, and nothing of folders, settings, other programs or models that are not for them.
        """
        return self.restricted or self.role == "anonymous" or "child" in (self.role, self.owner_role)

    def may(self, right: Right) -> bool:
        """Whether this principal has `right`."""
        return right in self.rights or right is Right.ANYONE

    def sees(self, model: str) -> bool:
        """Whether `model` exists for this principal: `name`, `NAME` and `name:latest` are one."""
        return (not self.models or _matches(self.models, model)) and (not self.owners or _matches(self.owners, model))

    @property
    def restricted(self) -> bool:
        """Whether some models do not exist for this principal."""
        return bool(self.models or self.owners)


def _matches(patterns: tuple[str, ...], model: str) -> bool:
    return len(model) <= LONGEST and _known(patterns, model)


@lru_cache(_REMEMBERED)
def _known(patterns: tuple[str, ...], model: str) -> bool:
    name = parse(model)
    full = model.strip().lower() if name is None else name.full
    bare = full.removesuffix(":latest")
    return any(fnmatchcase(one, pattern.lower()) for pattern in patterns for one in (bare, full))


def rights_of(access: Access, role: RoleName) -> frozenset[Right]:
    """What a role may do: as access.yaml says, else as the table does; never more than the table allows it."""
    wish = getattr(access.roles, role, None)  # the operator's is nobody's to change
    given = ROLES[role]
    return given.may if wish is None or wish.may is None else frozenset(map(Right, wish.may)) & given.most


def bound_of(access: Access, role: RoleName) -> frozenset[Right]:
    """The most that the scopes of one key or entry amount to: as access.yaml says of its role, else as the table."""
    wish = getattr(access.roles, role, None)
    return ROLES[role].most if wish is None or wish.may is None else rights_of(access, role)


def scoped(scopes: Iterable[str], within: frozenset[Right]) -> frozenset[Right]:
    """What `scopes` amount to where at most `within` can be had. Names that are no rights are none."""
    named = {Right(scope) for scope in scopes if scope in Right._value2member_map_}
    return frozenset(named | {more for right in named for more in IMPLIED.get(right, ())}) & within


def principal_of(entry: Allowed, rights: frozenset[Right] = _USUAL) -> Principal:
    """Who an entry of the allow-list is."""
    return Principal(
        entry.label,
        entry.lane,
        entry.manage,
        entry.default or "",
        entry.running,
        entry.waiting,
        rights=rights,
        models=entry.models,
    )


def _principal_of_row(row: AllowRow, bound: frozenset[Right]) -> Principal:
    return Principal(row.label, row.lane, id=row.id, rights=scoped(row.scopes, bound), models=row.models)


@dataclass(frozen=True, slots=True)
class _Entry:
    network: Network
    who: Principal
    denied: bool = False
    since: float = -math.inf  # seconds since the epoch
    until: float | None = None  # the same
    through_tunnel: bool = False


@dataclass(frozen=True, slots=True)
class AtAddress:
    """Who is at an address, and until when that is so, in seconds since the epoch."""

    who: Principal | None
    until: float | None = None
    denied: bool = False


STRANGER: Final = AtAddress(None)


class AllowList:
    """Ready to be asked. A deny beats every allow; among those the first match wins, the YAML's first.

    `rights`: of the YAML's entries; one that manages says so itself. `bound`: the most that the scopes of a row are.
    """

    def __init__(
        self,
        entries: Iterable[Allowed],
        rows: Iterable[AllowRow] = (),
        rights: frozenset[Right] = _USUAL,
        bound: frozenset[Right] = _MOST,
    ) -> None:
        self._entries = [*_of_yaml(entries, rights), *_of_rows(rows, bound)]
        self._known: dict[tuple[str, bool], AtAddress] = {}

    def verdict(self, peer: str, now: float, *, tunnel: bool = False) -> AtAddress:
        """Who is at the address `peer` at the moment `now`, seconds since the epoch: nobody for a stranger, and for a
        peer without an address. `tunnel`: it came through the tunnel, where few entries count.
        """
        known = self._known.get((peer, tunnel))
        if known is None or (known.until is not None and now >= known.until):
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[peer, tunnel] = self._look(peer, now, tunnel)
        return known

    def _look(self, peer: str, now: float, tunnel: bool) -> AtAddress:
        address = plain_address(peer)
        if address is None:
            return STRANGER
        there = [one for one in self._entries if address in one.network and (one.until is None or now < one.until)]
        matches = [one for one in there if one.since <= now]
        turns = [*(one.until for one in matches), *(one.since for one in there if one.since > now)]
        until = min((turn for turn in turns if turn is not None), default=None)
        if any(one.denied for one in matches):
            return AtAddress(None, until, denied=True)
        if tunnel and (address == NEVER or address.is_loopback):
            return STRANGER
        return AtAddress(next((one.who for one in matches if one.through_tunnel or not tunnel), None), until)


def _of_yaml(entries: Iterable[Allowed], rights: frozenset[Right]) -> Iterable[_Entry]:
    for entry in entries:
        who = principal_of(entry, rights)
        for address in entry.addresses:
            yield _Entry(ip_network(address, strict=False), who, through_tunnel=entry.through_tunnel)


def _of_rows(rows: Iterable[AllowRow], bound: frozenset[Right]) -> Iterable[_Entry]:
    for row in rows:
        who = _principal_of_row(row, bound)
        denied, bounded = row.verdict == "deny", row.expires_at is not None
        since = (
            row.created_at - AHEAD if bounded and not denied else -math.inf
        )  # as `counts` has it; a no counts at once
        yield _Entry(ip_network(row.cidr, strict=False), who, denied, since, row.expires_at)


def anonymous(access: Access) -> Principal | None:
    """Whoever shows nothing and is on no list; None while that is nobody."""
    rights = rights_of(access, "anonymous")
    if not rights:
        return None
    return Principal("anonymous", ANONYMOUS_LANE, kind="anonymous", role="anonymous", rights=rights)


def plain_address(text: str) -> Address | None:
    """The address in `text`: without a zone, and an IPv4 one in IPv6's clothes as what it is. None when it is none."""
    return _plain_address(text) if len(text) <= _LONGEST_ADDRESS else None


@lru_cache(_REMEMBERED)
def _plain_address(text: str) -> Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
