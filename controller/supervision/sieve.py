"""Which of a child's bytes reach its log: whole lines, clean, free of secrets, within a budget.

Pure (it is handed the time) and stdlib only, since the keeper lives on it. What will be dropped is never looked at:
under a flood a chunk costs one `find` at most, so the child writes nearly as fast as to a reader that only discards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

RATE = 5_000_000.0  # bytes a second that a child may log for ever
BURST = 20_000_000.0  # bytes it may log at once after a quiet time
RESUME = 1.0  # seconds of budget saved up before a gap ends: one readable sample a second, not confetti
LONGEST = 64 * 1024  # bytes of one line; longer ones are split
MARGIN = 16 * 1024  # bytes looked at beyond a split, so that no secret is cut in two unseen
REDACTED = b"[redacted]"

_SECRETS = (
    rb"(?<![A-Za-z0-9])sd_[A-Za-z0-9_-]{8,}",  # our own keys
    rb"[Bb](?:earer|EARER)[ \t]+[\w.~+/=-]{8,}",
    rb"eyJ[\w+/=-]{16,}(?:\.[\w+/=-]*)*",  # JWTs and Cloudflare's tunnel tokens: base64 of '{"'
)
_NEEDLES = (b"sd_", b"earer", b"EARER", b"eyJ")  # a plain search is twenty times as fast as the pattern
_ANSI = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[@-Z\\^_])")
_PLAIN = bytes(ord("?") if byte < 32 and byte not in b"\t\n" or byte == 127 else byte for byte in range(256))
_SECRET_NAMES = ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "KEY", "CREDENTIAL")


def secrets_in(environment: Mapping[str, str]) -> list[str]:
    """The values of an environment that must never be logged: those whose name says so and that are not short words."""
    return [value for name, value in environment.items() if name.upper().endswith(_SECRET_NAMES) and len(value) >= 8]


class Cleaner:
    """Makes whole lines fit to be kept: valid UTF-8, no terminal codes, no control characters, no secrets."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        own = [secret.encode() for secret in secrets]
        self._needles = (*_NEEDLES, *own)
        self._secret = re.compile(b"|".join([*map(re.escape, own), *_SECRETS]))

    def clean(self, text: bytes) -> bytes:
        if not text.isascii():
            text = text.decode("utf-8", "replace").encode()
        if b"\x1b" in text:
            text = _ANSI.sub(b"", text)
        if b"\r\n" in text:
            text = text.replace(b"\r\n", b"\n")
        text = text.translate(_PLAIN)
        return self._secret.sub(REDACTED, text) if self._suspect(text) else text

    def cut(self, text: bytes) -> int:
        """Where to split an overlong line: at LONGEST, or before the secret or the letter that lies across it."""
        place = LONGEST
        for match in self._secret.finditer(text) if self._suspect(text) else ():
            if match.start() < place < match.end():
                place = match.start() or place
        while place > LONGEST - 4 and text[place] & 0xC0 == 0x80:
            place -= 1
        return place

    def _suspect(self, text: bytes) -> bool:
        return any(needle in text for needle in self._needles)


class Sieve:
    """A token bucket over whole lines. What goes in comes out, or is counted in `dropped` and told in the log."""

    def __init__(self, cleaner: Cleaner, *, rate: float = RATE, burst: float = BURST) -> None:
        self.dropped = 0  # bytes, since the start
        self._cleaner = cleaner
        self._rate = rate
        self._burst = burst
        self._budget = burst
        self._at: float | None = None
        self._carry = b""  # the beginning of a line whose end has not come yet
        self._gap = False  # dropping, until the budget has recovered
        self._mid_line = False  # the last dropped byte was not the end of a line
        self._untold = 0  # dropped bytes that the log does not tell of yet

    def feed(self, chunk: bytes, now: float) -> bytes:
        """Take what the child wrote; return what belongs in the log."""
        self._refill(now)
        marker = b""
        if self._gap:
            chunk = self._beyond_gap(chunk)
            if not chunk:
                return b""
            marker = self._end_gap()
        text = self._carry + chunk
        whole = text.rfind(b"\n", 0, int(self._budget)) + 1
        if len(text) > self._budget:
            self._carry = b""
            self._drop(text[whole:])
            self._gap = True
        else:
            self._carry = text[whole:]
        self._budget -= whole
        return marker + self._lines(text[:whole]) + self._overlong()

    def tick(self, now: float) -> bytes:
        """Called now and then, for a child that fell silent: the line that tells of a gap, once the budget is back."""
        self._refill(now)
        if self._budget < self._resume or self._mid_line:  # the rest of a dropped line may still come
            return b""
        return self._end_gap()

    def end(self) -> bytes:
        """No more will come: the last line, though it has no end, and what was dropped."""
        marker = self._end_gap()
        rest, self._carry = self._carry, b""
        return marker + (self._lines(rest + b"\n") if rest else b"")

    @property
    def _resume(self) -> float:
        return min(self._burst, self._rate * RESUME)

    def _refill(self, now: float) -> None:
        if self._at is not None:
            self._budget = min(self._burst, self._budget + (now - self._at) * self._rate)
        self._at = now

    def _beyond_gap(self, chunk: bytes) -> bytes:
        """What follows the gap in this chunk; b"" while the gap lasts."""
        begin = 0 if not self._mid_line else chunk.find(b"\n") + 1
        if self._budget < self._resume or (self._mid_line and not begin):
            self._drop(chunk)
            return b""
        self._drop(chunk[:begin])
        return chunk[begin:]

    def _drop(self, chunk: bytes) -> None:
        if chunk:
            self.dropped += len(chunk)
            self._untold += len(chunk)
            self._mid_line = chunk[-1] != 10

    def _end_gap(self) -> bytes:
        count, self._untold = self._untold, 0
        self._gap = self._mid_line = False
        return dropped_line(count) if count else b""

    def _overlong(self) -> bytes:
        """Pieces of a line that grows beyond all bounds, without waiting for its end."""
        pieces = []
        while len(self._carry) >= LONGEST + MARGIN:
            cut = self._cleaner.cut(self._carry)
            pieces.append(self._cleaner.clean(self._carry[:cut] + b"\n"))
            self._carry = self._carry[cut:]
            self._budget -= cut
        return b"".join(pieces)

    def _lines(self, text: bytes) -> bytes:
        return split(self._cleaner.clean(text))


def dropped_line(count: int) -> bytes:
    """How a log tells that `count` bytes are missing here."""
    return b'{"dropped_bytes": %d}\n' % count


def split(text: bytes) -> bytes:
    """Whole lines with an end put into those that are longer than LONGEST; never within a letter."""
    if len(text) <= LONGEST:
        return text
    pieces, begin = [], 0
    while len(text) - begin > LONGEST + 1:
        end = text.rfind(b"\n", begin, begin + LONGEST + 1) + 1
        if end:
            pieces.append(text[begin:end])
        else:
            end = begin + LONGEST
            while text[end] & 0xC0 == 0x80:
                end -= 1
            pieces.append(text[begin:end] + b"\n")
        begin = end
    return b"".join([*pieces, text[begin:]])


class Ring:
    """The last `size` bytes of everything the child wrote, for crash reports."""

    def __init__(self, size: int) -> None:
        self._bytes = bytearray(size)
        self._size = size
        self._end = 0  # bytes written since the start

    def add(self, chunk: memoryview) -> None:
        self._end += max(0, len(chunk) - self._size)
        chunk = chunk[-self._size :]
        begin = self._end % self._size
        first = min(len(chunk), self._size - begin)
        self._bytes[begin : begin + first] = chunk[:first]
        self._bytes[: len(chunk) - first] = chunk[first:]
        self._end += len(chunk)

    def last(self, size: int) -> bytes:
        """The last `size` bytes at most, from the beginning of a line on (or of a word, in a line longer than that)."""
        begin = self._end % self._size
        text = bytes(self._bytes[begin:] + self._bytes[:begin])
        kept = min(size, self._end, self._size)
        if kept == self._end:
            return text[len(text) - kept :]
        tail = text[len(text) - kept :]
        whole = re.search(rb"\n", tail) or re.search(rb"\s", tail)
        return tail[whole.end() :] if whole else b""
