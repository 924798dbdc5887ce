"""What one answer took, as its own last record tells it."""

from __future__ import annotations

import msgspec


class Tokens(msgspec.Struct, frozen=True, gc=False):
    """Of one answer. None: nobody told."""

    prompt: int | None = None
    answer: int | None = None
    prompt_seconds: float | None = None
    answer_seconds: float | None = None
    estimated: bool = False  # `answer` is the number of pieces that came, since the stream does not tell
