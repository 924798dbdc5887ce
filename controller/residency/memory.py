"""How much memory there is for models. Pure.

Bytes throughout; in words GiB, as memory is sold and as the configuration takes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from controller.config.machine import Memory
from controller.engines.runner import Runner
from controller.plain import memory_words
from controller.residency.resident import Pressure, Resident

SHARE = 0.9  # of the accelerator's limit: a Mac near its limit answers wrongly before it fails
LINGERS = 10.0  # seconds after its end in which a process may still be counted by those who tell only the whole
LEAVES = 0.8  # an engine that predicts a need makes others leave where it is more than this of what is free


@dataclass(frozen=True, slots=True)
class Reading:
    """The machine's memory at one moment. What could not be read is None, 0 or 1, and `notes` says why."""

    total: int  # RAM, or what our control group may have of it
    available: int  # what could be had without swapping
    limit: int | None = None  # the accelerator's; None: models are worked on by the processor
    others_there: int = 0  # of `limit`, held by others
    unified: bool = False  # accelerator and processor have one memory
    pressure: Pressure = 1
    footprints: Mapping[int, int] = field(default_factory=dict)  # by process id, files in use with them
    elsewhere: int = 0  # of all footprints together, what `available` does not miss: mapped files, the GPU's own memory
    at: float = 0.0  # monotonic seconds
    notes: tuple[str, ...] = ()  # what could not be read, one sentence each: to be logged once


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes that all models together may take."""

    ram: int  # with the conversations they may come to keep
    there: int | None = None  # where they are computed; None: the processor does, or nobody knows
    gpu: int | None = None  # what the engine thinks all its models can have there …
    free: int | None = None  # … and what it sees free in RAM, where that is the GPU's memory too

    def holds(self, stay: Iterable[Resident], target: Runner) -> bool:
        """Whether `target` fits beside these."""
        rows = list(stay)
        promised = sum(row.promised for row in rows) + target.need + target.cache
        there = sum(row.there for row in rows) + target.need + (target.cache if target.facts.keeps_beside else 0)
        return promised <= self.ram and (self.there is None or there <= self.there)

    def lets_stay(self, stay: Iterable[Resident], gone: Iterable[Resident], target: Runner) -> bool:
        """Whether its engine would load `target` beside these, once those are gone, without making any leave."""
        rows = list(stay)
        if self.gpu is None or not target.predicted or not rows:
            return True
        free = self.gpu - sum(row.there for row in rows)
        if self.free is not None:
            free = min(free, self.free + sum(row.taken for row in gone))
        return target.predicted <= LEAVES * free

    def models(self, rows: Iterable[Resident]) -> int:
        """What models may take beside all that is kept for conversations: as people are shown it."""
        table = list(rows)
        left = self.ram - sum(row.cache for row in table)
        if self.there is not None:
            left = min(left, self.there - sum(row.there - row.taken for row in table))
        return max(0, left)


def budget(reading: Reading, settings: Memory) -> Budget:
    """For now. What our own processes hold is for models."""
    ours = max(0, sum(reading.footprints.values()) - reading.elsewhere)
    others = max(0, reading.total - reading.available - ours)
    return _budget(reading, settings, others, reading.others_there)


def ceiling(reading: Reading, settings: Memory) -> Budget:
    """As if nobody else held any memory: what is above can never be loaded."""
    return _budget(reading, settings, 0, 0)


def _budget(reading: Reading, settings: Memory, others: int, others_there: int) -> Budget:
    gpu = reading.limit
    if gpu is not None and not reading.unified:
        gpu -= others_there  # of a card the engine sees it
    free = max(0, reading.available - reading.elsewhere) if reading.unified and gpu is not None else None
    if settings.budget != "auto":
        return Budget(settings.budget, None, gpu, free)
    there = None if reading.limit is None else max(0, int(SHARE * reading.limit) - others_there)
    return Budget(max(0, reading.total - others - settings.reserve), there, gpu, free)


class Others:
    """What others have of something of which only the whole is told, and that ours may or may not have a part in.

    It is between all of it and what is left if ours have all they could; of that, as near as may be to what it was
    before. So it is exact whenever ours have all or nothing, and stays while only ours come and go.
    """

    def __init__(self, at_first: int = 0) -> None:
        """`at_first`: bytes, as long as nobody has seen better."""
        self.have = at_first
        self._ours: list[tuple[float, int]] = []

    def see(self, together: int, ours: int, now: float) -> int:
        """`together` by all, and `ours` at most; monotonic seconds. What has just ended may still count for a while."""
        self._ours = [each for each in self._ours if now - each[0] < LINGERS and each[1] > ours]
        self._ours.append((now, ours))
        self.have = min(max(self.have, together - self._ours[0][1]), together)
        return self.have


def need_words(target: Runner) -> str:
    """`21.4 GiB (weights 18.6 GiB, context 2.1 GiB, work space 662 MiB) and up to 4.2 GiB for conversations`"""
    parts = target.parts
    told = "by memory_gb of models.yaml, or as it was seen"
    if parts is not None:
        of = {"weights": parts.weights, "context": parts.context, "work space": parts.work}
        told = ", ".join(f"{name} {memory_words(size)}" for name, size in of.items())
    kept = f" and up to {memory_words(target.cache)} for conversations" if target.cache else ""
    return f"{memory_words(target.need)} ({told}){kept}"
