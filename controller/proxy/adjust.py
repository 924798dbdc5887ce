"""What the configuration changes in a request before it goes upstream, and what the client is told of it.

What goes upstream is what was judged: a body that can be read in one way only goes on as it came; one that has to
change, or that leaves a doubt, is written anew from what was read. What is fixed when a model is loaded never passes:
an engine would load the model again for it, once for every request that differs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from controller.answering.question import Keep
from controller.dialect import Dialect, StreamEnding
from controller.engines.engine import FixedAtLoad
from controller.proxy.members import OPTIONS, read
from controller.proxy.peek import Peeked
from controller.proxy.routes import Route, label
from controller.refusal import Reason, Refused
from controller.residency.meaning import Meaning, Meanings

LONGEST_TOLD = 400  # bytes of X-Seadragon-Adjusted
_MORE = ", and more"
_LONGEST_NUMBER = 40  # bytes of JSON
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_LENGTHS: Mapping[StreamEnding, tuple[str, ...]] = {
    StreamEnding.SENTINEL: ("max_tokens", "max_completion_tokens"),
    StreamEnding.MESSAGE_STOP: ("max_tokens",),
    StreamEnding.RESPONSE: ("max_output_tokens",),
}
"""The members that bound an answer, by the kind of stream. The first alone counts (openai/openai.go), so that
one is added where it is not given, whatever another says.

Anthropic's is never added: a request without it is for the engine to refuse.
"""


_KEEPS: Mapping[float | None, Keep] = {0.0: Keep.UNLOAD, inf: Keep.STAY}


@dataclass(frozen=True, slots=True)
class Clamps:
    """What the configuration says about requests."""

    meanings: Meanings
    default: str = ""  # the model of a request that names none
    max_tokens: int | None = None


@dataclass(slots=True)
class Adjusted:
    """A request as it goes upstream."""

    body: bytes
    model: str
    told: Sequence[str] = ()  # what was changed, in a few words of ASCII each
    keep: Keep | None = None  # asked for by one who may
    others: Sequence[str] = ()  # the further models it names
    mark: bytes = b""  # of a body that is long: to make it takes a while (`poison.mark_of`)


def adjust(
    body: bytes,
    asked: Peeked,
    route: Route,
    clamps: Clamps,
    fixed: FixedAtLoad,
    *,
    default: str = "",
    manage: bool = False,
) -> Adjusted | Refused:
    """`body` as the configuration wants it, which may not carry what is `fixed`. `default`: the caller's own model for
    requests that name none.

    Refuses what asks for no model that could be, and options that say one thing twice.
    """
    edits = _Edits(asked)
    names = _named(edits, clamps.meanings, default or clamps.default)
    if isinstance(names, Refused):
        return names
    keep = None
    if route.dialect is Dialect.NATIVE:
        keep = _kept(edits, manage=manage)
        writes = route.ending is StreamEnding.DONE
        if writes:
            _fixed(edits, fixed.members)
        refused = _options(edits, fixed.options, writes and not asked.empty, clamps.max_tokens)
        if refused is not None:
            return refused
    elif clamps.max_tokens is not None and route.ending is not None:
        _bounded(
            edits, _LENGTHS.get(route.ending, ()), clamps.max_tokens, add=route.ending is not StreamEnding.MESSAGE_STOP
        )
    return Adjusted(edits.written(body), names[0] if names else "", edits.told, keep)


def named(body: bytes, asked: Peeked, meanings: Meanings) -> Adjusted | Refused:
    """As `adjust`, where no model answers: what is looked at are the names alone."""
    edits = _Edits(asked)
    names = _named(edits, meanings)
    if isinstance(names, Refused):
        return names
    return Adjusted(edits.written(body), names[0] if names else "", edits.told, others=names[1:])


def renamed(body: bytes, model: str) -> bytes | Refused:
    """`body`, which was judged before, with `model` in place of the one it names."""
    top = read(body)
    return top if isinstance(top, Refused) else top.written({"model": json.dumps(model).encode()})


def no_name(member: str) -> Refused:
    """400: what a member holds can be the name of no model."""
    text = (
        f"`{member}` is not the name of a model. A name has letters, digits, `-`, `_` and `.`; "
        "others may stand before it, and a tag behind it: library/red:latest."
    )
    return Refused(400, Reason.BAD, text)


def renaming(asked: str, meaning: Meaning) -> str:
    """What a client is told of a name that goes on as another; "" when it goes on as it came."""
    if meaning.name.written == asked:
        return ""
    return f"model={label(meaning.name.written)} ({'redirect' if meaning.redirected else 'spelling'})"


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
        return self.asked.top.value(name)

    def put(self, name: str, value: bytes | None, told: str = "") -> None:
        self.changes[name] = value
        if told:
            self.told.append(told)

    def written(self, body: bytes) -> bytes:
        """`body`, if nothing has to change and it leaves no doubt; else what was read of it, with the changes."""
        return body if self.asked.top.sure and not self.changes else self.asked.top.written(self.changes)


def _named(edits: _Edits, meanings: Meanings, default: str = "") -> list[str] | Refused:
    """The models that the body names, as it names them when it goes on."""
    asked = edits.asked.names
    if not asked:
        meaning = meanings.of(default) if default and edits.asked.top.other is None else None
        if meaning is None:
            return []
        written = meaning.name.written
        edits.put("model", json.dumps(written).encode(), f"model={label(written)} (default)")
        return [written]
    names = []
    for member, text in asked.items():
        meaning = meanings.of(text)
        if meaning is None:
            return no_name(member)
        if told := renaming(text, meaning):
            edits.put(member, json.dumps(meaning.name.written).encode(), told)
        names.append(meaning.name.written)
    return names


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


def _options(edits: _Edits, fixed: Container[str], bounds: bool, most: int | None) -> Refused | None:
    raw = edits.value("options")
    if raw is None or raw == b"null":
        if bounds and most is not None:
            edits.put("options", b'{"num_predict":%d}' % most, f"num_predict={most} (limit)")
        return None
    inner = read(raw, OPTIONS)
    if isinstance(inner, Refused):
        return inner
    wanted: dict[str, bytes | None] = {name: None for name in inner.members if name in fixed}
    told = [f"{name} dropped" for name in wanted]
    if bounds and most is not None and inner.other is None and _beyond(inner.value("num_predict"), most):
        wanted["num_predict"] = b"%d" % most
        told.append(f"num_predict={most} (limit)")
    if wanted or not inner.sure:
        edits.put("options", inner.written(wanted))
        edits.told += told
    return None


def _bounded(edits: _Edits, names: Sequence[str], most: int, *, add: bool) -> None:
    """No request counts as empty: what is to be answered may stand elsewhere than in its subject (`instructions`)."""
    add &= edits.asked.top.other is None
    for name in names:
        given = edits.value(name) not in (None, b"null")
        if (given or (add and name == names[0])) and _beyond(edits.value(name), most):
            edits.put(name, b"%d" % most, f"{name}={most} (limit)")


def _beyond(value: bytes | None, most: int) -> bool:
    """Whether a length asks for more than `most`: less than one and nothing at all mean without end, since
    fractions are cut off.
    """
    if value is None or value == b"null":
        return True
    try:
        number = json.loads(value) if len(value) <= _LONGEST_NUMBER else most + 1
    except ValueError:
        return False
    return isinstance(number, int | float) and not isinstance(number, bool) and not 1 <= number <= most
