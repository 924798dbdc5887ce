"""What an answer took, read from its own last records while its bytes pass untouched.

Engines write the counts at the very end: in the last line of a native stream, in the last events of the others, at the
end of a document. So the last few pieces are kept, by reference, and looked into once. An OpenAI stream has counts only
when its client asked for them; otherwise the pieces themselves are counted, one token each.
"""

from __future__ import annotations

import re

from controller.dialect import StreamEnding
from controller.scheduling.tokens import Tokens

_KEPT = 4  # pieces: the record with the counts, the terminal one, and either may be torn in two
_LOOKED_AT = 16 * 1024  # bytes from the end
_COUNTS = re.compile(
    rb'"(prompt_eval_count|prompt_eval_duration|eval_count|eval_duration'
    rb'|prompt_tokens|completion_tokens|input_tokens|output_tokens)":\s*(\d{1,18})'
)
_CLOSING = {StreamEnding.DONE: 1, StreamEnding.SENTINEL: 2, StreamEnding.MESSAGE_STOP: 5, StreamEnding.RESPONSE: 8}
"""Records of a stream that carry no token: the beginnings and ends of its parts (openai/, anthropic/ of v0.24.0)."""
_NANO = 1e9


class AnswerUsage:
    """One answer's, while it comes. `moved` grows with every byte."""

    __slots__ = ("_last", "moved", "pieces")

    def __init__(self) -> None:
        self._last: list[bytes] = []
        self.moved = 0
        self.pieces = 0

    def feed(self, data: bytes) -> None:
        """A piece of the body came: upstream sends one for each record."""
        self.moved += len(data)
        self.pieces += 1
        last = self._last
        last.append(data)
        if len(last) > _KEPT:
            del last[0]

    def forget(self) -> None:
        """That attempt came to nothing."""
        self._last.clear()
        self.moved = self.pieces = 0

    def tokens(self, ending: StreamEnding | None) -> Tokens | None:
        """What it took so far. `ending`: of a stream; None for a document. None when there is nothing to tell of."""
        if not self.moved:
            return None
        tail = b"".join(self._last)[-_LOOKED_AT:]
        found = {name: int(number) for name, number in _COUNTS.findall(tail)}  # of two of a name the later one counts
        if not found and ending is None:
            return None
        prompt = _first(found, b"prompt_eval_count", b"prompt_tokens", b"input_tokens")
        answer = _first(found, b"eval_count", b"completion_tokens", b"output_tokens")
        if ending is not None and not answer:
            counted = max(0, self.pieces - _CLOSING.get(ending, 1))
            return Tokens(prompt or None, counted, estimated=True) if counted else None
        if prompt is None and answer is None:
            return None
        return Tokens(prompt, answer, _seconds(found, b"prompt_eval_duration"), _seconds(found, b"eval_duration"))


def _first(found: dict[bytes, int], *names: bytes) -> int | None:
    for name in names:
        if name in found:
            return found[name]
    return None


def _seconds(found: dict[bytes, int], name: bytes) -> float | None:
    return found[name] / _NANO if name in found else None
