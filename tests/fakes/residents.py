"""Residents that load when the test says so: room for one runner, or as many as told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controller.clock import Clock
from controller.engines.runner import ModelFacts, Runner
from controller.errors import OrderRefused
from controller.residency.resident import Fits, NoRoom, Plan, Presence, Resident, Swap
from controller.scheduling.effects import Sign
from controller.scheduling.ticket import End, Ticket


def runner(key: str, *, slots: int = 1, context: int = 0) -> Runner:
    """A runner whose blob and name follow from its key."""
    return Runner(
        key, f"sha256-{key}", f"{key}:latest", ModelFacts(weights=1), engine="ollama", slots=slots, context=context
    )


class FakeResidents:
    """The scheduler's room, the dispatcher's memory and its effects. `swaps` are those it was told to begin."""

    def __init__(self, clock: Clock, *, most: int = 1) -> None:
        self.table: dict[str, Resident] = {}
        self.on_change: list[Callable[[], None]] = []
        self.on_failed: list[Callable[[str, End, str], None]] = []
        self.on_swap: list[Callable[[Swap], None]] = []
        self.may_swap = self.may_grant = True
        self.swaps: list[Swap] = []
        self.told: list[tuple[str, ...]] = []
        self.dead: set[str] = set()  # whose process has ended, and nobody has noticed
        self.idle = False  # whether a suspected runner does nothing
        self.stuck: OrderRefused | None = None  # what becomes of an unload; None: it works
        self._clock = clock
        self._most = most

    # --- room ---

    def plan(self, target: Runner, candidates: Sequence[str]) -> Plan:
        over = len(self.table) + 1 - self._most
        return Fits(tuple(candidates[:over])) if over <= len(candidates) else NoRoom("No room.")

    # --- what the dispatcher asks ---

    def begin(self, swap: Swap) -> None:
        self.swaps.append(swap)
        for tell in self.on_swap:
            tell(swap)
        for key in swap.evict:
            self.table[key].presence = Presence.LEAVING
        if swap.runner is not None:
            now = self._clock.now()
            self.table[swap.runner.key] = Resident(swap.runner, Presence.LOADING, now, 1, swap.runner.slots)
        self._change()

    def stay(self, key: str) -> None:
        self.told.append(("stay", key))

    def freed(self, key: str) -> None:
        self.told.append(("freed", key))

    def seen(self, ticket: Ticket, sign: Sign) -> None:
        self.told.append((sign, ticket.runner.key))
        if sign == "works":
            self.table[ticket.runner.key].unproven = False

    async def suspect(self, key: str) -> bool:
        self.told.append(("suspect", key))
        return self.idle

    async def lives(self, key: str) -> bool:
        return key in self.table and self.table[key].presence is Presence.RESIDENT and key not in self.dead

    async def kill(self, key: str, why: str) -> None:
        self.told.append(("kill", key, why))
        self.gone(key)

    async def unload(self, runner: Runner) -> None:
        self.told.append(("unload", runner.key))
        if self.stuck is not None:
            raise self.stuck

    # --- what the test does ---

    def loaded(self, target: Runner, seconds: float = 2.0) -> None:
        """It is there; who was to leave for it has left."""
        for key in [key for key, row in self.table.items() if row.presence is Presence.LEAVING]:
            del self.table[key]
        row = Resident(target, Presence.RESIDENT, self._clock.now(), 1, target.slots, load_seconds=seconds)
        self.table[target.key] = row
        self._change()

    def failed(self, key: str, as_: End, words: str) -> None:
        """It could not be loaded."""
        self.table.pop(key, None)
        for tell in self.on_failed:
            tell(key, as_, words)
        self._change()

    def gone(self, key: str) -> None:
        """Its process has ended."""
        self.table.pop(key, None)
        self._change()

    def _change(self) -> None:
        for tell in self.on_change:
            tell()
