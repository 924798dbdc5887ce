"""What was used: one value for each request that stood in the line, and their sums per day. Pure. Never a prompt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal, NamedTuple, get_args

import msgspec

Grouping = Literal["caller", "key", "model", "day", "week"]
"""What sums are told by."""
GROUPINGS: Final[tuple[Grouping, ...]] = get_args(Grouping)

DONE: Final = "done"
HARMLESS: Final = frozenset({DONE, "client_gone"})
"""Outcomes that are nobody's failure: all went well, or the client had seen enough."""


class Use(msgspec.Struct, frozen=True, gc=False):
    """One request, as the table `usage` keeps it. Made on the hot path, where it costs half a microsecond.

    Seconds are None for what did not happen.
    """

    at: float  # seconds since the epoch, when it ended
    request: str  # its id, as in the access log
    kind: str  # of its principal: address, key, person, operator, anonymous
    caller: str  # what people read of it, at that time
    caller_id: str  # its identity, which counts
    key_id: str  # "": none
    user_id: str  # "": none
    model: str  # asked for
    dialect: str
    route: str
    lane: float
    waited: float | None  # seconds in the line until its last grant
    loaded: float | None  # … of them, those in which its model was being loaded
    first_byte: float | None  # seconds from its turn to the model's first byte
    seconds: float  # from its arrival to its end
    prompt_tokens: int
    answer_tokens: int
    estimated: bool  # the answer named no figures: its pieces were counted
    bytes_in: int
    bytes_out: int
    outcome: str  # "done", or why not: a `refusal.Reason`, or `status_404` for what its engine refused

    @property
    def failed(self) -> bool:
        """Whether it brought no whole answer, and not by its client's own doing."""
        return self.outcome not in HARMLESS


class Slot(NamedTuple):
    """What the sums of a day are told apart by."""

    day: str  # 2026-11-21, where this machine stands
    kind: str
    caller: str
    caller_id: str
    key_id: str
    user_id: str
    model: str


@dataclass(frozen=True, slots=True)
class Sums:
    """Of some requests."""

    requests: int
    failed: int
    prompt_tokens: int
    answer_tokens: int
    estimated: int  # requests whose tokens are estimates
    waited: float  # seconds
    seconds: float
    bytes_in: int
    bytes_out: int

    @classmethod
    def of(cls, uses: Sequence[Use]) -> Sums:
        """Column by column: half the time of adding one use to another, and thousands may come at once."""
        return cls(
            len(uses),
            sum([use.failed for use in uses]),
            sum([use.prompt_tokens for use in uses]),
            sum([use.answer_tokens for use in uses]),
            sum([use.estimated for use in uses]),
            sum([use.waited or 0.0 for use in uses]),
            sum([use.seconds for use in uses]),
            sum([use.bytes_in for use in uses]),
            sum([use.bytes_out for use in uses]),
        )


def rolled_up(uses: Iterable[Use], day_of: Callable[[float], str]) -> Mapping[Slot, Sums]:
    """Their sums. `day_of` names the day of a moment."""
    days: defaultdict[tuple[str, ...], list[Use]] = defaultdict(list)
    for use in uses:
        days[day_of(use.at), use.kind, use.caller, use.caller_id, use.key_id, use.user_id, use.model].append(use)
    return {Slot(*slot): Sums.of(own) for slot, own in days.items()}


def week_of(day: str) -> str:
    """The Monday that begins the week of a day, both as 2026-11-21. Raises ValueError for what is no day."""
    found = date.fromisoformat(day)
    return (found - timedelta(days=found.weekday())).isoformat()
