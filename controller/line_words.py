"""The line, the models and the memory in words: for the terminal and the pages. Pure.

The documents are those of `controller.desk`: `queue()`, `models()`, `memory()`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from controller.listing import Listing
from controller.plain import printable, span_words

PRESSURES = {1: "normal", 2: "high", 4: "critical"}
STATES = {
    "away": "not loaded",
    "loading": "loading",
    "resident": "loaded",
    "leaving": "leaving",
    "quarantined": "set aside",
}
WHYS = {
    "free": "nobody else waited",
    "turn": "it was its turn",
    "overtook": "its model was loaded already",
    "loaded": "its model has just been loaded",
}
EVERYTHING = "everything"  # in the list of what is paused …
_LANE = "lane "  # … before a lane's number; the rest are models, whose names have no spaces
_COLOURS = {"resident": "green", "loading": "yellow", "leaving": "yellow", "quarantined": "red"}
_MODELS = ("MODEL", "STATE", "MEMORY", "LOADS", "TOKENS/S", "")
_LINE = ("#", "NUMBER", "WHO", "LANE", "MODEL", "WAITED", "ABOUT", "WHY")
_NUMBERS = ("MEMORY", "LOADS", "TOKENS/S", "#", "NUMBER", "LANE", "WAITED", "ABOUT")


def paused_seen(paused: Sequence[str], sees: Callable[[str], bool]) -> list[str]:
    """What is paused, without the models that `sees` says no to."""
    return [each for each in paused if each == EVERYTHING or each.startswith(_LANE) or sees(each)]


def gb_words(gb: float | None) -> str:
    """`31 GB`, `2.4 GB`, `0.04 GB`; empty when nobody knows."""
    if gb is None:
        return ""
    return f"{gb:.0f} GB" if gb >= 9.95 else f"{gb:.1f} GB" if gb >= 0.095 or not gb else f"{gb:.2g} GB"


def lane_words(lane: float) -> str:
    """`1`, `2.5`."""
    return f"{lane:g}"


def estimate_words(seconds: float | None) -> str:
    """How long it will be: `about 40 s`; empty when nobody knows."""
    return "" if seconds is None else f"about {span_words(max(1.0, seconds))}"


def why_words(ticket: Mapping[str, Any]) -> str:
    """Why it waits or, of one that runs, why it was let through."""
    if ticket["state"] == "waiting":
        return str(ticket.get("hold") or "")
    return WHYS.get(str(ticket.get("why")), str(ticket.get("why") or ""))


def line_words(line: Mapping[str, Any]) -> str:
    """The whole line in one line, from what `seadragon status` is told."""
    words = f"{line['waiting'] or 'nobody'} waiting, {line['running'] or 'none'} being answered"
    paused = ", ".join(map(printable, line["paused"]))
    return f"{words}; paused: {paused}" if paused else words


def memory_words(memory: Mapping[str, Any]) -> str:
    """What is taken of how much, and what the matter is if something is."""
    if memory.get("total_gb") is None:
        return "not measured yet"
    taken = gb_words(memory["taken_gb"]) if memory["taken_gb"] else "nothing"
    budget = memory["budget_gb"]
    words = f"models have {taken}" if budget is None else f"{gb_words(budget)} for models, {taken} of it taken"
    if memory.get("cache_gb"):
        words += f", {gb_words(memory['cache_gb'])} more for their conversations"
    words += f"; {gb_words(memory['available_gb'])} of {gb_words(memory['total_gb'])} free"
    if memory["pressure"] != 1:
        words += f", pressure {PRESSURES.get(memory['pressure'], memory['pressure'])}"
    return words if memory["may_load"] else f"{words}. {memory['why']}"


def loaded_words(memory: Mapping[str, Any]) -> str:
    """`qwen3 (3.1 GB), llama3.2 (2.0 GB)`, or `none`."""
    loaded = memory.get("models_loaded") or {}
    return ", ".join(f"{printable(name)} ({gb_words(gb)})" for name, gb in loaded.items()) or "none"


def loaded_first(models: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What is in memory or on its way, then the others, each by name."""
    return sorted(models, key=lambda model: (model["state"] in ("away", "quarantined"), model["id"]))


def model_table(models: Sequence[Mapping[str, Any]]) -> Listing:
    """What is installed."""
    ordered = loaded_first(models)
    colours = [_COLOURS.get(model["state"]) for model in ordered]
    none = "There is no model yet. To make a tiny one: seadragon demo"
    return Listing(_MODELS, [_model(model) for model in ordered], colours, 1, _NUMBERS, none)


def _model(model: Mapping[str, Any]) -> tuple[str, ...]:
    state = STATES.get(model["state"], str(model["state"])) + (", pinned" if model["pinned"] else "")
    memory = gb_words(model["memory_gb"]) if model["memory_gb"] is not None else gb_words(model["expected_gb"])
    expected = "~" if memory and model["memory_gb"] is None else ""
    cache = f" + {gb_words(model['cache_gb'])}" if memory and model.get("cache_gb") else ""
    speed = model["tokens_per_second"]
    return (
        model["id"],
        state,
        f"{expected}{memory}{cache}",
        str(model["loads"]),
        "" if speed is None else f"{speed:.1f}",
        model["last_error"],
    )


def queue_table(queue: Mapping[str, Any]) -> Listing:
    """Who is in the line: those that run first, then by position."""
    tickets = queue["tickets"]
    colours = ["green" if ticket["state"] == "granted" else None for ticket in tickets]
    return Listing(_LINE, [_ticket(ticket) for ticket in tickets], colours, 0, _NUMBERS)


def _ticket(ticket: Mapping[str, Any]) -> tuple[str, ...]:
    waits = ticket["state"] == "waiting"
    return (
        str(ticket["position"]) if waits else "now",
        str(ticket["number"]),
        ticket["caller"],
        lane_words(ticket["lane"]),
        ticket["model"],
        span_words(ticket["waited_seconds"]),
        estimate_words(ticket["estimate_seconds"]).removeprefix("about ") if waits else "",
        why_words(ticket),
    )
