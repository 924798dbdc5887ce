"""How much memory a model needs, how much there is for models, and what is done when it gets short. Pure.

Bytes throughout; in words GiB, as memory is sold and as the configuration takes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.config.schema import Memory
from controller.residency.facts import BATCH, F32
from controller.residency.runner import Facts, Pressure, Runner

GIB, MIB = 2**30, 2**20
KV_FACTORS: Mapping[str, float] = {"f16": 1.0, "q8_0": 34 / 64, "q4_0": 18 / 64}  # blocks of 32 numbers and a scale
MASK = 6  # bytes for each token of context and of the batch, when attention is computed in pieces
RUNNER = 16 * MIB  # a runner's process without any model (measured, Ollama v0.24.0, Linux)
SHARE = 0.9  # of the accelerator's limit: a Mac near its limit answers wrongly before it fails
TOLERANCE = 0.15  # an order that differs more from what is seen is told

SHORT, VERY_SHORT = 0.08, 0.04  # share of all memory that is still available (Linux)
STALLED, VERY_STALLED = 10.0, 40.0  # percent of the last ten seconds in which nobody got on (Linux PSI, full avg10)
SETTLED = 10.0  # seconds at a better level before it counts
UNLOAD_EVERY = 5.0  # seconds until one unload has shown its effect


@dataclass(frozen=True, slots=True)
class Reading:
    """The machine's memory at one moment. What could not be read is None or 1, and `notes` says why."""

    total: int  # RAM, or what our control group may have of it
    available: int  # what could be had without swapping
    limit: int | None = None  # the accelerator's; None: models are worked on by the processor
    accelerator_used: int | None = None  # of `limit`, by everybody; None: unknown
    unified: bool = False  # accelerator and processor have one memory
    pressure: Pressure = 1
    footprints: Mapping[int, int] = field(default_factory=dict)  # by process id
    elsewhere: int = 0  # of all footprints together, what `available` does not miss: mapped files, the GPU's own memory
    at: float = 0.0  # monotonic seconds
    notes: tuple[str, ...] = ()  # what could not be read, one sentence each: to be logged once


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a model will probably take, and for what."""

    weights: int
    context: int
    work: int  # work space of a batch, and the process itself

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.context + self.work


def estimate(facts: Facts, context: int, slots: int, kv_type: str | None, *, flash: bool | None = None) -> Estimate:
    """What a model takes with `slots` of `context` tokens each; `kv_type` and `flash` as in models.yaml.

    Ollama clips the context to the model's own, gives each slot all of it, and keeps it at f16 where a model cannot do
    flash attention or was not told to (llm/server.go of v0.24.0). The 512 MiB that Ollama leaves free on Metal are the
    machine's, not each model's: the budget leaves more.
    """
    tokens = (min(context, facts.context) if facts.context else context) * slots
    in_window = min(tokens, facts.window * slots + BATCH)
    kept = tokens * facts.kv_per_token + in_window * facts.kv_in_window
    factor = KV_FACTORS.get(kv_type or "f16", 1.0) if _may_shrink(facts, flash) else 1.0
    in_pieces = flash is not False and facts.flash != "never"
    scores = BATCH * tokens * (MASK if in_pieces else F32 * (1 + facts.heads))
    return Estimate(facts.weights, round(kept * factor) + facts.fixed * slots, RUNNER + facts.work + scores)


def _may_shrink(facts: Facts, flash: bool | None) -> bool:
    return flash is not False and (facts.flash == "always" or (facts.flash == "asked" and flash is True))


def expected(facts: Facts, context: int, slots: int, kv_type: str | None, *, flash: bool | None = None) -> int:
    """Bytes, before anything was seen: the sum of `estimate`."""
    return estimate(facts, context, slots, kv_type, flash=flash).total


def need(
    facts: Facts,
    context: int,
    slots: int,
    kv_type: str | None,
    ordered_gb: float | None = None,
    seen: int | None = None,
    *,
    flash: bool | None = None,
) -> int:
    """Bytes to keep free for it: the operator's order (`memory_gb`, GiB), else what was seen, else the estimate.

    `seen` must be of a load with the same context, slots and precision. It never counts for less than the weights: a
    runner that maps its file has not touched all of it yet.
    """
    if ordered_gb is not None:
        return round(ordered_gb * GIB)
    if seen is not None:
        return max(seen, facts.weights)
    return expected(facts, context, slots, kv_type, flash=flash)


def differs(ordered_gb: float | None, seen: int | None) -> str | None:
    """A sentence of warning when the operator's `memory_gb` is more than 15 % off what was seen."""
    if ordered_gb is None or not seen or abs(ordered_gb * GIB - seen) <= TOLERANCE * seen:
        return None
    return f"models.yaml says memory_gb: {ordered_gb:g}, but it took {memory_words(seen)}. Correct or remove memory_gb."


def budget(reading: Reading, ours: int, settings: Memory) -> int:
    """Bytes that all models together may take now; `ours` is what our runners hold at this moment."""
    in_ram = max(0, ours - reading.elsewhere)
    others_in_ram = max(0, reading.total - reading.available - in_ram)
    others_there = max(0, (reading.accelerator_used or 0) - ours)
    return _budget(reading, settings, others_there, others_in_ram)


def ceiling(reading: Reading, settings: Memory) -> int:
    """Bytes that all models together could have if nobody else held any memory: what is above can never be loaded."""
    return _budget(reading, settings, 0, 0)


def _budget(reading: Reading, settings: Memory, others_there: int, others_in_ram: int) -> int:
    if settings.budget != "auto":
        return settings.budget
    most = reading.total - others_in_ram - settings.reserve
    if reading.limit is not None:
        most = min(most, int(SHARE * reading.limit) - others_there)
    return max(0, most)


def memory_words(count: float) -> str:
    """`39.1 GiB`, `812 MiB`."""
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"


def too_big_words(target: Runner, most: int) -> str:
    """Why a model can never be loaded here, with the arithmetic, and what can be done."""
    gives = f"this machine gives models {memory_words(most)} at most"
    needs = f"{target.name} needs about {memory_words(target.need)} ({_made_of(target)}) and {gives}"
    return f"{needs}: choose a smaller context_length or a smaller model."


def _made_of(target: Runner) -> str:
    parts = _parts(target)
    if parts is None:
        return "by memory_gb of models.yaml, or as it was seen"
    of = {"weights": parts.weights, "context": parts.context, "work space": parts.work}
    return ", ".join(f"{name} {memory_words(size)}" for name, size in of.items())


def _parts(target: Runner) -> Estimate | None:
    """The estimate that its need comes from; None when it comes from elsewhere."""
    for kv_type in KV_FACTORS:
        for flash in (None, True, False):
            found = estimate(target.facts, target.context, target.slots, kv_type, flash=flash)
            if found.total == target.need:
                return found
    return None


def linux_pressure(available: int, total: int, stalled: float | None) -> Pressure:
    """The level that macOS's kernel would tell; `stalled` is PSI's full avg10 in percent, None where there is none."""
    share = available / total if total else 1.0
    if share < VERY_SHORT or (stalled or 0.0) > VERY_STALLED:
        return 4
    return 2 if share < SHORT or (stalled or 0.0) > STALLED else 1


@dataclass(frozen=True, slots=True)
class Action:
    """What may be done at a level of pressure."""

    level: Pressure
    may_load: bool  # something may be loaded
    may_grant: bool  # something may be started on what is loaded
    share: float  # of each runner's slots that may be used; one always may
    unload: bool  # the least recently used one is to go now

    def slots(self, of: int) -> int:
        """Slots of a runner that may be used."""
        return max(1, int(of * self.share))


class Pressures:
    """Worse counts at once, better when it has lasted."""

    def __init__(self) -> None:
        self._level: Pressure = 1
        self._better: tuple[float, Pressure] | None = None  # since when, and the worst since then
        self._unload_at = float("-inf")

    def see(self, level: Pressure, now: float) -> Action:
        """Take in what the gauge says. Call it once a second or so."""
        self._settle(level, now)
        unload = level == 4 and now >= self._unload_at
        if unload:
            self._unload_at = now + UNLOAD_EVERY
        counts = self._level
        share = 1.0 if counts == 1 else 0.5
        return Action(counts, may_load=counts == 1, may_grant=counts < 4, share=share, unload=unload)

    def _settle(self, level: Pressure, now: float) -> None:
        if level >= self._level:
            self._level, self._better = level, None
            return
        since, worst = self._better or (now, level)
        worst = max(worst, level)
        if now - since < SETTLED:
            self._better = since, worst
        else:
            self._level = worst
            self._better = (now, level) if level < worst else None
