"""What the door keeps of everyone and everything, row by row: the words that the database, the memory and the pages
share. Each class mirrors a table of `storage/tables.py`, field by field.

Moments are seconds since the epoch. An id is short random text, says nothing, and is never given out twice. Of a secret
only its SHA-256 is here. `by` is what whoever made the row was called then, for people; `giver` who that is: what they
gave out ends with their right to.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

Role = Literal["child", "member", "admin"]
Verdict = Literal["allow", "deny"]
LinkKind = Literal["reset", "admin"]

OPERATOR: Final = "operator"
"""Whoever runs `seadragon` on this machine, as the giver of something: their right never ends."""

ROLES: Final[tuple[Role, ...]] = ("child", "member", "admin")

MOST_USES: Final = 1000  # people who come by one invite
INVITE_LASTS: Final = 72 * 3600.0  # seconds, unless it is said
LONGEST_PAPER: Final = 365 * 86400.0  # seconds an invite or a link may be valid

AHEAD: Final = 60.0
"""Seconds by which a moment may lie in the future and still be believed: clocks are set back a little now and then."""


def counts(began: float, ends: float | None, now: float) -> bool:
    """Whether what `began` counts now, until it `ends`. What ends counts from its beginning only: made by a clock that
    was ahead, it would last longer than anybody meant. What never ends has always counted.
    """
    return ends is None or began - AHEAD <= now < ends


def believed(at: float, now: float) -> float:
    """When something was done; for ever ago when that is still to come."""
    return at if at - AHEAD <= now else -math.inf


def folded(name: str) -> str:
    """A person's name as it is compared: `Mia`, `mia ` and `ＭＩＡ` are one."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()


@dataclass(frozen=True, slots=True)
class KeyRow:
    """An application's key. Revoked ones stay, so that what they did keeps a name."""

    id: str  # the public part of the key itself, 8 characters
    hash: bytes = field(repr=False)  # SHA-256 of the secret part, 32 bytes
    last4: str  # last characters of the secret, for people to tell keys apart
    name: str
    user_id: str | None  # whose it is; None: the house's, made by the operator
    lane: float  # priority; lower goes sooner
    scopes: tuple[str, ...]  # what it may do, by the names of `auth/policy.py: Right`
    models: tuple[str, ...]  # patterns; () = every model
    cidrs: tuple[str, ...]  # where it may be used from; () = anywhere
    created_at: float
    by: str
    default_model: str = ""  # of requests that name none; "": as everywhere
    per_minute: int | None = None  # requests; None: as everywhere
    running: int | None = None  # answers at a time; None: as everywhere
    waiting: int | None = None  # requests in the line at a time; None: as everywhere
    expires_at: float | None = None  # None: never
    paused: bool = False
    revoked_at: float | None = None
    used_at: float | None = None  # up to a minute old in the database
    used_from: str = ""  # address of its last use
    giver: str = OPERATOR  # of one of nobody's


@dataclass(frozen=True, slots=True)
class UserRow:
    """A person."""

    id: str
    name: str  # as it is written
    folded: str  # as it is compared: `folded(name)`; unique
    role: Role
    password: str = field(repr=False)  # bcrypt's own text; "": none is set, so no password is right
    created_at: float
    by: str
    lane: float | None = None  # None: as their role's
    models: tuple[str, ...] = ()  # patterns; () = every model
    per_minute: int | None = None  # requests; None: as everywhere
    running: int | None = None  # answers at a time; None: as everywhere
    waiting: int | None = None  # requests in the line at a time; None: as everywhere
    invite_id: str | None = None  # the invite they came by
    password_at: float | None = None  # it was last set
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A browser somebody signed in with. It ends by being deleted."""

    id: str  # the `sid`, 128 random bits
    user_id: str
    device: str  # what the browser calls itself, shortened for people
    started_at: float
    started_from: str  # address
    proven_at: float  # the password was last given
    expires_at: float  # at the latest, however much it is used
    used_at: float  # up to a minute old in the database
    used_from: str  # address of its last use


@dataclass(frozen=True, slots=True)
class InviteRow:
    """A right to become a user, `uses` times. Used up, expired and revoked ones stay: people came by them."""

    id: str
    hash: bytes = field(repr=False)  # SHA-256 of the token, 32 bytes
    label: str
    role: Role
    uses: int
    used: int
    created_at: float
    by: str
    expires_at: float
    revoked_at: float | None = None
    giver: str = OPERATOR


@dataclass(frozen=True, slots=True)
class AllowRow:
    """An address that an order let in, or keeps out, beside the permanent ones of `access.yaml`."""

    id: str
    label: str
    cidr: str  # as `settings/addresses.py: network` spells it
    verdict: Verdict  # deny beats every allow
    lane: float  # priority; lower goes sooner
    scopes: tuple[str, ...]  # what they may do, by the names of `auth/policy.py: Right`
    models: tuple[str, ...]  # patterns; () = every model
    created_at: float
    by: str
    expires_at: float | None = None  # None: never
    used_at: float | None = None  # up to a minute old in the database
    hits: int = 0  # requests it let in or kept out; up to a minute old in the database
    giver: str = OPERATOR


@dataclass(frozen=True, slots=True)
class LinkRow:
    """A one-time link (table `resets`): to set a new password, or the code that makes an admin. Used, it is deleted."""

    id: str
    kind: LinkKind
    hash: bytes = field(repr=False)  # SHA-256 of the token, 32 bytes
    user_id: str | None  # whose password it resets; None: an admin code
    created_at: float
    by: str
    expires_at: float
    giver: str = OPERATOR


HeldRow = KeyRow | UserRow | SessionRow | InviteRow | AllowRow | LinkRow
"""Whatever the door keeps and changes."""
RowT = TypeVar("RowT", bound=HeldRow)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One thing that was done or refused, chained to the one before it. Never changed, never deleted."""

    number: int  # 1, 2, 3 … without a gap
    at: float
    actor: str  # label: a person, a key, the operator
    what: str  # as `key.revoke`
    target: str
    outcome: str  # done, refused, failed, throttled
    peer: str  # address; "": this machine's command line
    request: str  # its id; "": none
    facts: dict[str, object] = field(default_factory=dict)
    before: bytes = b""  # hash of the row before it; b"" for the first
    hash: bytes = b""  # SHA-256 over all of the above
