"""What the configuration changes in a request before it goes upstream, and what the client is told of it.

Only the members that change are written anew; all others stay as they came, byte for byte. What is fixed when a model
is loaded never passes: Ollama would load the model again for it, once for every request that differs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from math import inf

import msgspec

from controller.inside import Inside
from controller.proxy.dialects import Dialect, Ending, Reason, Refused
from controller.proxy.forms import model_of
from controller.proxy.peek import Members, Peeked, fold, is_blank, members, peek
from controller.proxy.routes import Route, label

LONGEST_TOLD = 400  # bytes of X-Seadragon-Adjusted
_REMEMBERED = 1024  # names whose redirection is kept
_MORE = ", and more"
_LONGEST_NUMBER = 40  # bytes of JSON
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_LENGTHS: Mapping[Ending, tuple[str, ...]] = {
    Ending.SENTINEL: ("max_tokens", "max_completion_tokens"),
    Ending.MESSAGE_STOP: ("max_tokens",),
    Ending.RESPONSE: ("max_output_tokens",),
}
"""The members that bound an answer, by the kind of stream; the first is added where there is none.

Anthropic's is never added: a request without it is for Ollama to refuse.
"""
_KEY = re.compile(rb'[ \t\r\n]*("(?:[^"\\]|\\.)*")[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_NEXT = re.compile(rb"[ \t\r\n]*([,}])")

Place = tuple[int, int, int]
"""Of a member: where its key begins, where its value does, where that ends."""


class Keep(StrEnum):
    """What a `keep_alive` asks of the one who decides what stays loaded: a client's hint, never an operator's order."""

    UNLOAD = "unload"  # once this is answered
    STAY = "stay"  # however long nobody asks, until another one needs the room


_KEEPS: Mapping[float | None, Keep] = {0.0: Keep.UNLOAD, inf: Keep.STAY}


class Redirects:
    """`models.redirect`: names that mean another model. An exact name goes first, then the longest pattern."""

    def __init__(self, patterns: Mapping[str, str]) -> None:
        self._exact = {full_name(name): target for name, target in patterns.items()}
        self._patterns = sorted(patterns.items(), key=lambda item: (-len(item[0]), item[0]))
        self._known: dict[str, str | None] = {}

    def of(self, model: str) -> str | None:
        """The model that `model` means here; None when it means itself."""
        if not self._exact:
            return None
        if model not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[model] = self._look(model)
        return self._known[model]

    def _look(self, model: str) -> str | None:
        name = full_name(model)
        found = self._exact.get(name)
        if found is None:
            spellings = (name, name.removesuffix(":latest"))
            matches = (
                target for each, target in self._patterns if any(fnmatchcase(one, each.lower()) for one in spellings)
            )
            found = next(matches, None)
        return None if found is None or full_name(found) == name else found


def full_name(model: str) -> str:
    """One spelling for `name`, `NAME` and `name:latest`."""
    name = model.strip().lower()
    return name if ":" in name.rpartition("/")[2] else name + ":latest"


@dataclass(frozen=True, slots=True)
class Clamps:
    """What the configuration says about requests."""

    redirects: Redirects
    default: str = ""  # the model of a request that names none
    max_tokens: int | None = None


@dataclass(slots=True)
class Adjusted:
    """A request as it goes upstream."""

    body: bytes
    model: str
    told: Sequence[str] = ()  # what was changed, in a few words of ASCII each
    keep: Keep | None = None  # asked for by one who may


def adjust(
    body: bytes,
    asked: Peeked,
    route: Route,
    clamps: Clamps,
    inside: Inside,
    *,
    default: str = "",
    manage: bool = False,
) -> Adjusted | Refused:
    """`body` as the configuration wants it, for an Ollama as `inside` says. `default`: the caller's own model for
    requests that name none.

    Refuses a body that cannot be changed without harm; nobody honest sends one.
    """
    edits = _Edits(asked)
    model = _named(edits, clamps, default or clamps.default)
    keep = None
    doubtful = False
    if route.dialect is Dialect.OLLAMA:
        keep = _kept(edits, manage=manage)
        writes = route.ending is Ending.DONE
        if writes:
            _fixed(edits, inside.fixed_members)
        doubtful = _options(edits, inside.fixed, writes and not asked.empty, clamps.max_tokens)
    elif clamps.max_tokens is not None and route.ending is not None:
        _bounded(edits, _LENGTHS.get(route.ending, ()), clamps.max_tokens, add=route.ending is not Ending.MESSAGE_STOP)
    if not edits.changes and not doubtful:
        return Adjusted(body, model)
    changed = edits.written(body)
    return changed if isinstance(changed, Refused) else Adjusted(changed, model, edits.told, keep)


def adjusted_form(name: str, span: tuple[int, int], body: bytes, clamps: Clamps) -> Adjusted:
    """As `adjust`, for a form whose field `model` is `name` and stands at `span`: only redirections reach it."""
    other = clamps.redirects.of(name) if name else None
    if other is None:
        return Adjusted(body, name)
    changed = body[: span[0]] + other.encode() + body[span[1] :]
    return Adjusted(changed, other, (f"model={label(other)} (redirect)",))


def renamed(body: bytes, model: str, content_type: bytes | None) -> bytes | Refused:
    """`body`, which names a model, with `model` in its place; `content_type` of a form, None for JSON."""
    if content_type is not None:
        found = model_of(body, content_type)
        assert found is not None, "It came by its model's name."
        return body[: found[1][0]] + model.encode() + body[found[1][1] :]
    asked = peek(body)
    if isinstance(asked, Refused):
        return asked
    edits = _Edits(asked)
    edits.put("model", json.dumps(model).encode())
    return edits.written(body)


def without_value(told: str) -> str:
    """The same for a guest: that a member was changed, and not to which value of the configuration. A model is one that
    they asked for under another name.
    """
    name, given, why = told.partition("=")
    return told if not given or name == "model" else f"{name} {why.partition(' ')[2]}".strip()


def told_header(told: Sequence[str]) -> bytes:
    """The value of X-Seadragon-Adjusted: printable ASCII, never longer than `LONGEST_TOLD`."""
    value = ""
    for each in dict.fromkeys(told):
        longer = f"{value}, {each}" if value else each
        if len(longer) + len(_MORE) > LONGEST_TOLD:
            value = value + _MORE if value else "model changed"  # the longest of all: a name of 500 characters
            break
        value = longer
    return _UNPRINTABLE.sub("?", value).encode("ascii")


class _Edits:
    """The changes of one body."""

    def __init__(self, asked: Peeked) -> None:
        self.asked = asked
        self.changes: dict[str, bytes | None] = {}  # by folded name; None: it goes
        self.told: list[str] = []

    def value(self, name: str) -> bytes | None:
        """What a member holds, as JSON."""
        found = self.asked.members.get(name)
        return None if found is None else bytes(found)

    def put(self, name: str, value: bytes | None, told: str = "") -> None:
        self.changes[name] = value
        if told:
            self.told.append(told)

    def written(self, body: bytes) -> bytes | Refused:
        """`body` with the changes. One that says a member twice is written anew, since Go adds the two together."""
        text = self.asked.text
        found = places(text, self.asked.members)
        if found is not None:
            if not self.changes:
                return body
            return _spliced(body if len(text) == len(body) else text, found, self.changes)
        if text != body and len(text) == len(body):  # mended letter by letter: its own letters are not in the members
            return Refused(400, Reason.BAD, "The body has one member twice. Send only one.")
        return _joined(self.asked.members, self.changes)


def _named(edits: _Edits, clamps: Clamps, default: str) -> str:
    asked = edits.asked
    value = asked.members.get("model")
    if value is None or is_blank(value):
        if not default or not asked.text.lstrip().startswith(b"{"):
            return asked.model
        chosen, why = default, "default"
    else:
        other = clamps.redirects.of(asked.model) if asked.model else None
        if other is None:
            return asked.model
        chosen, why = other, "redirect"
    edits.put("model", json.dumps(chosen).encode(), f"model={label(chosen)} ({why})")
    return chosen


def _kept(edits: _Edits, *, manage: bool) -> Keep | None:
    value = edits.value("keep_alive")
    if value is None or value == b"null":
        return None
    wish = _KEEPS.get(edits.asked.keep_alive) if manage else None
    edits.put("keep_alive", None, "" if wish else "keep_alive dropped")
    return wish


def _fixed(edits: _Edits, names: Iterable[str]) -> None:
    for name in names:
        if edits.value(name) not in (None, b"null"):
            edits.put(name, None, f"{name} dropped")


def _options(edits: _Edits, fixed: Container[str], bounds: bool, most: int | None) -> bool:
    """Whether the body has options at all: it could hold others too, under the same name."""
    raw = edits.value("options")
    if raw is None or raw == b"null":
        if bounds and most is not None:
            edits.put("options", b'{"num_predict":%d}' % most, f"num_predict={most} (limit)")
        return raw is not None
    inner = members(raw)
    if isinstance(inner, Refused) or not raw.startswith(b"{"):
        return True  # Ollama says what is wrong with it
    wanted: dict[str, bytes | None] = {name: None for name in inner if fold(name) in fixed}
    told = [f"{fold(name)} dropped" for name in wanted]
    if bounds and most is not None and _beyond(inner.get("num_predict"), most):
        wanted["num_predict"] = b"%d" % most
        told.append(f"num_predict={most} (limit)")
    found = places(raw, inner)
    if wanted or found is None:
        edits.put("options", _joined(inner, wanted) if found is None else _spliced(raw, found, wanted))
        edits.told += told
    return True


def _bounded(edits: _Edits, names: Sequence[str], most: int, *, add: bool) -> None:
    there = [name for name in names if edits.value(name) not in (None, b"null")]
    for name in there or (names[:1] if add and not edits.asked.empty else ()):
        if _beyond(edits.value(name), most):
            edits.put(name, b"%d" % most, f"{name}={most} (limit)")


def _beyond(value: msgspec.Raw | bytes | None, most: int) -> bool:
    """Whether a length asks for more than `most`: nought, less than nought and nothing at all mean without end."""
    if value is None or bytes(value) == b"null":
        return True
    try:
        number = json.loads(bytes(value)) if len(bytes(value)) <= _LONGEST_NUMBER else most + 1
    except ValueError:
        return False
    return isinstance(number, int | float) and not isinstance(number, bool) and not 0 < number <= most


# --- writing ---


def places(text: bytes, top: Members) -> dict[str, Place] | None:
    """Where each member of the object that `text` begins with stands; None when one stands there twice."""
    found: dict[str, Place] = {}
    at = text.find(b"{") + 1
    for name, value in top.items():
        key = _KEY.match(text, at)
        if key is None or (key[1] != b'"%b"' % name.encode() and fold(json.loads(key[1])) != fold(name)):
            return None
        raw, start = bytes(value), key.end()
        end = start + len(raw)
        after = _NEXT.match(text, end)
        if after is None or not text.startswith(raw, start):
            return None
        found[name] = (key.start(1), start, end)
        at = after.end()
        if after[1] == b"}":
            break
    return found if len(found) == len(top) and (not top or text[at - 1 : at] == b"}") else None


def _spliced(body: bytes, found: Mapping[str, Place], changes: Mapping[str, bytes | None]) -> bytes:
    """`body` with its changed members alone written anew."""
    first = last = body.find(b"{") + 1
    pieces: list[bytes] = []
    for name, (key, value, last) in found.items():
        if name not in changes:
            pieces.append(body[key:last])
        elif (new := changes[name]) is not None:
            pieces.append(body[key:value] + new)
    for name, new in changes.items():
        if new is not None and name not in found:
            pieces.append(b"%b:%b" % (json.dumps(name).encode(), new))
    return body[:first] + b",".join(pieces) + body[last:]


def _joined(top: Members, changes: Mapping[str, bytes | None]) -> bytes:
    """The members as one object, for a body whose own text cannot be kept."""
    every = {name: bytes(value) for name, value in top.items()} | dict(changes)
    pieces = (json.dumps(name).encode() + b":" + value for name, value in every.items() if value is not None)
    return b"{" + b",".join(pieces) + b"}"
