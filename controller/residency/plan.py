"""Which models must leave before another is loaded: as few as possible, and the memory never promised twice. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from controller.engines.runner import Runner
from controller.plain import memory_words
from controller.residency.memory import Budget, need_words
from controller.residency.resident import Fits, NoRoom, Plan, Presence, Resident, Table, TooBig


def plan(
    target: Runner,
    table: Table,
    candidates: Sequence[str],
    budget: Budget,
    max_loaded: int,
    *,
    most: Budget | None = None,
    freed: int | None = None,
) -> Plan:
    """How `target` can be loaded.

    `candidates` are keys of runners that may leave, best victim first; `budget` is what all models may take now, and
    `most` what they could if nobody else held memory (`memory.ceiling`; None: the budget). A row counts for what it is
    promised until it is gone, also while it loads or leaves. Another runner of the same weights always has to go.

    `freed`: memory is short, and so many bytes of it have been freed for this load already. Then more must leave for it
    than it will ever take, so that it ends with more free memory than there was. None: memory is not short.
    """
    if target.key in table:
        leaves = table[target.key].presence is Presence.LEAVING
        return NoRoom(f"{target.name} is just being unloaded.") if leaves else Fits()
    now, highest = budget.holds((), target), budget if most is None else most
    if not now and not highest.holds((), target):
        return TooBig(too_big_words(target, highest))
    if not now:
        leave = f"other programs leave {memory_words(budget.models(()))} for models at the moment"
        return NoRoom(f"{target.name} needs {need_words(target)} and {leave}.")

    def fits(gone: Iterable[str]) -> bool:
        stay = [row for key, row in table.items() if key not in gone]
        left = [row for key, row in table.items() if key in gone]
        alone = all(row.runner.blob != target.blob for row in stay)
        more = freed is None or target.need + target.cache < freed + sum(row.taken for row in left)
        roomy = budget.holds(stay, target) and budget.lets_stay(stay, left, target)
        return alone and more and roomy and len(stay) < max_loaded

    may_go = [key for key in candidates if _may_go(table.get(key))]
    if not fits(may_go):
        return _no_room(target, table, fits, short=freed is not None)
    return Fits(_fewest(may_go, fits))


def too_big_words(target: Runner, most: Budget) -> str:
    """Why a model can never be loaded here, with the arithmetic, and what can be done."""
    gives = f"this machine gives models {memory_words(most.models(()))} at most"
    choose = " or ".join(["a smaller context_length", *(["a smaller prompt_cache"] if target.cache else [])])
    return f"{target.name} needs about {need_words(target)} and {gives}: choose {choose} or a smaller model."


def _may_go(row: Resident | None) -> bool:
    return row is not None and row.presence is Presence.RESIDENT and not row.pinned


def _fewest(may_go: Sequence[str], fits: Callable[[Iterable[str]], bool]) -> tuple[str, ...]:
    """The best victims that suffice, without any whose leaving changes nothing."""
    chosen = next(list(may_go[:count]) for count in range(len(may_go) + 1) if fits(may_go[:count]))
    for key in reversed(chosen.copy()):
        if fits(rest := [each for each in chosen if each != key]):
            chosen = rest
    return tuple(chosen)


def _no_room(target: Runner, table: Table, fits: Callable[[Iterable[str]], bool], *, short: bool) -> NoRoom:
    pinned = sorted(row.runner.name for row in table.values() if row.pinned)
    if pinned and not short and not fits([key for key, row in table.items() if not row.pinned]):
        stay = "is pinned and leaves" if len(pinned) == 1 else "are pinned and leave"
        return NoRoom(f"{' and '.join(pinned)} {stay} no room for {target.name}.", pinned=True)
    others = sorted(row.runner.name for row in table.values() if not row.pinned)
    if short:
        return NoRoom(f"Memory is short: {target.name} is loaded once that is over, or when more leaves for it.")
    return NoRoom(f"{target.name} fits once {' or '.join(others)} can leave.")
