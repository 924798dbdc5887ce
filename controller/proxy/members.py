"""The members of a JSON object, read the way Go reads them, and bounded before anything else looks at them.

Go's decoder takes the first JSON value and ignores what follows, matches names by case folding, and of two members of
one name lets the last one stand, but for a null, which leaves the first; two objects it adds together (encoding/json).
So nothing is judged by a member that may stand there twice: one that a rule of ours looks at is refused then, and
whatever else leaves a doubt is told by `Top.sure`; such a body is written anew from what was read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from controller.engines.fixed import FIXED_MEMBERS, FIXED_OPTIONS
from controller.refusal import Reason, Refused

MOST_MEMBERS: Final = 256  # of one object; a request has some ten
LONGEST_MEMBER: Final = 128  # bytes of a member's name
MOST_ENTRIES: Final = 2**16  # of a list or an object that is longer than a bite
MOST_MARKS: Final = 2**19  # commas and opening brackets outside texts; an engine may take half a kilobyte for what
# stands behind each, were it two bytes long. A long conversation that is sent along as numbers has half as many
_BITE: Final = 2 * 2**20  # bytes that are passed over in one step: no other thread runs meanwhile
_MOST_LEVELS: Final = 32  # of lists and objects that are longer than that

WATCHED: Final = frozenset(
    ("model", "name", "from", "source", "destination", "stream", "keep_alive", "options")
    + ("prompt", "messages", "input", "max_tokens", "max_completion_tokens", "max_output_tokens")
    + ("system", "tools")
).union(FIXED_MEMBERS)
"""The members of a request that rules of ours look at, of all routes together: `Top.value` gives no other."""
OPTIONS: Final = frozenset(("num_predict",)).union(FIXED_OPTIONS)
"""Those of a request's `options`."""

Value = msgspec.Raw | bytes

_WHITE: Final = b" \t\r\n"
_MOST_BLANKS: Final = 4096  # between two members
_GAP: Final = rb"[ \t\r\n]{0,%d}" % _MOST_BLANKS
_MARKS: Final = (b",", b"[", b"{")
_SMALL: Final = 2**16  # bytes that cost little to read, whatever they hold
_MOST_MENDED: Final = 4 * 2**20  # bytes, from the first surrogate on
_MOST_ESCAPES: Final = 20_000  # in a body that has half a surrogate pair somewhere
_TOP: Final[msgspec.json.Decoder[dict[str, Value]]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ONE: Final = msgspec.json.Decoder(msgspec.Raw)
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])
_KEY: Final = re.compile(rb'%b("(?:[^"\\]|\\.){0,%d}")%b:%b' % (_GAP, LONGEST_MEMBER, _GAP, _GAP), re.DOTALL)
_COLON: Final = re.compile(rb"%b:%b" % (_GAP, _GAP))
_NEXT: Final = re.compile(rb"%b([,}\]])" % _GAP)
_BYTE: Final = re.compile(r"\bbyte (\d+)")
_TRAILING: Final = re.compile(r"trailing characters \(byte (\d+)\)")
_SURROGATES: Final = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2})?|[c-fC-F][0-9a-fA-F]{2})"
)
_HIGH: Final = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}")
_LOW: Final = re.compile(rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_HALF: Final = 6  # bytes of a surrogate …
_PAIR: Final = 12  # … and of two that belong together
_MOST_HALVES: Final = 8  # in a row
_ALONE: Final = re.compile("[\ud800-\udfff]")

_TOO_DEEP: Final = Refused(400, Reason.BAD, "The body is nested too deep.")
_TOO_MANY: Final = Refused(400, Reason.BAD, f"The body has more than {MOST_MEMBERS} members. No request needs so many.")
_TOO_WIDE: Final = Refused(400, Reason.BAD, f"The body has a list of more than {MOST_ENTRIES} entries.")
_TOO_RICH: Final = Refused(400, Reason.BAD, f"The body has more than {MOST_MARKS} commas and brackets: too many.")
_TOO_LONG: Final = Refused(400, Reason.BAD, f"The body has a member whose name is longer than {LONGEST_MEMBER} bytes.")


class _Odd(ValueError):
    """What is read is no JSON, why, and at which byte, as far as that is known."""

    def __init__(self, why: str, at: int = 0) -> None:
        super().__init__(why)
        self.at = at


class _Wide(Exception):
    """A list or an object has more entries than anybody needs."""


@dataclass(slots=True)
class Top:
    """What an object holds, each member once. Empty for any other value."""

    members: dict[str, Value] = field(default_factory=dict)  # in order; what is watched under its folded name
    sure: bool = True  # what came says this to every reader, and nothing else: it may go on as it is
    other: bytes | None = None  # the value, if it is no object
    watched: frozenset[str] = WATCHED

    def value(self, name: str) -> bytes | None:
        """What a watched member holds, as JSON; None when it is not there."""
        assert name in self.watched, f"Nobody watches over {name}: it could be there twice."
        found = self.members.get(name)
        return None if found is None else bytes(found)

    def written(self, changes: Mapping[str, bytes | None]) -> bytes:
        """All of it as JSON, with `changes`: a member's new value, or None where it goes. The other values stay as
        they came, byte for byte.
        """
        if self.other is not None:
            return self.other
        every: dict[str, Value | None] = {**self.members, **changes}
        pieces = (b"%b:%b" % (_name(name), value) for name, value in every.items() if value is not None)
        return b"{" + b",".join(pieces) + b"}"


def read(text: bytes, watched: frozenset[str] = WATCHED) -> Top | Refused:
    """What `text` holds. 400 for what is no JSON, too large in a way that nobody needs, or has a watched member twice.

    Costs one pass over the text and some microseconds for each member, whatever it holds.
    """
    if len(text) > MOST_MARKS and _rich(text):
        return _TOO_RICH
    try:
        return _quick(text, watched) or _walked(text, watched)
    except RecursionError:
        return _TOO_DEEP
    except _Wide:
        return _TOO_WIDE
    except _Odd as why:
        if not text.strip(_WHITE):
            return Top(other=text, watched=watched)
        return Refused(400, Reason.BAD, f"The body is not valid JSON: {why}.")


def entries(value: bytes, most: int) -> int | None:
    """How many entries a JSON list has; 1 for what is none, None when there are more than `most`."""
    if not value.startswith(b"["):
        return 1
    if len(value) <= _SMALL:
        try:
            found = len(_LIST.decode(value))
        except (msgspec.MsgspecError, RecursionError):
            return 1
        return found if found <= most else None
    at, found = 1, 0
    try:
        while at:
            after = _NEXT.match(value, _past(value, at))
            found += 1
            if found > most:
                return None
            at = after.end() if after is not None and after[1] == b"," else 0
    except (_Odd, RecursionError):
        return 1
    except _Wide:
        return None
    return found


def fold(name: str) -> str:
    """`name` as Go folds it: of all characters beyond ASCII only the long s and the Kelvin sign become letters."""
    return name.replace("\u017f", "s").replace("\u212a", "k").lower() if not name.isascii() else name.lower()


# --- reading ---


def _rich(text: bytes) -> bool:
    """Whether it has more values than anybody needs, wherever they stand: before each is a comma or a bracket. Most
    bodies have few of these, their texts included, so that texts have to be told apart in few.
    """
    starts = range(0, len(text), _SMALL)
    if sum(text.count(mark, at, at + _SMALL) for mark in _MARKS for at in starts) <= MOST_MARKS:
        return False
    at = found = within = 0
    while at < len(text) and found <= MOST_MARKS:
        stop = at + _SMALL
        if stop < len(text) and _escapes(text, at, stop):
            stop -= 1
        pieces = text[at:stop].replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = b"".join(pieces[within::2])
        found += sum(map(outside.count, _MARKS))
        within ^= (len(pieces) - 1) % 2
        at = stop
    return found > MOST_MARKS


def _quick(text: bytes, watched: frozenset[str]) -> Top | None:
    """As programs write it: each member once, in small letters, with no blanks between them or with Python's. None when
    it may be otherwise.
    """
    if len(text) > _SMALL:
        return None
    try:
        found = _TOP.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    names = "".join(found)
    if not (names.isascii() and names.islower() and len(names) <= LONGEST_MEMBER):
        return None
    blanks = len(text) - len(names) - sum(map(len, found.values())) - 4 * len(found) - 1
    if not blanks or (blanks == 2 * len(found) - 1 and text == _dumped(found)):
        return Top(found, True, None, watched)  # there is no room for a member that is not among them
    return None


def _dumped(found: Mapping[str, Value]) -> bytes:
    """As Python's json.dumps separates members."""
    pieces: list[Value] = []
    for name, value in found.items():
        pieces += (b', "', name.encode(), b'": ', value)
    pieces[0] = b'{"'
    pieces.append(b"}")
    return b"".join(pieces)


def _walked(text: bytes, watched: frozenset[str]) -> Top | Refused:
    try:
        return _gathered(text, watched)
    except _Odd as why:
        mended = _mended(text, why)
        if mended is None:
            raise
    top = _gathered(mended, watched)
    if isinstance(top, Top):
        top.sure = False
    return top


def _gathered(text: bytes, watched: frozenset[str]) -> Top | Refused:
    start = len(text) - len(text.lstrip(_WHITE))
    if text[start : start + 1] != b"{":
        end = _past(text, start)
        return Top(other=text[:end], sure=end == len(text), watched=watched)
    split = _split(text, start + 1)
    if isinstance(split, Refused):
        return split
    pairs, end = split
    top = Top(sure=not text[end:].strip(_WHITE), watched=watched)
    spelled: dict[str, str] = {}  # by folded name, as it stands among the members
    for key, value in pairs:
        name = _spelled(key)
        folded = fold(name)
        if folded in spelled and folded in watched:
            return _twice(folded)
        top.sure &= folded not in spelled and (name == folded or folded not in watched)
        as_ = spelled.setdefault(folded, folded if folded in watched else name)
        top.members[as_] = value
    return top


def _split(text: bytes, at: int) -> tuple[list[tuple[bytes, bytes]], int] | Refused:
    """The members from `at` on, each value found in one step, and where the object ends."""
    pairs: list[tuple[bytes, bytes]] = []
    after = _NEXT.match(text, at)
    while after is None or after[1] != b"}":
        key = _KEY.match(text, at)
        if key is None:
            return _no_name(text, at)
        end = _past(text, key.end())
        pairs.append((key[1], text[key.end() : end - _blanks(text, key.end(), end)]))
        if len(pairs) > MOST_MEMBERS:
            return _TOO_MANY
        after = _NEXT.match(text, end)
        if after is None or after[1] == b"]":
            raise _Odd("a comma or a brace is missing after a member")
        at = after.end()
    return pairs, after.end()


def _past(text: bytes, at: int, level: int = 0) -> int:
    """Where the value that begins at `at` has ended, and the blanks after it. What is longer than a bite is passed over
    in several: a text piece by piece, anything else entry by entry.
    """
    end = _bitten(text, at, at + _BITE)
    if end is not None:
        return end
    start = at + _blanks_at(text, at)
    match text[start : start + 1]:
        case b'"':
            return _past_text(text, start)
        case b"[" | b"{":
            if level >= _MOST_LEVELS:
                raise RecursionError
            return _past_entries(text, start, level + 1)
    raise _Odd("a value, or the blanks before it, are too long", start)


def _bitten(text: bytes, at: int, stop: int, *, within: bool = False) -> int | None:
    """Where the value that begins at `at` has ended, if that is before `stop`. `within`: it is the rest of a text."""
    piece: memoryview | bytes = memoryview(text)[at:stop]
    if within:
        at, piece = at - 1, b'"' + piece
    try:
        _ONE.decode(piece)
    except msgspec.DecodeError as problem:
        why = str(problem)
        if trailing := _TRAILING.search(why):
            return at + int(trailing[1]) - 1
        found = _BYTE.search(why)
        where = len(text) if found is None else at + int(found[1])
        if stop < len(text) and (found is None or (not within and where > stop - _PAIR)):
            return None  # it goes on
        raise _Odd(_BYTE.sub(f"byte {where}", why), where) from None
    if stop >= len(text):
        return len(text)
    return stop if within or text[stop - 1] in b'"]}' else None  # a number may go on


def _blanks_at(text: bytes, at: int) -> int:
    """How many of them stand there, as far as there may be any."""
    head = text[at : at + _MOST_BLANKS]
    return len(head) - len(head.lstrip(_WHITE))


def _past_text(text: bytes, begins: int) -> int:
    """`_past` for a text that is longer than a bite."""
    at = begins + 1
    while True:
        stop = at + _BITE
        if stop < len(text):
            stop = _whole_character(text, at, stop)
            if stop <= at:
                raise _Odd("a text cannot be read", at)
        end = _bitten(text, at, stop, within=True)
        if end is not None:
            return end
        at = stop


def _whole_character(text: bytes, start: int, at: int) -> int:
    """`at`, or a little before it, where no escape is cut in two, nor what could be a pair of surrogates."""
    if _escapes(text, start, at):
        at -= 1
    else:
        cut = (u for u in range(at - 4, at) if text[u : u + 1] == b"u" and _escapes(text, start, u))
        at = next(cut, at + 1) - 1
    for _ in range(_MOST_HALVES):
        half = _half_before(text, start, at)
        if half is None:
            return at
        at = half
    raise _Odd("too many surrogate pairs are not whole", at)


def _half_before(text: bytes, start: int, at: int) -> int | None:
    """Where in front of `at` the first half of a surrogate pair stands without the room for its other half."""
    places = range(at - _PAIR + 1, at - _HALF + 1)
    return next((half for half in places if _HIGH.match(text, half) and _escapes(text, start, half + 1)), None)


def _escapes(text: bytes, start: int, at: int) -> bool:
    """Whether a backslash before `at` begins an escape: of several in a row every other one does."""
    near = text[max(start, at - 64) : at]
    run = near if near.rstrip(b"\\") else text[start:at]
    return (len(run) - len(run.rstrip(b"\\"))) % 2 == 1


def _past_entries(text: bytes, begins: int, level: int) -> int:
    """`_past` for a list or an object that is longer than a bite."""
    named, at = text[begins : begins + 1] == b"{", begins + 1
    for _ in range(MOST_ENTRIES):
        if named:
            colon = _COLON.match(text, _past(text, at, level))
            if colon is None:
                raise _Odd("a colon is missing after the name of a member", at)
            at = colon.end()
        end = _past(text, at, level)
        after = _NEXT.match(text, end)
        if after is None or (after[1] != b"," and after[1] != (b"}" if named else b"]")):
            raise _Odd("a comma or a bracket is missing after a value", end)
        at = after.end()
        if after[1] != b",":
            return at
    raise _Wide


def _blanks(text: bytes, start: int, end: int) -> int:
    """How many of them stand before `end`."""
    tail = text[max(start, end - _MOST_BLANKS - 1) : end]
    found = len(tail) - len(tail.rstrip(_WHITE))
    if found > _MOST_BLANKS:
        raise _Odd("there are too many blanks between two members")
    return found


def _no_name(text: bytes, at: int) -> Refused:
    """Why there is no member at `at`. Raises _Odd where there is no JSON."""
    quote = text.find(b'"', at, at + _MOST_BLANKS)
    if quote < 0 or text[at:quote].strip(_WHITE):
        raise _Odd("the name of a member is missing")
    if _past(text, quote) - quote > LONGEST_MEMBER:
        return _TOO_LONG
    raise _Odd("a colon is missing after the name of a member")


def _spelled(key: bytes) -> str:
    """A member's name, out of its quotes. What is no character counts as U+FFFD, as in Go."""
    plain = key[1:-1].decode("utf-8", "replace")
    if "\\" not in plain:
        return plain
    try:
        return _ALONE.sub("\ufffd", json.loads(f'"{plain}"'))
    except ValueError as problem:
        raise _Odd(str(problem)) from None


def _name(name: str) -> bytes:
    return json.dumps(name, ensure_ascii=False).encode()


def _twice(name: str) -> Refused:
    return Refused(400, Reason.BAD, f"The body has the member `{name}` twice. Send it once, and in small letters.")


def _mended(text: bytes, why: _Odd) -> bytes | None:
    """`text` with U+FFFD for each half of a surrogate pair, as Go reads it; None when that is not what is odd in it,
    or would take long.
    """
    start = _half(text, why)
    if start is None:
        return None
    end = text.find(b'"', start + _MOST_MENDED)  # which is never in the middle of a pair
    odd = text[start : end if end >= 0 else len(text)]
    if len(odd) > 2 * _MOST_MENDED or b"\0" in odd or odd.count(b"\\\\") > _MOST_ESCAPES:
        return None
    masked = odd.replace(b"\\\\", b"\0\0")  # a backslash that is itself escaped begins nothing
    mended, count = _SURROGATES.subn(_whole, masked, count=_MOST_ESCAPES)
    if mended == masked or count == _MOST_ESCAPES:
        return None
    view = memoryview(text)  # a copy less: each takes a while
    return b"".join((view[:start], mended.replace(b"\0\0", b"\\\\"), view[start + len(odd) :]))


def _half(text: bytes, why: _Odd) -> int | None:
    """Where the first half of a pair stands that msgspec stumbled over: it tells the byte behind it, or behind what
    follows it and is not its other half.
    """
    if _LOW.match(text, why.at - _HALF):
        return why.at - _HALF
    if _HIGH.match(text, why.at - _PAIR) and "pair" in str(why):
        return why.at - _PAIR
    *_, last = (None, *_HIGH.finditer(text, max(0, why.at - 2 * _PAIR), why.at))
    return None if last is None else last.start()


def _whole(found: re.Match[bytes]) -> bytes:
    return found[0] if len(found[0]) == _PAIR else b"\\ufffd"
