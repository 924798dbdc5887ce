"""What the line did, in plain integers: counted as it happens, turned into metrics only when somebody asks.

Names come from outside, so there is a bound on how many are told apart; the rest share one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from controller.histogram import Histogram
from controller.residency.resident import Swap
from controller.scheduling.ticket import Cap, End, Ticket, Why
from controller.scheduling.tokens import Tokens

MOST_NAMES = 200
MOST_LANES = 50
OTHER_NAME = "(others)"
OTHER_LANE = -1.0


@dataclass(slots=True)
class TokenCounts:
    """What one model has read and written."""

    prompt: int = 0  # tokens
    answer: int = 0  # tokens
    timed: int = 0  # of them, those of answers whose seconds are known
    seconds: float = 0.0  # in which those were written


@dataclass(slots=True)
class Loads:
    """Of one model."""

    count: int = 0
    seconds: float = 0.0


class LineTally:
    """All counters. They only grow."""

    def __init__(self) -> None:
        self.grants = dict.fromkeys(Why, 0)
        self.ended = dict.fromkeys(End, 0)  # without a grant, or by our own hand
        self.turned = dict.fromkeys(Cap, 0)
        self.replays = 0
        self.swaps: defaultdict[str, int] = defaultdict(int)  # by why
        self.waits: defaultdict[float, Histogram] = defaultdict(Histogram)  # by lane, until the first grant
        self.tokens: defaultdict[str, TokenCounts] = defaultdict(TokenCounts)  # by a model's name
        self.loads: defaultdict[str, Loads] = defaultdict(Loads)  # by a model's name

    def granted(self, ticket: Ticket, now: float) -> None:
        """It is its turn."""
        if ticket.why is not None:
            self.grants[ticket.why] += 1
        if ticket.attempts <= 1:
            lane = ticket.lane
            if lane not in self.waits and len(self.waits) >= MOST_LANES:
                lane = OTHER_LANE
            self.waits[lane].add(now - ticket.arrived)

    def swapped(self, swap: Swap) -> None:
        """What is loaded changes, whoever wants that."""
        self.swaps[swap.why] += 1

    def answered(self, name: str, tokens: Tokens) -> None:
        """An answer has told what it took."""
        spoken = self.tokens[_bounded(self.tokens, name)]
        spoken.prompt += tokens.prompt or 0
        spoken.answer += tokens.answer or 0
        if tokens.answer_seconds:
            spoken.timed += tokens.answer or 0
            spoken.seconds += tokens.answer_seconds

    def loaded(self, name: str, seconds: float) -> None:
        """A model has come into memory."""
        loads = self.loads[_bounded(self.loads, name)]
        loads.count += 1
        loads.seconds += seconds


def _bounded(seen: defaultdict[str, TokenCounts] | defaultdict[str, Loads], name: str) -> str:
    return name if name in seen or len(seen) < MOST_NAMES else OTHER_NAME
