"""What a JSON body asks for: `members.py` reads it, and here it is understood. No value is unfolded in vain."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import msgspec

from controller.proxy.members import Top, read
from controller.refusal import Reason, Refused
from controller.spelling import LONGEST

_TEXT = msgspec.json.Decoder(str)
_PART = re.compile(r"(\d*)\.?(\d*)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_DURATION = re.compile(r"([+-]?)(0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_LONGEST_DURATION = 100  # bytes of JSON; nobody writes one that long
_FLAGS = {b"true": True, b"false": False}
_BLANK = re.compile(rb'null|""|\[[ \t\r\n]{0,4096}\]')
_NOTHING = (b"null", b'""')


@dataclass(slots=True)
class Peeked:
    """What the gateway needs to know of a body."""

    names: dict[str, str] = field(default_factory=dict)  # the members that name models: those that are given
    stream: bool | None = None  # as asked; None when the body leaves it to the route's default
    empty: bool = True  # nothing to answer: it only loads (or unloads) the model
    keep_alive: float | None = None  # seconds, as it is taken natively; inf for ever
    top: Top = field(default_factory=Top, compare=False)

    @property
    def model(self) -> str:
        """The one that is asked: natively `name` counts where no `model` is given."""
        return next(iter(self.names.values()), "")

    @property
    def unloads(self) -> bool:
        """Nothing is asked, and the model is to leave memory at once."""
        return self.empty and self.keep_alive == 0


def peek(body: bytes, subject: str = "", naming: Sequence[str] = ("model",)) -> Peeked | Refused:
    """What `body` asks for. `subject` is the member that holds the question: prompt, messages or input; `naming` those
    that name models, the one that is asked first.

    A body that is another value than an object, or none, is let through, for the engine to say what it wanted.
    """
    top = read(body)
    if isinstance(top, Refused):
        return top
    names: dict[str, str] = {}
    for member in naming:
        value = top.value(member)
        if value is None or value in _NOTHING:
            continue
        name = _text(value)
        if name is None:
            text = f"`{member}` must be a text: the name of a model, of at most {LONGEST} bytes."
            return Refused(400, Reason.BAD, text)
        names[member] = name
    keep, stream = top.value("keep_alive"), top.value("stream")
    asked = top.value(subject) if subject else b"?"
    return Peeked(
        names,
        None if stream is None else _FLAGS.get(stream),
        asked is None or is_blank(asked),
        None if keep is None else seconds(keep),
        top,
    )


def is_blank(value: bytes) -> bool:
    """Whether a JSON value is one that asks nothing: null, an empty text, an empty list."""
    return _BLANK.fullmatch(value) is not None


def seconds(value: bytes) -> float | None:
    """A keep_alive in seconds, as the native API's Duration is read: whole nanoseconds, less than nought for ever.

    None when it is unset, or nothing that would be taken.
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


def _text(value: bytes) -> str | None:
    """The text that a JSON value is; None when it is another, or too long to be a name."""
    if len(value) > LONGEST + 2:
        return None
    try:
        return _TEXT.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
