"""The line, the models and the memory as somebody may see them. Pure.

The documents are those of `controller.desk`: `queue()`, `models()`, `memory()`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from controller.line_words import paused_seen
from controller.views.viewer import Onlooker

_FAILED: Final = "It could not be loaded the last time."
"""To a guest, instead of what went wrong inside."""


def queue_seen(queue: Mapping[str, Any], who: Onlooker) -> dict[str, Any]:
    """The line: who may not manage is told of others only how many they are, and models that do not exist for `who` are
    not named at all.

    Of a long line the document names only the first: the rest are among the `others` too.
    """
    mine = (each for each in queue["tickets"] if who.manage or each["caller_id"] == who.identity)
    own = [each for each in mine if who.sees(each["model"])]
    waiting = sum(ticket["state"] == "waiting" for ticket in own)
    others = {"waiting": queue["waiting"] - waiting, "running": queue["running"] - (len(own) - waiting)}
    return {**queue, "tickets": own, "others": others, "paused": paused_seen(queue["paused"], who.sees)}


def models_seen(models: Iterable[Mapping[str, Any]], who: Onlooker) -> list[dict[str, Any]]:
    """Every model that exists for `who`; a guest is not told what went wrong inside."""
    seen = [dict(model) for model in models if who.sees(model["id"])]
    return [{**model, "last_error": _FAILED if model["last_error"] else ""} for model in seen] if who.guest else seen


def memory_seen(memory: Mapping[str, Any], who: Onlooker) -> dict[str, Any]:
    """The memory, without the models that do not exist for `who`."""
    loaded = {name: gb for name, gb in memory.get("models_loaded", {}).items() if who.sees(name)}
    return {**memory, "models_loaded": loaded}
