"""What a JSON body asks for, read the way Go reads it, without touching the rest.

Go's decoder takes the first JSON value and ignores what follows, matches keys by case folding, and lets the last of two
win (encoding/json). Reading it any other way would let a request say one thing to us and another to Ollama; two
spellings of one key in one body are refused, since nobody honest sends them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

import msgspec

from controller.proxy.dialects import Reason, Refused

_TOP = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_PART = re.compile(r"(\d*)\.?(\d*)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_DURATION = re.compile(r"([+-]?)(0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_LONGEST_DURATION = 100  # bytes of JSON; nobody writes one that long
_FLAGS = {b"true": True, b"false": False}
_BLANK = re.compile(rb'null|""|\[\s*\]')
_NOTHING = (b"null", b'""')
_TRAILING = re.compile(r"trailing characters \(byte (\d+)\)")
_NO_VALUE: dict[str, bytes] = {}
_MOST_MEMBERS = 10_000
"""A body has some ten. Millions of them fit into the limit of a body, and would stop everything for seconds (measured:
1.4 s for 25 MB of two and a half million members, 0.03 s to see that there are too many)."""

Members = Mapping[str, "msgspec.Raw | bytes"]


class _Large(msgspec.Struct):
    """The members that may hold very much; all others are skipped without a thought."""

    messages: msgspec.Raw = msgspec.Raw(b"")
    prompt: msgspec.Raw = msgspec.Raw(b"")
    input: msgspec.Raw = msgspec.Raw(b"")
    system: msgspec.Raw = msgspec.Raw(b"")
    tools: msgspec.Raw = msgspec.Raw(b"")
    context: msgspec.Raw = msgspec.Raw(b"")
    files: msgspec.Raw = msgspec.Raw(b"")
    template: msgspec.Raw = msgspec.Raw(b"")
    license: msgspec.Raw = msgspec.Raw(b"")
    format: msgspec.Raw = msgspec.Raw(b"")
    text: msgspec.Raw = msgspec.Raw(b"")


_LARGE = msgspec.json.Decoder(_Large)


@dataclass(slots=True)
class Peeked:
    """What the gateway needs to know of a body."""

    model: str = ""
    stream: bool | None = None  # as asked; None when the body leaves it to the route's default
    empty: bool = True  # nothing to answer: Ollama only loads (or unloads) the model
    keep_alive: float | None = None  # seconds, as Ollama takes it; inf for ever
    members: Members = field(default_factory=dict, compare=False)  # by folded name, in order
    text: bytes = field(default=b"", compare=False)  # the JSON they are of: what came, mended where it had to be

    @property
    def unloads(self) -> bool:
        """`ollama stop`: nothing is asked, and the model is to leave memory at once."""
        return self.empty and self.keep_alive == 0


def peek(body: bytes, subject: str = "") -> Peeked | Refused:
    """What `body` asks for. `subject` is the member that holds the question: prompt, messages or input.

    A body that Go would refuse for its shape is let through, for Ollama to say so in its own words; one that is not
    JSON at all, nests too deep, or spells one key in two ways is refused here.
    """
    found = _read(body)
    if isinstance(found, Refused):
        return found
    top, text = found
    names = "".join(top)
    if not (names.islower() and names.isascii()):
        refused = _two_spellings(top)
        if refused is not None:
            return refused
        top = {fold(name): value for name, value in top.items()}
    return _look(top, text, subject)


def fold(key: str) -> str:
    """`key` as Go folds it: of all characters beyond ASCII only the long s and the Kelvin sign become letters."""
    return key.replace("\u017f", "s").replace("\u212a", "k").lower() if not key.isascii() else key.lower()


def _look(top: Members, text: bytes, subject: str) -> Peeked:
    model = top.get("model")
    if model is None or bytes(model) in _NOTHING:
        model = top.get("name")
    keep = top.get("keep_alive")
    asked = top.get(subject) if subject else b"?"
    stream = top.get("stream")
    return Peeked(
        _text(model),
        None if stream is None else _FLAGS.get(bytes(stream)),
        asked is None or is_blank(asked),
        None if keep is None else seconds(bytes(keep)),
        top,
        text,
    )


def is_blank(value: msgspec.Raw | bytes) -> bool:
    """Whether a JSON value is one that asks nothing: null, an empty text, an empty list."""
    return _BLANK.fullmatch(value) is not None


def seconds(value: bytes) -> float | None:
    """A keep_alive in seconds, as Ollama's `api.Duration` reads it: whole nanoseconds, less than nought for ever.

    None when it is unset, or nothing that Ollama would take.
    """
    if len(value) > _LONGEST_DURATION:
        return 0.0  # whatever it is, it is made to be misread: the most that it could mean is nought
    try:
        read = json.loads(value)
    except ValueError:
        return None
    if isinstance(read, bool) or read is None:
        return None
    if isinstance(read, int | float):
        return inf if read < 0 else _seconds(read * 1e9)
    match = _DURATION.fullmatch(read) if isinstance(read, str) else None
    if match is None:
        return None
    total = sum(_nanoseconds(whole, part, _UNITS[unit]) for whole, part, unit in _PART.findall(match[2]))
    return inf if match[1] == "-" and total > 0 else _seconds(total)


def _nanoseconds(whole: str, part: str, unit: int) -> int:
    """One piece of a duration, computed as Go's `time.ParseDuration` does: what is less than a nanosecond is lost."""
    return int(whole or "0") * unit + (int(int(part) * (unit / 10.0 ** len(part))) if part else 0)


def _seconds(nanoseconds: float) -> float:
    return int(nanoseconds) / 1e9 if nanoseconds < 2**63 else inf


def texts(body: bytes, names: tuple[str, ...]) -> dict[str, str]:
    """The named members of a body that `peek` let through, as texts; one that is no text is left out."""
    top = members(body)
    if isinstance(top, Refused):
        return {}
    folded = {fold(key): value for key, value in top.items()}
    return {name: _text(folded[name]) for name in names if name in folded}


def count(body: bytes, name: str) -> int:
    """How many entries the named list of a body has that `peek` let through; 1 for what is no list."""
    top = members(body)
    found = {} if isinstance(top, Refused) else {fold(key): value for key, value in top.items()}
    try:
        return max(1, len(_LIST.decode(found.get(name, b"0"))))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return 1


def _text(value: msgspec.Raw | bytes | None) -> str:
    if value is None:
        return ""
    try:
        return _TEXT.decode(value)
    except msgspec.ValidationError:  # no text at all
        return ""
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    try:
        return str(json.loads(bytes(value).decode("utf-8", "replace")))
    except ValueError:
        return ""


def _two_spellings(top: Members) -> Refused | None:
    seen: dict[str, str] = {}
    for key in top:
        other = seen.setdefault(fold(key), key)
        if other != key:
            text = f"The body has one member in two spellings, {_shown(other)} and {_shown(key)}. Send only one."
            return Refused(400, Reason.BAD, text)
    return None


def _shown(key: str) -> str:
    return json.dumps(key if len(key) <= 40 else key[:40] + "…")


def members(body: bytes) -> Members | Refused:
    """The members of the object that `body` is; none, when it is empty or another value: Ollama says what it wanted."""
    found = _read(body)
    return found if isinstance(found, Refused) else found[0]


def _read(body: bytes) -> tuple[Members, bytes] | Refused:
    """The members, and the text they were found in.

    Go takes three things that msgspec does not: something after the first value, half a surrogate pair, and bytes that
    are no UTF-8. Each is mended in a copy that only we read, in time and memory that do not depend on what it holds.
    """
    for _ in range(4):
        try:
            if len(body) > _MOST_MEMBERS and _crowded(body):
                return Refused(400, Reason.BAD, "The body has more members than any request needs.")
            found: Members = _TOP.decode(body)
            return found, body
        except RecursionError:
            return Refused(400, Reason.BAD, "The body is nested too deep.")
        except UnicodeDecodeError:
            body = body.decode("utf-8", "replace").encode()
        except msgspec.ValidationError:
            return _NO_VALUE, body
        except msgspec.DecodeError as problem:
            why = str(problem)
            trailing = _TRAILING.search(why)
            if trailing:
                body = body[: int(trailing[1]) - 1]
            elif b"\\ud" in body or b"\\uD" in body:
                body = body.replace(b"\\ud", b"\\uf").replace(b"\\uD", b"\\uF")
            else:
                break
    if not body.strip(b" \t\r\n"):
        return _NO_VALUE, body
    return Refused(400, Reason.BAD, f"The body is not valid JSON: {why}.")


def _crowded(body: bytes) -> bool:
    """Whether there may be more than `_MOST_MEMBERS` members, found without reading them one by one."""
    colons = body.count(b":")
    if colons <= _MOST_MEMBERS:
        return False
    large = _LARGE.decode(body)
    inside = (getattr(large, name) for name in _Large.__struct_fields__)
    return colons - sum(bytes(value).count(b":") for value in inside) > _MOST_MEMBERS
