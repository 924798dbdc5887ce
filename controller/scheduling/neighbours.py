"""What the line needs of those beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from controller.engines.runner import Runner
from controller.residency.resident import Resident, Swap
from controller.scheduling.ticket import End


class Residents(Protocol):
    """Who carries out what concerns memory; `residency/residents.py` is the real one. Keys are runners' keys."""

    on_change: list[Callable[[], None]]
    on_failed: list[Callable[[str, End, str], None]]
    on_swap: list[Callable[[Swap], None]]

    @property
    def table(self) -> Mapping[str, Resident]: ...
    @property
    def may_swap(self) -> bool: ...
    @property
    def may_grant(self) -> bool: ...
    def begin(self, swap: Swap) -> None: ...
    def freed(self, key: str) -> None: ...
    def stay(self, key: str) -> None: ...
    def left(self, key: str) -> None: ...
    def unproven(self, key: str) -> bool: ...
    def proven(self, key: str, granted: float) -> None: ...
    async def suspect(self, key: str) -> bool: ...
    def died(self, key: str, mark: str) -> None: ...


class Job(Protocol):
    """An order on its way; `residency/orders.py` makes them."""

    @property
    def state(self) -> str: ...
    @property
    def text(self) -> str: ...
    async def wait(self, seconds: float) -> None: ...


class Orders(Protocol):
    """What may be asked for beside an answer; `residency/orders.py` has the real ones. Raises OrderRefused."""

    async def unload(self, model: str) -> Job: ...


class Names(Protocol):
    """Which runner a name means; `residency/names.py` is the real one."""

    @property
    def epoch(self) -> int: ...
    async def look_up(self, model: str) -> Runner | None: ...
