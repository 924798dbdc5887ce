"""What models.yaml wants of a runner. One runner may have several names, and each name its own row there. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from controller.config.models import Models, OneModel
from controller.plain import GIB, memory_words
from controller.residency.resident import Resident
from controller.spelling import full_name

TOLERANCE = 0.15  # an order that differs more from what is seen is told


@dataclass(frozen=True, slots=True)
class Wishes:
    """Of one runner: what its names ask for together. Whoever wants it longer in memory prevails."""

    keep_alive: float  # seconds; infinity: for ever
    pin: bool = False
    memory_gb: float | None = None  # GiB, as the owner states them
    load: float | None = None  # seconds that its load may take


def wishes(models: Models, names: Iterable[str]) -> Wishes:
    """What holds for the runner that has these names."""
    rows = list(_rows(models, names))
    stays = [_seconds(row.keep_alive) for row in rows if row.keep_alive is not None]
    loads = [row.times.load for row in rows if row.times.load is not None]
    sizes = [row.memory_gb for row in rows if row.memory_gb is not None]
    return Wishes(
        keep_alive=max(stays, default=_seconds(models.keep_alive)),
        pin=any(row.pin for row in rows),
        memory_gb=max(sizes, default=None),
        load=max(loads, default=None),
    )


def some_leave_at_once(models: Models) -> bool:
    """Whether any model is not to stay in memory at all once it is idle."""
    stays = [row.keep_alive for row in models.models.values() if row.keep_alive is not None]
    return any(_seconds(each) == 0 for each in (models.keep_alive, *stays))


def differs(ordered_gb: float | None, seen: int | None) -> str | None:
    """A sentence of warning when the operator's `memory_gb` is more than 15 % off what was seen."""
    if ordered_gb is None or not seen or abs(ordered_gb * GIB - seen) <= TOLERANCE * seen:
        return None
    return f"models.yaml says memory_gb: {ordered_gb:g}, but it took {memory_words(seen)}. Correct or remove memory_gb."


def preloads(models: Models) -> list[str]:
    """The names to load as soon as their engines run, in their order."""
    return [name for name, row in models.models.items() if row.preload == "at_start"]


def idle_too_long(
    table: Mapping[str, Resident], wanted: Mapping[str, Wishes], in_use: Iterable[str], now: float
) -> list[str]:
    """Keys of those that nobody has used for as long as they may stay; the longest unused first."""
    busy = set(in_use)
    late = [
        (max(row.used, row.since), key)
        for key, row in table.items()
        if key not in busy
        and not (row.pinned or row.stays)
        and max(row.used, row.since) + wanted[key].keep_alive <= now
    ]
    return [key for _, key in sorted(late)]


def _rows(models: Models, names: Iterable[str]) -> Iterator[OneModel]:
    own = {full_name(name) or name for name in names}
    return (row for name, row in models.models.items() if (full_name(name) or name) in own)


def _seconds(keep_alive: float | str) -> float:
    return math.inf if isinstance(keep_alive, str) else keep_alive
