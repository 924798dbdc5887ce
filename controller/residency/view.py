"""Models and memory as people and programs are shown them. Sizes are GiB, as `memory_gb` of models.yaml is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from controller.engines.engine import ListedModel
from controller.engines.runner import Runner
from controller.residency.learned import Learned
from controller.residency.memory import Budget, Reading
from controller.residency.resident import Presence, Resident, Table
from controller.scheduling.ticket import Ticket

GIB = 2**30
_NOTHING = Learned()


def gib(size: float | None) -> float | None:
    """`size` bytes in GiB, to three digits behind the point."""
    return None if size is None else round(size / GIB, 3)


def models_document(
    installed: Iterable[ListedModel],
    runner_of: Callable[[str], Runner | None],
    table: Table,
    waiting: Iterable[Ticket],
    running: Iterable[Ticket],
    quarantined: Callable[[str], bool],
    learned: Mapping[str, Learned],
    now: float,
) -> list[dict[str, Any]]:
    """Each model as an OpenAI list shows it, with our fields. `now` is monotonic."""
    waits, runs = Counter(each.runner.key for each in waiting), Counter(each.runner.key for each in running)
    found = []
    for each in installed:
        runner = runner_of(each.name)
        entry = {
            "id": each.name,
            "object": "model",
            "created": each.created,
            "owned_by": _owner(each.name),
            "size_gb": gib(each.size),
        }
        if runner is None:
            found.append({**entry, **_state(None, _NOTHING, "away", 0.0), "waiting": 0, "running": 0})
            continue
        key, row = runner.key, table.get(runner.key)
        state = row.presence.value if row is not None else "quarantined" if quarantined(key) else "away"
        own = _state(row, learned.get(key, _NOTHING), state, now)
        needs = {"expected_gb": gib(runner.need), "cache_gb": gib(runner.cache)}
        shared = {"runner": key, **needs, "waiting": waits[key], "running": runs[key]}
        found.append({**entry, **own, **shared})
    return found


def _state(row: Resident | None, learned: Learned, state: str, now: float) -> dict[str, Any]:
    idle = row is not None and row.presence is Presence.RESIDENT
    return {
        "state": state,
        "runner": None,
        "memory_gb": gib(row.taken) if row is not None else None,
        "expected_gb": None,
        "cache_gb": None,
        "loads": learned.loads,
        "load_seconds": _round(learned.load_seconds),
        "tokens_per_second": _round(learned.tokens_rate),
        "crashes": learned.crashes,
        "last_error": learned.last_error,
        "pinned": row is not None and row.pinned,
        "idle_seconds": round(max(0.0, now - row.used), 1) if idle and row is not None else None,
    }


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _owner(name: str) -> str:
    """Whose model it is, as the native /v1/models says: the part before the last slash."""
    return name.split("/")[-2] if "/" in name else "library"


def memory_document(
    reading: Reading | None,
    budget: Budget | None,
    table: Table,
    names_of: Callable[[str], list[str]],
    *,
    may_load: bool,
    may_grant: bool,
) -> dict[str, Any]:
    """What there is, what models may have of it beside the conversations that are kept, what they have. A load counts
    from when its room is free; until then it is theirs who leave.
    """
    rows = [row for row in table.values() if not row.waits]
    loaded = [row for row in rows if row.presence is not Presence.LOADING]
    return {
        "total_gb": gib(reading.total) if reading is not None else None,
        "available_gb": gib(reading.available) if reading is not None else None,
        "budget_gb": gib(budget.models(rows)) if budget is not None else None,
        "taken_gb": gib(sum(row.taken for row in rows)),
        "cache_gb": gib(sum(row.cache for row in rows)),
        "pressure": reading.pressure if reading is not None else None,
        "models_loaded": {(names_of(row.runner.key) or [row.runner.name])[0]: gib(row.taken) for row in loaded},
        "may_load": may_load,
        "why": _why(reading, may_load=may_load, may_grant=may_grant),
    }


def _why(reading: Reading | None, *, may_load: bool, may_grant: bool) -> str:
    if reading is None:
        return "The memory has not been measured yet."
    if not may_grant:
        return "Memory is critical: nothing new is begun, and what is not needed is unloaded."
    return "" if may_load else "Memory is short: a model is loaded only where more leaves for it than it takes."
