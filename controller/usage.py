"""What was used: one value for each request that stood in the line, and their sums per day. Pure. Never a prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

import msgspec

HARMLESS = frozenset({"", "client_gone"})
"""Outcomes that are nobody's failure: all went well, or the client had seen enough."""


class Use(msgspec.Struct, frozen=True, gc=False):
    """One request, as it is kept. Made on the hot path: about a microsecond."""

    at: float  # seconds since the epoch, when it ended
    request: str  # its id, as in the access log
    caller: str  # the label it stood in the line under
    key: str  # id of its key; "" without one
    user: str  # id of the person; "" for none
    model: str
    dialect: str
    lane: float
    waited: float  # seconds in the line until its last grant, or until it gave up
    loading: float  # … of them, those in which its model was being loaded
    first_byte: float | None  # seconds until the model's first byte; None: there was none
    prompt: int | None  # tokens; None: nobody told
    answer: int | None
    estimated: bool  # `answer` is the number of pieces that came, since the stream does not tell
    seconds: float  # from its first byte to the last of its answer
    status: int
    outcome: str  # a `dialects.Reason`; "" when all went well
    bytes_in: int
    bytes_out: int

    @property
    def failed(self) -> bool:
        """Whether it brought no whole answer, and not by its client's own doing."""
        return self.outcome not in HARMLESS or (not self.outcome and self.status >= 400)


class Slot(NamedTuple):
    """What the sums of a day are told apart by."""

    day: str  # 2026-11-21, where this machine stands
    caller: str
    key: str
    model: str


@dataclass(slots=True)
class Sums:
    """Of some requests."""

    requests: int = 0
    failed: int = 0
    prompt: int = 0  # tokens
    answer: int = 0
    waited: float = 0.0  # seconds
    seconds: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0

    def add(self, use: Use) -> None:
        """One more."""
        self.requests += 1
        self.failed += use.failed
        self.prompt += use.prompt or 0
        self.answer += use.answer or 0
        self.waited += use.waited
        self.seconds += use.seconds
        self.bytes_in += use.bytes_in
        self.bytes_out += use.bytes_out


def rolled_up(uses: Iterable[Use], day_of: Callable[[float], str]) -> Mapping[Slot, Sums]:
    """Their sums. `day_of` names the day of a moment."""
    days: dict[Slot, Sums] = {}
    for use in uses:
        days.setdefault(Slot(day_of(use.at), use.caller, use.key, use.model), Sums()).add(use)
    return days


def week_of(day: str) -> str:
    """The Monday that begins the week of a day, both as 2026-11-21. Raises ValueError for what is no day."""
    found = date.fromisoformat(day)
    return (found - timedelta(days=found.weekday())).isoformat()
