"""From the line, the models and the memory to what the first page says of them. Pure: values in, contexts out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from controller.desk import JobView
from controller.line_words import (
    EVERYTHING,
    PRESSURES,
    STATES,
    estimate_words,
    gb_words,
    lane_words,
    loaded_first,
    why_words,
)
from controller.orders.table import BUTTONS
from controller.pages.contexts import (
    LineCard,
    MemoryCard,
    ModelCard,
    OrderButton,
    OrderNotice,
    Part,
    PartKind,
    TicketRow,
    Tone,
)
from controller.plain import count_words, span_words
from controller.views.running import models_seen, queue_seen
from controller.views.viewer import Viewer

ROWS = 40  # tickets on the page
_ANOTHER = "another model"
IDLE = 60.0  # seconds for which a model is not called idle: a page that counts seconds never comes to rest

_TONES: dict[str, Tone] = {
    "away": "off",
    "loading": "wait",
    "resident": "ok",
    "leaving": "wait",
    "quarantined": "trouble",
}
_JOBS: dict[str, tuple[Tone, str]] = {
    "running": ("wait", "under way"),
    "done": ("ok", "done"),
    "failed": ("trouble", "failed"),
}


def line_card(queue: Mapping[str, Any], viewer: Viewer) -> LineCard:
    """The line, without the names of others for who may not manage."""
    seen = queue_seen(queue, viewer)
    rows = tuple(_row(ticket, manage=viewer.manage) for ticket in seen["tickets"][:ROWS])
    return LineCard(
        waiting=queue["waiting"],
        rows=rows,
        more=_more(len(seen["tickets"]) - len(rows), seen["others"]),
        paused=tuple(seen["paused"]),
        buttons=tuple(_line_buttons(seen["paused"])) if viewer.manage else (),
    )


def _row(ticket: Mapping[str, Any], *, manage: bool) -> TicketRow:
    runs = ticket["state"] == "granted"
    return TicketRow(
        number=ticket["number"],
        place="now" if runs else str(ticket["position"]),
        runs=runs,
        who=ticket["caller"],
        lane=lane_words(ticket["lane"]),
        model=ticket["model"],
        waited=span_words(ticket["waited_seconds"]),
        estimate="" if runs else estimate_words(ticket["estimate_seconds"]),
        why=why_words(ticket),
        cancel=_cancel(ticket) if manage else None,
    )


def _cancel(ticket: Mapping[str, Any]) -> OrderButton:
    return _button("cancel", str(ticket["number"]), f"request {ticket['number']} of {ticket['caller']}")


def _more(own: int, others: Mapping[str, int]) -> str:
    counts = (
        f"{own} more" if own else "",
        f"{count_words(others['running'], 'other')} being answered" if others["running"] else "",
        f"{count_words(others['waiting'], 'other')} waiting" if others["waiting"] else "",
    )
    return ", ".join(count for count in counts if count)


def _line_buttons(paused: Sequence[str]) -> Iterator[OrderButton]:
    if EVERYTHING not in paused:
        yield _button("pause", "", "the line")
    if paused:
        yield _button("resume", "", "the line")


def _button(name: str, value: str, about: str) -> OrderButton:
    _, way = BUTTONS[name]
    return OrderButton(name, value, way.label, about)


def model_cards(models: Sequence[Mapping[str, Any]], viewer: Viewer) -> tuple[ModelCard, ...]:
    """Every model that exists for them, what is loaded first."""
    loaded = any(model["state"] == "resident" for model in models)
    return tuple(_model(model, loaded, viewer) for model in loaded_first(models_seen(models, viewer)))


def _model(model: Mapping[str, Any], loaded: bool, viewer: Viewer) -> ModelCard:
    state = model["state"]
    return ModelCard(
        name=model["id"],
        anchor=f"model-{model['id']}",
        tone=_TONES.get(state, "off"),
        word=STATES.get(state, state) + (", pinned" if model["pinned"] else ""),
        facts=tuple(fact for fact in _facts(model) if fact),
        error=model["last_error"] if state in ("away", "quarantined") else "",
        buttons=tuple(_buttons(model, loaded)) if viewer.manage else (),
    )


def _facts(model: Mapping[str, Any]) -> Iterator[str]:
    memory, expected, size = (gb_words(model[name]) for name in ("memory_gb", "expected_gb", "size_gb"))
    beside = f", and up to {gb_words(model['cache_gb'])} for conversations it keeps" if model["cache_gb"] else ""
    yield f"{memory} of memory{beside}" if memory else f"needs about {expected} of memory{beside}" if expected else ""
    yield f"{size} on disk" if size else ""
    yield f"{model['tokens_per_second']:.0f} tokens a second" if model["tokens_per_second"] else ""
    if model["state"] != "resident" and model["load_seconds"]:
        yield f"loads in {span_words(max(1.0, model['load_seconds']))}"
    yield f"{model['running']} being answered" if model["running"] else ""
    yield f"{model['waiting']} waiting" if model["waiting"] else ""
    idle = model["idle_seconds"]
    yield f"idle for {span_words(idle)}" if idle is not None and idle >= IDLE and not model["running"] else ""


def _buttons(model: Mapping[str, Any], loaded: bool) -> Iterator[OrderButton]:
    name, state = model["id"], model["state"]
    if state in ("away", "quarantined"):
        yield _button("load", name, name)
        if loaded:
            yield _button("switch", name, f": {name}")
    if state == "resident":
        yield _button("unload", name, name)
    if state in ("resident", "loading") and not model["pinned"]:
        yield _button("pin", name, name)
    if model["pinned"]:
        yield _button("unpin", name, name)


def memory_card(memory: Mapping[str, Any], viewer: Viewer) -> MemoryCard | None:
    """The budget as a bar, and the rest in words."""
    if memory["total_gb"] is None or memory["budget_gb"] is None:
        return None
    words = (
        f"{gb_words(memory['total_gb'])} in this machine, {gb_words(memory['available_gb'])} of it free. "
        f"Models may take {gb_words(memory['budget_gb'])}"
    )
    words += f", and their conversations {gb_words(memory['cache_gb'])} more." if memory["cache_gb"] else "."
    return MemoryCard(tuple(_parts(memory, viewer)), words, _trouble(memory))


def _parts(memory: Mapping[str, Any], viewer: Viewer) -> Iterator[Part]:
    """One part for each loaded model, one for what is promised but not listed, and what is left."""
    sizes: list[tuple[PartKind, str, float]] = [
        ("model", name if viewer.sees(name) else _ANOTHER, gb) for name, gb in memory["models_loaded"].items()
    ]
    promised = (memory["taken_gb"] or 0.0) - sum(gb for _, _, gb in sizes)
    if promised > 0.05:
        sizes.append(("coming", "being loaded", promised))
    left = max(0.0, memory["budget_gb"] - sum(gb for _, _, gb in sizes))
    sizes.append(("free", "room", left))
    whole = max(sum(gb for _, _, gb in sizes), 0.001)
    at = 0.0
    for kind, name, gb in sizes:
        yield Part(kind, _percent(at), _percent(100 * gb / whole), f"{name}: {gb_words(gb)}")
        at += 100 * gb / whole


def _percent(share: float) -> str:
    return f"{max(0.0, min(share, 100.0)):.2f}%"


def _trouble(memory: Mapping[str, Any]) -> str:
    told = "" if memory["may_load"] else memory["why"]
    if memory["pressure"] in (None, 1):
        return told
    return f"Memory pressure is {PRESSURES.get(memory['pressure'], memory['pressure'])}. {told}".strip()


def notice_of(job: JobView) -> OrderNotice:
    """How an order goes."""
    tone, word = _JOBS[job.state]
    touched = f" Requests it touched, waiting or being answered: {job.touched}." if job.touched else ""
    return OrderNotice(tone, word, f"{job.text}{touched}")
