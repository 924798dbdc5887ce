"""Models that do not exist for a caller: they stand in no list, and asking for one is answered as for any name that
nobody knows. What is not for them never reaches Ollama, be it there or not, so no answer tells which it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from controller.auth.access import Principal
from controller.proxy.dialects import Reason, Refused
from controller.proxy.routes import label

_TEXTS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENTRIES: Final = msgspec.json.Decoder(list[msgspec.Raw])
_ENTRY: Final = msgspec.json.Decoder(dict[str, object])

SHOW: Final = "/api/show"
_LISTS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "/api/tags": ("models", ("name", "model")),
    "/api/ps": ("models", ("name", "model")),
    "/v1/models": ("data", ("id",)),
}
"""Where in the answer of a route the models stand, and what in an entry says which it is."""


def unknown(model: str) -> Refused:
    """As for a model that nobody knows."""
    return Refused(404, Reason.UNKNOWN, f"model '{label(model)}' not found")


def narrowed(route: str, who: Principal | None) -> bool:
    """Whether `who` is shown less than the whole answer of `route`."""
    return who is not None and who.guest and (route in _LISTS or route == SHOW)


def narrow(route: str, body: bytes, who: Principal) -> bytes:
    """The list of models in `body` without those that do not exist for `who`, or what is told of one without where it
    lies and what else it was made of. What stays is as it was, byte for byte. A list that cannot be read is an empty
    one, and so is whatever else.
    """
    if route == SHOW:
        return _shown_one(body, who)
    member, names = _LISTS[route]
    try:
        top = _TEXTS.decode(body)
        entries = _ENTRIES.decode(top[member]) if bytes(top[member]) != b"null" else []
        shown = [_parted(entry, who) for entry in entries if _shown(_ENTRY.decode(entry), names, who)]
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, RecursionError):
        top, shown = {}, []
    top[member] = msgspec.Raw(b"[" + b",".join(shown) + b"]")
    return msgspec.json.encode(top)


def _parted(entry: msgspec.Raw, who: Principal) -> bytes:
    """`entry` as it came, unless it names a model that it was made from, and that one does not exist for `who`, or
    where that lies.
    """
    top = _TEXTS.decode(entry)
    details = _ENTRY.decode(top["details"]) if bytes(top.get("details", b"null")).startswith(b"{") else {}
    parent = details.get("parent_model")
    if not parent or (isinstance(parent, str) and not parent.startswith("/") and who.sees(parent)):
        return bytes(entry)
    top["details"] = msgspec.Raw(msgspec.json.encode({**details, "parent_model": ""}))
    return msgspec.json.encode(top)


def _shown(entry: Mapping[str, object], names: tuple[str, ...], who: Principal) -> bool:
    told = [entry[name] for name in names if name in entry]
    return bool(told) and all(isinstance(name, str) and who.sees(name) for name in told)


def _shown_one(body: bytes, who: Principal) -> bytes:
    """What `/api/show` tells, without the Modelfile: it names files and other models. All it sets stands beside it."""
    try:
        return _parted(msgspec.Raw(msgspec.json.encode(_TEXTS.decode(body) | {"modelfile": msgspec.Raw(b'""')})), who)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return b"{}"
