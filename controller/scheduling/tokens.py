"""What one answer took, as its own last record tells it."""

from __future__ import annotations

import msgspec

_TOO_SHORT = 0.05  # seconds: it came in one piece, which says nothing of how fast it was written or read
_PIECES = 2  # tokens, likewise: of one alone an engine may say that it took a microsecond
_LONG_PROMPT = 50  # tokens from which a prompt tells how fast prompts are read


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

    @property
    def written_rate(self) -> float | None:
        """Tokens per second; None where it tells nothing."""
        return _rate(self.answer, self.answer_seconds, least=_PIECES)

    @property
    def read_rate(self) -> float | None:
        """Tokens of the prompt per second, at most: those found in a cache are counted too, but only what was
        read is timed. None where it tells nothing.
        """
        return _rate(self.prompt, self.prompt_seconds, least=_LONG_PROMPT)


def _rate(tokens: int | None, seconds: float | None, least: int) -> float | None:
    if tokens is None or seconds is None or tokens < least or seconds < _TOO_SHORT:
        return None
    return tokens / seconds
