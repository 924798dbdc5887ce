"""From what runs to what the first page says. Pure: values in, contexts out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from controller.config.processes import TUNNEL
from controller.desk import JobView
from controller.engines.ollama.settings import OLLAMA
from controller.events import Event
from controller.pages.contexts import Address, ChildCard, EventLine, Mood, Now, Tone
from controller.pages.line_view import line_card, memory_card, model_cards, notice_of
from controller.plain import count_words, moment_words, size_words, span_words
from controller.supervision.spec import ChildState, ChildStatus
from controller.views.viewer import Viewer

DEMO = "demo"  # the model that can say one thing only (`controller.demo`)
JUST_NOW = 60.0  # seconds for which no span is shown: a page that counts seconds never comes to rest


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the gateway is doing at this moment."""

    streams: int  # answers being written
    held: int  # requests that wait for Ollama to come back


@dataclass(frozen=True, slots=True)
class Moment:
    """Everything the page shows, as it is at one moment; `at` and all times are seconds since the epoch."""

    at: float
    phase: str
    problems: Sequence[str]
    children: Sequence[ChildStatus]
    traffic: Traffic
    queue: Mapping[str, Any]
    memory: Mapping[str, Any]
    models: Sequence[Mapping[str, Any]] | None  # None while Ollama cannot be asked
    events: Sequence[Event]  # oldest first


WORDS: dict[ChildState, tuple[Tone, str]] = {
    ChildState.STOPPED: ("off", "stopped"),
    ChildState.STARTING: ("wait", "starting"),
    ChildState.READY: ("ok", "ready"),
    ChildState.UNRESPONSIVE: ("trouble", "not answering"),
    ChildState.BACKOFF: ("wait", "starts again soon"),
    ChildState.DEGRADED: ("trouble", "keeps failing"),
    ChildState.MISCONFIGURED: ("trouble", "needs you"),
    ChildState.CONFLICT: ("trouble", "in conflict"),
    ChildState.OFFLINE: ("wait", "offline"),
    ChildState.WAITING: ("trouble", "waiting"),
    ChildState.GPU_LOST: ("trouble", "without its GPU"),
    ChildState.STOPPING: ("wait", "stopping"),
}

TITLES = {OLLAMA: "Ollama", TUNNEL: "Tunnel", "controller": "Seadragon", "config": "Settings"}

_COMING = "Requests that arrive now wait for it."
_HEADLINES: dict[ChildState, tuple[Mood, str, str]] = {
    ChildState.STOPPED: ("waiting", "Ollama is resting", "Somebody stopped it. Start it with: seadragon start ollama"),
    ChildState.STARTING: ("waiting", "Ollama is waking up", _COMING),
    ChildState.READY: ("happy", "All is well", ""),
    ChildState.UNRESPONSIVE: ("oops", "Ollama does not answer", ""),
    ChildState.BACKOFF: ("waiting", "Ollama is coming back", _COMING),
    ChildState.DEGRADED: ("oops", "Ollama keeps failing", ""),
    ChildState.MISCONFIGURED: ("oops", "Ollama needs you", ""),
    ChildState.CONFLICT: ("oops", "Something is in Ollama's way", ""),
    ChildState.OFFLINE: ("oops", "Ollama is out of reach", ""),
    ChildState.WAITING: ("oops", "Ollama is missing something", ""),
    ChildState.GPU_LOST: ("oops", "Ollama has lost the GPU", ""),
    ChildState.STOPPING: ("waiting", "Ollama is stopping", ""),
}

_LEVEL_TONES: dict[str, Tone] = {"info": "ok", "warning": "wait", "error": "trouble"}


def now_seen(moment: Moment, viewer: Viewer, job: JobView | None = None) -> Now:
    """The live part of the page, for one person. `job` is what they ordered last."""
    children, models = moment.children, moment.models
    mood, headline, story = (_to_guests if viewer.guest else _headline)(moment.phase, children, models)
    return Now(
        mood=mood,
        headline=headline,
        story=story,
        safe=moment.phase == "safe",
        problems=() if viewer.guest else tuple(moment.problems),
        children=tuple(_child(child, moment.at, story, viewer) for child in children if _known(child, viewer)),
        streams=moment.traffic.streams,
        held=moment.traffic.held,
        line=line_card(moment.queue, viewer),
        memory=memory_card(moment.memory, viewer),
        order=None if job is None else notice_of(job),
        guest=viewer.guest,
        may_manage=viewer.manage,
        models=None if models is None else model_cards(models, viewer),
        pull="" if viewer.guest else _pull(children, models),
        events=() if viewer.guest else tuple(_event(event, moment.at) for event in reversed(moment.events)),
    )


def _known(child: ChildStatus, viewer: Viewer) -> bool:
    """What else the house runs is nothing to guests."""
    return not viewer.guest or child.name == OLLAMA


def _to_guests(
    phase: str, children: Sequence[ChildStatus], models: Sequence[Mapping[str, Any]] | None
) -> tuple[Mood, str, str]:
    """How things are, without why: that may name a folder, a setting, or what else runs here."""
    mood, headline, _ = _headline(phase, children, models)
    if phase in ("draining", "stopping"):
        return mood, headline, "Answers that have begun are finished first."
    if mood == "oops":
        return "oops", "The models cannot be reached", "Whoever runs this server can see why."
    if mood == "waiting":
        return "waiting", "One moment", "The models are coming. Requests that arrive now wait for them."
    return "happy", "All is well", "The models are ready for you."


def addresses(base: str) -> tuple[Address, ...]:
    """What to enter in each kind of client, for a page that was asked for under `base` (no slash at its end)."""
    return (
        Address("Ollama", base, "Cline, Roo Code, Continue, Open WebUI, the ollama command"),
        Address("OpenAI", f"{base}/v1", "the OpenAI libraries, n8n, Flowise"),
        Address("Anthropic", base, "the Anthropic libraries, Claude Code"),
    )


def _headline(
    phase: str, children: Sequence[ChildStatus], models: Sequence[Mapping[str, Any]] | None
) -> tuple[Mood, str, str]:
    if phase == "safe":
        return (
            "oops",
            "The settings need you",
            "Nothing was started, because no configuration could be read. Put it right and save: it is read at once.",
        )
    if phase in ("draining", "stopping"):
        return "waiting", "Seadragon is leaving", "Answers that have begun are finished first."
    ollama = next((child for child in children if child.name == OLLAMA), None)
    if ollama is None:
        return "waiting", "Seadragon is waking up", "Nothing has been started yet."
    mood, headline, story = _HEADLINES[ollama.state]
    if ollama.state is ChildState.READY:
        return _ready(ollama, models, [child for child in children if WORDS[child.state][0] == "trouble"])
    return mood, headline, story or ollama.reason


def _ready(
    ollama: ChildStatus, models: Sequence[Mapping[str, Any]] | None, in_trouble: Sequence[ChildStatus]
) -> tuple[Mood, str, str]:
    version = ollama.facts.get("version")
    name = f"Ollama {version}" if version else "Ollama"
    if models is not None and not models:
        return "happy", "Almost there", f"{name} is ready. All it needs is a model."
    if in_trouble:
        told = " and ".join(TITLES.get(child.name, child.name) for child in in_trouble)
        return "happy", "Almost all is well", f"{name} is ready for you. See below what is the matter with {told}."
    return "happy", "All is well", f"{name} is ready for you."


def _pull(children: Sequence[ChildStatus], models: Sequence[Mapping[str, Any]] | None) -> str:
    """To Ollama itself: through the gateway that takes a right of its own, which nobody has at first."""
    if any(str(model["id"]).partition(":")[0] != DEMO for model in models or ()):
        return ""
    url = next((child.url for child in children if child.name == OLLAMA and child.url), None)
    return f"OLLAMA_HOST={url} ollama pull llama3.2" if url else "ollama pull llama3.2"


def _child(child: ChildStatus, now: float, story: str, viewer: Viewer) -> ChildCard:
    tone, word = WORDS[child.state]
    age = now - child.since
    version = child.facts.get("version")
    facts = (
        f"version {version}" if version else "",
        f"process {child.pid}" if child.pid else "",
        count_words(child.restarts, "restart"),
        f"{size_words(child.memory)} of memory" if child.memory else "",
        f"next try in {span_words(child.retry_in)}" if child.retry_in else "",
        "taken over from an earlier run" if child.adopted else "",
    )
    return ChildCard(
        name=child.name,
        title=TITLES.get(child.name, child.name),
        tone=tone,
        word=word,
        span=span_words(age) if age >= JUST_NOW else "",
        reason="" if viewer.guest or child.state is ChildState.READY or child.reason == story else child.reason,
        facts=() if viewer.guest else tuple(fact for fact in facts if fact),
    )


def _event(event: Event, now: float) -> EventLine:
    return EventLine(
        at=moment_words(event.at, now),
        moment=datetime.fromtimestamp(event.at, UTC).isoformat(timespec="seconds"),
        tone=_LEVEL_TONES[event.level],
        source=TITLES.get(event.source, event.source),
        text=event.text,
    )
