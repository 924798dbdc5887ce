"""What an order may put into a row: each function returns the one canonical spelling, or refuses it in words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv6Network, ip_network
from typing import Any, Final, Literal, TypedDict, get_args

from controller.auth import policy
from controller.auth.lookalikes import alike, visible
from controller.auth.policy import Right
from controller.auth.rows import ROLES, Role, Verdict, folded
from controller.errors import OrderRefused
from controller.plain import printable
from controller.settings.addresses import network
from controller.settings.names import model_name, model_pattern

LONGEST_NAME: Final = 64  # characters
Scoped = Literal["key", "address"]
SCOPES: Final[Mapping[Scoped, tuple[str, ...]]] = {
    kind: tuple(right.value for right in Right if right in policy.ROLES[kind].most) for kind in get_args(Scoped)
}
"""What of the policy table's rights can be given to each kind."""
_WORKERS: Final = IPv6Network("2a06:98c0::/29")  # Cloudflare's: what anybody's program there comes from

MISLEADING: Final = "This name would be taken for something else here. Please choose another one."
_MISLEADING: Final = frozenset(("operator", "seadragon", "anonymous", "admin code", "this computer"))
_MISLEADING_BEGINNINGS: Final = ("sd_", "sdi_", "sdr_", "sda_", "invite:")  # keys, tokens, and by what somebody came

Form = Mapping[str, Callable[[Any, float], Any]]
"""Which fields there are, and the check of each: given the value and the moment."""


class Limits(TypedDict, total=False):
    """What a key or a person may be held to; None: as everywhere."""

    per_minute: int | None  # requests
    running: int | None  # answers at a time
    waiting: int | None  # requests in the line at a time


class KeyLimits(Limits, total=False):
    """The same of a key."""

    default_model: str  # of requests that name none; "": as everywhere
    expires_at: float | None  # seconds since the epoch; None: never


class KeyFields(KeyLimits, total=False):
    """What may change in a key."""

    name: str
    lane: float
    scopes: Sequence[str]
    models: Sequence[str]
    cidrs: Sequence[str]


class UserFields(Limits, total=False):
    """What may change in a person, besides name, role and password."""

    lane: float | None  # None: as their role's
    models: Sequence[str]


def name(text: str, what: str = "A name") -> str:
    """What a person, a key or an entry is called."""
    text = text.strip() if isinstance(text, str) else ""
    if not text or len(text) > LONGEST_NAME or not text.isprintable():
        raise OrderRefused(f"{what} has 1 to {LONGEST_NAME} characters, all of them printable.", "failed")
    return text


def unmistakable(text: str, what: str = "A name") -> str:
    """The name of a person, a key or an entry, where names stand for who it is: in the line, in the usage, in the
    audit.
    """
    written = name(text, what)
    if misleading(written):
        raise OrderRefused(MISLEADING, "failed")
    return written


def person(text: str) -> tuple[str, str]:
    """A person's name as it is written, and as it is compared."""
    written = unmistakable(text)
    return written, name(folded(written))


def misleading(text: str) -> bool:
    """Whether who is called so would be taken for something else, or for nobody at all."""
    compared = " ".join(folded(text).split())
    if compared.startswith(_MISLEADING_BEGINNINGS) or _is_address(compared):
        return True
    return not visible(text) or alike(text, _MISLEADING) is not None


def _is_address(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def role(text: str) -> Role:
    """One of the three."""
    for known in ROLES:
        if text == known:
            return known
    raise OrderRefused(f"There is no role {printable(text)!r}. There is: {', '.join(ROLES)}.", "failed")


def verdict(text: str) -> Verdict:
    """Let in, or kept out."""
    for known in get_args(Verdict):
        if text == known:
            return known  # type: ignore[no-any-return]  # `get_args` does not say of what
    raise OrderRefused("An address is allowed or denied: `allow` or `deny`.", "failed")


def scopes(given: Iterable[str], kind: Scoped) -> tuple[str, ...]:
    """Rights by their names, each once, in the order of the table. One at least, and none that does nothing there."""
    wanted, can = set(_texts(given)), SCOPES[kind]
    if not wanted or not wanted <= set(can):
        whose = "A key" if kind == "key" else "An address"
        raise OrderRefused(f"{whose} can be given one or more of these scopes: {', '.join(can)}.", "failed")
    return tuple(scope for scope in can if scope in wanted)


def models(given: Iterable[str]) -> tuple[str, ...]:
    """Patterns of models' names."""
    return tuple(dict.fromkeys(_spelled(model_pattern, pattern, "A model") for pattern in _texts(given)))


def cidrs(given: Iterable[str]) -> tuple[str, ...]:
    """Addresses and ranges."""
    return tuple(dict.fromkeys(_spelled(network, each, "An address") for each in _texts(given)))


def cidr(text: str, wanted: Verdict) -> str:
    """An address or range for the allow-list. What anybody at all can come from is never allowed."""
    spelled = _spelled(network, text, "An address")
    found = ip_network(spelled)
    if wanted == "allow" and isinstance(found, IPv6Network) and found.overlaps(_WORKERS):
        raise OrderRefused(
            f"{spelled} is Cloudflare's own: everybody's programs there come from it. Give out a key.", "failed"
        )
    return spelled


def lane(given: float) -> float:
    """A priority."""
    if not _is_number(given) or not 0 <= given <= 1000:
        raise OrderRefused("A lane is a number from 0 to 1000; lower goes sooner.", "failed")
    return float(given)


def moment(given: float | None, now: float) -> float | None:
    """When something ends, in seconds since the epoch; None for never."""
    if given is not None and not (_is_number(given) and now < given < float("inf")):
        raise OrderRefused("What expires must do so at some moment that is still to come.", "failed")
    return given


def fields(given: Mapping[str, Any], form: Form, now: float) -> dict[str, Any]:
    """Several fields by their names. Raises OrderRefused also for one that is not in `form`."""
    if unknown := sorted(set(given) - set(form)):
        raise OrderRefused(f"This cannot be changed: {', '.join(unknown)}.", "failed")
    return {field: form[field](value, now) for field, value in given.items()}


def _limit(most: int) -> Callable[[Any, float], Any]:
    def check(given: Any, now: float) -> Any:
        if given is not None and not (_is_number(given) and isinstance(given, int) and 1 <= given <= most):
            raise OrderRefused(f"A limit is a whole number from 1 to {most}, or left empty.", "failed")
        return given

    return check


def _is_number(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)


def _texts(given: Iterable[str]) -> Iterable[str]:
    """What an order brings may be anything that JSON can say."""
    if not isinstance(given, list | tuple) or not all(isinstance(each, str) for each in given):
        raise OrderRefused("This must be a list of texts.", "failed")
    return given


def _spelled(spelling: Callable[[str], str], text: str, what: str) -> str:
    if not isinstance(text, str):
        raise OrderRefused(f"{what} must be given as text.", "failed")
    try:
        return spelling(text)
    except ValueError as error:
        raise OrderRefused(f"{what} cannot be {printable(text)!r}: it must be {error}.", "failed") from None


_LIMITS: Final[Form] = {
    "per_minute": _limit(1_000_000),
    "running": _limit(1000),
    "waiting": _limit(10_000),
}
KEY_LIMITS: Final[Form] = {
    **_LIMITS,
    "default_model": lambda given, now: "" if given == "" else _spelled(model_name, given, "A model"),
    "expires_at": moment,
}
KEY: Final[Form] = {
    **KEY_LIMITS,
    "name": lambda given, now: unmistakable(given),
    "lane": lambda given, now: lane(given),
    "scopes": lambda given, now: scopes(given, "key"),
    "models": lambda given, now: models(given),
    "cidrs": lambda given, now: cidrs(given),
}
USER: Final[Form] = {
    **_LIMITS,
    "lane": lambda given, now: None if given is None else lane(given),
    "models": lambda given, now: models(given),
}
