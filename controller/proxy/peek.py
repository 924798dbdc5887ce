"""What a JSON body asks for, read the way Go reads it, without touching the rest.

Go's decoder takes the first JSON value and ignores what follows, matches keys by case folding, and lets the last of two
win (encoding/json). Reading it any other way would let a request say one thing to us and another to Ollama; two
spellings of one key in one body are refused, since nobody honest sends them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import floor, inf

import msgspec

from controller.proxy.dialects import Reason, Refused

_TOP = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_DURATION = re.compile(r"([+-]?)(0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_FLAGS = {b"true": True, b"false": False}
_BLANK = re.compile(rb'null|""|\[\s*\]')
_NOTHING = (b"null", b'""')
_NO_VALUE: dict[str, bytes] = {}

Members = Mapping[str, "msgspec.Raw | bytes"]


@dataclass(slots=True)
class Peeked:
    """What the gateway needs to know of a body."""

    model: str = ""
    stream: bool | None = None  # as asked; None when the body leaves it to the route's default
    empty: bool = True  # nothing to answer: Ollama only loads (or unloads) the model
    keep_alive: float | None = None  # seconds, as Ollama takes it; inf for ever

    @property
    def unloads(self) -> bool:
        """`ollama stop`: nothing is asked, and the model is to leave memory at once."""
        return self.empty and self.keep_alive == 0


def peek(body: bytes, subject: str = "") -> Peeked | Refused:
    """What `body` asks for. `subject` is the member that holds the question: prompt, messages or input.

    A body that Go would refuse for its shape is let through, for Ollama to say so in its own words; one that is not
    JSON at all, nests too deep, or spells one key in two ways is refused here.
    """
    try:
        top: Members = _TOP.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        read = _read_laxly(body)
        if isinstance(read, Refused):
            return read
        top = read
    names = "".join(top)
    if not (names.islower() and names.isascii()):
        refused = _two_spellings(top)
        if refused is not None:
            return refused
        top = {fold(name): value for name, value in top.items()}
    return _look(top, subject)


def fold(key: str) -> str:
    """`key` as Go folds it: of all characters beyond ASCII only the long s and the Kelvin sign become letters."""
    return key.replace("\u017f", "s").replace("\u212a", "k").lower() if not key.isascii() else key.lower()


def _look(top: Members, subject: str) -> Peeked:
    model = top.get("model")
    if model is None or bytes(model) in _NOTHING:
        model = top.get("name")
    keep = top.get("keep_alive")
    asked = top.get(subject) if subject else b"?"
    stream = top.get("stream")
    return Peeked(
        model=_text(model),
        stream=None if stream is None else _FLAGS.get(bytes(stream)),
        empty=asked is None or is_blank(asked),
        keep_alive=None if keep is None else seconds(bytes(keep)),
    )


def is_blank(value: msgspec.Raw | bytes) -> bool:
    """Whether a JSON value is one that asks nothing: null, an empty text, an empty list."""
    return _BLANK.fullmatch(value) is not None


def seconds(value: bytes) -> float | None:
    """A keep_alive in seconds, as Ollama's `api.Duration` reads it: whole nanoseconds, less than nought for ever.

    None when it is unset, or nothing that Ollama would take.
    """
    try:
        read = json.loads(value)
    except ValueError:
        return None
    if isinstance(read, bool) or read is None:
        return None
    if isinstance(read, int | float):
        return inf if read < 0 else _whole_nanoseconds(float(read))
    match = _DURATION.fullmatch(read) if isinstance(read, str) else None
    if match is None:
        return None
    total = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(match[2]))
    return inf if match[1] == "-" and _whole_nanoseconds(total) > 0 else _whole_nanoseconds(total)


def _whole_nanoseconds(value: float) -> float:
    return floor(value * 1e9 + 1e-6) / 1e9 if value < 1 else value


def texts(body: bytes, names: tuple[str, ...]) -> dict[str, str]:
    """The named members of a body that `peek` let through, as texts; one that is no text is left out."""
    try:
        top: Members = _TOP.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        read = _read_laxly(body)
        top = _NO_VALUE if isinstance(read, Refused) else read
    folded = {fold(key): value for key, value in top.items()}
    return {name: _text(folded[name]) for name in names if name in folded}


def _text(value: msgspec.Raw | bytes | None) -> str:
    if value is None:
        return ""
    try:
        return _TEXT.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    try:
        text = json.loads(bytes(value).decode("utf-8", "replace"))
    except ValueError:
        return ""
    return text if isinstance(text, str) else ""


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


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON.")


_LAX = json.JSONDecoder(parse_constant=_reject_constant, parse_int=float)  # no limit to the digits


def _read_laxly(body: bytes) -> Members | Refused:
    """The verdict of a second reader on what msgspec refuses: trailing data, lone surrogates and bad UTF-8 are fine."""
    text = body.decode("utf-8", "replace")
    start = len(text) - len(text.lstrip(" \t\r\n"))
    if start == len(text):
        return _NO_VALUE  # an empty body: Ollama says "missing request body"
    try:
        value, _ = _LAX.raw_decode(text, start)
    except RecursionError:
        return Refused(400, Reason.BAD, "The body is nested too deep.")
    except ValueError as problem:
        return Refused(400, Reason.BAD, f"The body is not valid JSON: {problem}.")
    if not isinstance(value, dict):
        return _NO_VALUE  # Ollama says what it wanted instead
    return {key: json.dumps(member).encode() for key, member in value.items()}
