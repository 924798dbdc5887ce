"""Models that do not exist for a caller: they stand in no list, and asking for one is answered as for any name that
nobody knows. What is not for them never reaches an engine, be it there or not, so no answer tells which it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from controller.auth.access import Principal
from controller.proxy.routes import label
from controller.refusal import Reason, Refused
from controller.residency.meaning import Meanings
from controller.spelling import full_name

_TOP: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENTRIES: Final = msgspec.json.Decoder(list[msgspec.Raw])
_DETAILS: Final = msgspec.json.Decoder(dict[str, object])
_NAME: Final = msgspec.json.Decoder(str)

SHOW: Final = "/api/show"
_LISTS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "/api/tags": ("models", ("name", "model")),
    "/api/ps": ("models", ("name", "model")),
    "/v1/models": ("data", ("id",)),
}
"""Where in the answer of a route the models stand, and what in an entry says which it is."""
_INSTALLED: Final = frozenset(("/api/tags", "/v1/models"))

View = Callable[[bytes], bytes | None]
"""What somebody is shown of an answer; None where that is nothing."""


def unknown(model: str) -> Refused:
    """As for a model that nobody knows."""
    return Refused(404, Reason.UNKNOWN, f"model '{label(model)}' not found")


def view_of(route: str, who: Principal | None, meanings: Meanings) -> View | None:
    """How `who` is shown what `route` answers; None: as it comes."""
    guest = who if who is not None and who.guest else None
    if route == SHOW and guest is not None:
        return lambda body: _one(body, guest)
    if route not in _LISTS or not (guest is not None or (meanings.listed and route in _INSTALLED)):
        return None
    return lambda body: shown(route, body, who, meanings)


def shown(route: str, body: bytes, who: Principal | None, meanings: Meanings) -> bytes:
    """The list of models in `body` without those that do not exist for `who`, and with each name that means another
    one, under the record of what it means. What stays is as it was, byte for byte, but for what a guest is not to know.

    A list that cannot be read is an empty one.
    """
    member, names = _LISTS[route]
    try:
        top = _TOP.decode(body)
        listed = _ENTRIES.decode(top[member]) if bytes(top[member]) != b"null" else []
        parted = map(bytes, listed) if who is None or not who.guest else (_parted(raw, who) for raw in listed)
        entries = [(raw, _TOP.decode(raw)) for raw in parted]
        seen = [(raw, entry, full) for raw, entry in entries if (full := _seen(entry, names, who)) is not None]
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, RecursionError):
        top, seen = {}, []
    if route in _INSTALLED and meanings.listed:
        kept = [raw for raw, _, full in seen if not meanings.redirects(full)]
        for name, target in meanings.listed.items():
            kept += [_under(name, entry, names) for _, entry, full in seen if full == target.full]
    else:
        kept = [raw for raw, _, _ in seen]
    top[member] = msgspec.Raw(b"[" + b",".join(kept) + b"]")
    return msgspec.json.encode(top)


def _under(name: str, entry: Mapping[str, msgspec.Raw], names: tuple[str, ...]) -> bytes:
    """The entry under another name."""
    raw = msgspec.Raw(json.dumps(name).encode())
    return msgspec.json.encode({**entry, **{each: raw for each in names if each in entry}})


def picked(body: bytes, name: str) -> bytes | None:
    """Of OpenAI's list, the one that `name` means; None when it is not there."""
    member, names = _LISTS["/v1/models"]
    full = full_name(name)
    try:
        entries = _ENTRIES.decode(_TOP.decode(body)[member])
        return next((bytes(raw) for raw in entries if _seen(_TOP.decode(raw), names, None) == full), None)
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, RecursionError):
        return None


def _seen(entry: Mapping[str, msgspec.Raw], names: tuple[str, ...], who: Principal | None) -> str | None:
    """The full name of the model of an entry that exists for `who`. Raises ValidationError for what has no name."""
    told = [_NAME.decode(entry[name]) for name in names if name in entry]
    if not told or (who is not None and not all(map(who.sees, told))):
        return None
    return full_name(told[0]) or told[0]


def _parted(entry: msgspec.Raw, who: Principal) -> bytes:
    """`entry` as it came, unless it names a model that it was made from, and that one does not exist for `who`, or
    where that lies.
    """
    top = _TOP.decode(entry)
    details = _DETAILS.decode(top["details"]) if bytes(top.get("details", b"null")).startswith(b"{") else {}
    parent = details.get("parent_model")
    if not parent or (isinstance(parent, str) and not parent.startswith("/") and who.sees(parent)):
        return bytes(entry)
    top["details"] = msgspec.Raw(msgspec.json.encode({**details, "parent_model": ""}))
    return msgspec.json.encode(top)


def _one(body: bytes, who: Principal) -> bytes:
    """What `/api/show` tells, without the Modelfile: it names files and other models. All it sets stands beside it."""
    try:
        return _parted(msgspec.Raw(msgspec.json.encode(_TOP.decode(body) | {"modelfile": msgspec.Raw(b'""')})), who)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return b"{}"
