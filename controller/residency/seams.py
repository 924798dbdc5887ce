"""What the residents ask of those around them. Words only: who stands behind each is the roof's choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from controller.engines.runner import Runner
from controller.residency.learned import Learned
from controller.residency.resident import Plan, Table, Taken


class LooksUp(Protocol):
    """Which runner a name means; `residency/names.py` is the real one."""

    def known(self, model: str) -> Runner | None:
        """What is known already, without asking."""
        ...

    async def look_up(self, model: str) -> Runner | None:
        """Ask the engines. None: there is no such model. Raises Unreachable."""
        ...


class DatedNames(LooksUp, Protocol):
    """… and whether it may mean another by now."""

    @property
    def epoch(self) -> int:
        """Grows when models were made or deleted."""
        ...


class NameTable(DatedNames, Protocol):
    """Which runner a name means, and what else is known of names."""

    async def survey(self) -> object:
        """Get to know every name there is. Raises Unreachable."""
        ...

    def names_of(self, key: str) -> list[str]: ...

    def weigh(self) -> None:
        """More was learned of what runners need."""
        ...


class Space(Protocol):
    """The memory: how much there is, what is to be done about it, and what fits."""

    @property
    def may_load(self) -> bool:
        """False while memory is short: nothing more is loaded …"""
        ...

    @property
    def may_swap(self) -> bool:
        """… but where more leaves for it than it will take; False while it is so short that not even that is done."""
        ...

    @property
    def may_grant(self) -> bool:
        """False while it is so short that nothing is begun, and what is not needed leaves."""
        ...

    def slots(self, of: int) -> int:
        """Slots of a runner that may be used now; one always may."""
        ...

    async def look(self, ours: Mapping[int, Taken]) -> None:
        """Read the machine's memory anew, and what our processes, by their ids, take of it."""
        ...

    def judge(self, now: float) -> bool:
        """Decide anew what may be done, by what the last look saw. Whether the least recently used one has to go."""
        ...

    def footprint(self, pids: Sequence[int]) -> int:
        """Bytes these took when it last looked; 0: unknown."""
        ...

    def plan(self, target: Runner, table: Table, candidates: Sequence[str], freed: int = 0) -> Plan:
        """Whether there is room for `target`, and which of `candidates` (best victim first) have to leave for it.
        `freed`: bytes of those that have left for it already.
        """
        ...


class Store(Protocol):
    """What experience says of runners, kept for the next start."""

    def get(self, key: str) -> Learned: ...

    def keep(self, key: str, learned: Learned, name: str = "") -> None: ...
