"""What experience says of one runner: kept in the database, used for estimates. Pure values."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

WEIGHT = 0.3  # of a new figure against all earlier ones
RISE = 1.002  # by which one answer can raise the speed of reading


class Learned(msgspec.Struct, frozen=True, gc=False):
    """Each answer makes a new one. All figures are None until they have been seen. Rates are tokens per second of one
    answer; that of a prompt is how fast it is read when nothing of it is found in a cache.
    """

    load_seconds: float | None = None
    tokens_rate: float | None = None
    prompt_rate: float | None = None
    answer_seconds: float | None = None  # how long one answer holds a slot
    memory: int | None = None  # bytes
    loads: int = 0
    crashes: int = 0
    last_error: str = ""

    def loaded(self, seconds: float, memory: int | None) -> Learned:
        """A load succeeded."""
        seen = self.memory if memory is None else memory
        return replace(
            self, load_seconds=_mean(self.load_seconds, seconds), memory=seen, loads=self.loads + 1, last_error=""
        )

    def crashed(self, why: str) -> Learned:
        """A load or a runner failed."""
        return replace(self, crashes=self.crashes + 1, last_error=why)

    def ended(self, why: str) -> Learned:
        """We ended a runner."""
        return replace(self, last_error=why)

    def takes(self, memory: int) -> Learned:
        """More bytes than were thought."""
        return replace(self, memory=memory)

    def answered(self, seconds: float, tokens_rate: float | None, prompt_rate: float | None) -> Learned:
        """An answer was finished."""
        return replace(
            self,
            answer_seconds=_mean(self.answer_seconds, seconds),
            tokens_rate=self.tokens_rate if tokens_rate is None else _mean(self.tokens_rate, tokens_rate),
            prompt_rate=self.prompt_rate if prompt_rate is None else _lowest(self.prompt_rate, prompt_rate),
        )

    def on_top_of(self, earlier: Learned) -> Learned:
        """These figures were seen since, without knowledge of `earlier`: what both come to."""
        seen = {name: value for name in _FIGURES if (value := getattr(self, name)) is not None}
        return replace(
            earlier,
            **seen,
            loads=earlier.loads + self.loads,
            crashes=earlier.crashes + self.crashes,
            last_error=self.last_error if self.loads else self.last_error or earlier.last_error,
        )


_FIGURES = ("load_seconds", "tokens_rate", "prompt_rate", "answer_seconds", "memory")


def _mean(before: float | None, new: float) -> float:
    return new if before is None else before + WEIGHT * (new - before)


def _lowest(before: float | None, new: float) -> float:
    """What a cache finds makes a speed look greater and never smaller, and most turns of a chat find nearly all. So a
    lower figure counts like any other, and a higher one next to nothing: a hundred turns between two prompts that are
    really read raise it by a fifth, and a machine that has become faster is believed in the end.
    """
    return _mean(before, new) if before is None or new < before else min(new, before * RISE)
