"""What the line has done by others, and what it reads and hears of them, on one page. Keys are runners' keys.

The line only decides. Whoever keeps models in memory carries it out, on the same loop: nothing here may wait, but for
the two methods that say so, and what is told back (`Residency`) may come before a method has returned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, Protocol

from controller.engines.runner import Runner
from controller.residency.resident import Resident, Swap
from controller.scheduling.ticket import End, Ticket

Sign = Literal["works", "doubt", "death"]
"""What an answer showed of its runner: a byte came; its slot may be lost, for it was broken off; or the runner died."""


class Effects(Protocol):
    """What the line wants done; `residency/effects.py` does it."""

    def begin(self, swap: Swap) -> None:
        """Load, unload, or both. Nothing comes of it while something else is under way: that is told when it ends, and
        then the line decides again.
        """
        ...

    def freed(self, key: str) -> None:
        """Nobody uses this runner any more."""
        ...

    def stay(self, key: str) -> None:
        """It is not to leave for being idle; for another runner it may."""
        ...

    def seen(self, ticket: Ticket, sign: Sign) -> None:
        """What is known of a ticket's runner has changed."""
        ...

    async def suspect(self, key: str) -> bool:
        """A slot in doubt brings nothing: whether its runner did nothing either, and is loaded anew. Looks at it."""
        ...

    async def unload(self, runner: Runner) -> None:
        """Have it leave memory, and return when it is gone: at once when it is not there. Raises OrderRefused,
        Unreachable.
        """
        ...


class Residency(Protocol):
    """What is in memory, as the line reads it, and where it hears of changes; `residency/residents.py` is the real one.

    `on_change` is told after each change of the table and of what may be done; `on_failed` for whose runner nobody has
    to wait any longer, why, and the words for a person; `on_swap` of every swap that begins, whoever wanted it.
    """

    on_change: list[Callable[[], None]]
    on_failed: list[Callable[[str, End, str], None]]
    on_swap: list[Callable[[Swap], None]]

    @property
    def table(self) -> Mapping[str, Resident]: ...
    @property
    def may_swap(self) -> bool: ...
    @property
    def may_grant(self) -> bool: ...


class Demand(Protocol):
    """The line, as whoever keeps models in memory asks it: who uses what, who waits for what. Monotonic seconds."""

    def busy(self, key: str) -> int:
        """Slots taken on this runner."""
        ...

    def wanted(self, key: str) -> bool:
        """Whether somebody waits for it."""
        ...

    def waiting(self) -> Iterable[Ticket]: ...

    def running(self) -> Iterable[Ticket]: ...

    def charge(self, caller: str, seconds: float, now: float) -> None:
        """A load on the caller's account."""
        ...

    def redirect(self, from_key: str, to: Runner, now: float) -> int:
        """Whoever waits for one runner waits for another instead. Returns how many."""
        ...

    def keep_away(self, key: str, until: float) -> None:
        """Whoever waits for this runner has it loaded no sooner than that."""
        ...
