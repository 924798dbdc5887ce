"""What is in memory, what shall be, and whether it may: words that the line, the residents and the edges share.

Memory is in bytes, times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from controller.engines.runner import Runner


class Presence(StrEnum):
    """Where a runner is, of those that are not simply away."""

    LOADING = "loading"
    RESIDENT = "resident"
    LEAVING = "leaving"  # gets nothing more; unloads when what it works on has ended


@dataclass(slots=True, eq=False)
class Resident:
    """One row of the table of what is in memory. Written by `rows.py` alone; a row is there before a load begins
    and until the process is gone, so that memory is never promised twice.
    """

    runner: Runner
    presence: Presence
    since: float  # when it became what it is now
    taken: int  # bytes: promised while it loads, seen (or still promised, when nobody can tell) afterwards
    slots: int  # now: fewer than the runner's own under memory pressure
    cache: int = 0  # bytes it may come to take beside those
    mapped: int = 0  # bytes of a file that it uses in place, without a copy of its own
    load_seconds: float = 0.0
    pinned: bool = False  # never evicted
    stays: bool = False  # does not leave for being idle, as a client has asked: evicted like any other
    waits: bool = False  # who makes room for it has not left yet: it holds nothing, it is only promised
    unproven: bool = False  # a hang-up or an adoption may have lost a slot …
    doubted: float = float("-inf")  # … at this moment, the last time
    used: float = 0.0  # when it was last asked or answering

    @property
    def promised(self) -> int:
        """Bytes of RAM, all in all."""
        return self.taken + self.cache

    @property
    def there(self) -> int:
        """Bytes of it that lie where models are computed. Conversations lie in RAM, but for a few runners'."""
        return self.promised if self.runner.facts.keeps_beside else self.taken


Table = Mapping[str, Resident]
"""By runner key."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What is known of one process of ours, for a gauge that cannot see all that it holds. Bytes."""

    loaded: int = 0  # that its runner took when it was loaded; 0: it is just being loaded
    mapped: int = 0  # of them, those of a file that it uses in place
    most: int = 0  # that it may have by now where models are computed, loaded or not


@dataclass(frozen=True, slots=True)
class Fits:
    """There is room once these have left; none: at once."""

    evict: tuple[str, ...] = ()  # runner keys


@dataclass(frozen=True, slots=True)
class TooBig:
    """It can never be loaded here. `text` has the arithmetic in words."""

    text: str


@dataclass(frozen=True, slots=True)
class NoRoom:
    """Not now. `pinned`: only because what is pinned stays, so waiting does not help."""

    text: str
    pinned: bool = False


Plan = Fits | TooBig | NoRoom


Cause = Literal["line", "order", "preload", "return", "idle", "pressure", "deleted", "reload"]
"""What a swap is for: the line, an order, `preload`; what was there before a restart or made room for a load that
failed; nobody uses it, memory is short, its name is gone, a slot got lost.
"""


@dataclass(frozen=True, slots=True)
class Swap:
    """What the line, or an order, wants done: `evict` leave, then `runner` is loaded. For a mere unload it is None."""

    runner: Runner | None
    evict: tuple[str, ...]  # runner keys
    why: Cause  # for the journal and the metrics
    caller: str = ""  # whose account the seconds go on


Pressure = Literal[1, 2, 4]
"""As macOS says it: 1 normal, 2 warning, 4 critical."""
