"""What one answer took, as its own last record tells it."""

from __future__ import annotations

import msgspec

_TOO_SHORT = 0.05  # seconds: it came in one piece, which says nothing of its writing


class Tokens(msgspec.Struct, frozen=True, gc=False):
    """Of one answer. None: nobody told."""

    prompt: int | None = None
    answer: int | None = None
    prompt_seconds: float | None = None
    answer_seconds: float | None = None
    estimated: bool = False  # `answer` is the number of pieces that came, since the stream does not tell

    def timed(self, seconds: float) -> Tokens:
        """The same, with the seconds a stream took to come where the answer itself tells none."""
        if self.answer_seconds is not None or seconds < _TOO_SHORT:
            return self
        return Tokens(self.prompt, self.answer, self.prompt_seconds, seconds, self.estimated)
