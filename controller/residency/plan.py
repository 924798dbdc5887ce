"""Which models must leave before another is loaded: as few as possible, and the memory never promised twice. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from controller.residency.memory import memory_words, too_big_words
from controller.residency.runner import Fits, NoRoom, Plan, Presence, Resident, Runner, Table, TooBig


def plan(
    target: Runner, table: Table, candidates: Sequence[str], budget: int, max_loaded: int, *, most: int | None = None
) -> Plan:
    """How `target` can be loaded.

    `candidates` are keys of runners that may leave, best victim first; `budget` is what all models may take now, and
    `most` what they could if nobody else held memory (`memory.ceiling`; None: the budget). A row counts for what it has
    taken until it is gone, also while it loads or leaves. Another runner of the same weights always has to go.
    """
    if target.key in table:
        leaves = table[target.key].presence is Presence.LEAVING
        return NoRoom(f"{target.name} is just being unloaded.") if leaves else Fits()
    if target.need > (budget if most is None else max(most, budget)):
        return TooBig(too_big_words(target, budget if most is None else max(most, budget)))
    if target.need > budget:
        needs = f"{target.name} needs {memory_words(target.need)}"
        return NoRoom(f"{needs} and other programs leave {memory_words(budget)} for models at the moment.")

    def fits(gone: Iterable[str]) -> bool:
        stay = [row for key, row in table.items() if key not in gone]
        taken = sum(row.taken for row in stay)
        alone = all(row.runner.blob != target.blob for row in stay)
        return alone and taken + target.need <= budget and len(stay) < max_loaded

    may_go = [key for key in candidates if _may_go(table.get(key))]
    if not fits(may_go):
        return _no_room(target, table, fits)
    return Fits(_fewest(may_go, fits))


def _may_go(row: Resident | None) -> bool:
    return row is not None and row.presence is Presence.RESIDENT and not row.pinned


def _fewest(may_go: Sequence[str], fits: Callable[[Iterable[str]], bool]) -> tuple[str, ...]:
    """The best victims that suffice, without any whose leaving changes nothing."""
    chosen = next(list(may_go[:count]) for count in range(len(may_go) + 1) if fits(may_go[:count]))
    for key in reversed(chosen.copy()):
        if fits(rest := [each for each in chosen if each != key]):
            chosen = rest
    return tuple(chosen)


def _no_room(target: Runner, table: Table, fits: Callable[[Iterable[str]], bool]) -> NoRoom:
    pinned = sorted(row.runner.name for row in table.values() if row.pinned)
    if pinned and not fits([key for key, row in table.items() if not row.pinned]):
        stay = "is pinned and leaves" if len(pinned) == 1 else "are pinned and leave"
        return NoRoom(f"{' and '.join(pinned)} {stay} no room for {target.name}.", pinned=True)
    others = sorted(row.runner.name for row in table.values() if not row.pinned)
    return NoRoom(f"{target.name} fits once {' or '.join(others)} can leave.")
