"""From what runs to what the first page says. Pure: values in, contexts out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from controller.config.processes import TUNNEL
from controller.desk import JobView
from controller.dialect import SPOKEN
from controller.engines.settings import FETCHING
from controller.engines.settings import TITLES as ENGINES
from controller.events import Event
from controller.pages.contexts import ChildCard, ClientAddress, EventLine, Mood, Now, Tone
from controller.pages.line_view import line_card, memory_card, model_cards, notice_of
from controller.plain import count_words, moment_words, size_words, span_words
from controller.supervision.spec import ChildState, ChildStatus
from controller.views.viewer import Viewer

FIRST_MODEL = "llama3.2"  # what somebody who has none yet is told to fetch
DEMO = "demo"  # the model that can say one thing only (`controller.demo`)
JUST_NOW = 60.0  # seconds for which no span is shown: a page that counts seconds never comes to rest


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the gateway is doing at this moment."""

    streams: int  # answers being written
    held: int  # requests that wait for their engine to come back


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
    models: Sequence[Mapping[str, Any]] | None  # None while no engine can be asked
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

TITLES = {**ENGINES, TUNNEL: "Tunnel", "controller": "Seadragon", "config": "Settings"}

_COMING = "Requests that arrive now wait for it."
_HEADLINES: dict[ChildState, tuple[Mood, str, str]] = {
    ChildState.STOPPED: ("waiting", "{title} is resting", "Somebody stopped it. Start it with: seadragon start {name}"),
    ChildState.STARTING: ("waiting", "{title} is waking up", _COMING),
    ChildState.READY: ("happy", "All is well", ""),
    ChildState.UNRESPONSIVE: ("oops", "{title} does not answer", ""),
    ChildState.BACKOFF: ("waiting", "{title} is coming back", _COMING),
    ChildState.DEGRADED: ("oops", "{title} keeps failing", ""),
    ChildState.MISCONFIGURED: ("oops", "{title} needs you", ""),
    ChildState.CONFLICT: ("oops", "Something is in {title}'s way", ""),
    ChildState.OFFLINE: ("oops", "{title} is out of reach", ""),
    ChildState.WAITING: ("oops", "{title} is missing something", ""),
    ChildState.GPU_LOST: ("oops", "{title} has lost the GPU", ""),
    ChildState.STOPPING: ("waiting", "{title} is stopping", ""),
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
    return not viewer.guest or child.name in ENGINES


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


def addresses(base: str) -> tuple[ClientAddress, ...]:
    """What to enter in each kind of client, for a page that was asked for under `base` (no slash at its end)."""
    return tuple(ClientAddress(each.title, base + each.below, each.clients) for each in SPOKEN.values())


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
    engines = [child for child in children if child.name in ENGINES]
    if not engines:
        return "waiting", "Seadragon is waking up", "Nothing has been started yet."
    if ready := [engine for engine in engines if engine.state is ChildState.READY]:
        return _ready(ready, models, [child for child in children if WORDS[child.state][0] == "trouble"])
    first = engines[0]
    mood, headline, story = _HEADLINES[first.state]
    names = {"title": ENGINES[first.name], "name": first.name}
    return mood, headline.format(**names), story.format(**names) or first.reason


def _ready(
    ready: Sequence[ChildStatus], models: Sequence[Mapping[str, Any]] | None, in_trouble: Sequence[ChildStatus]
) -> tuple[Mood, str, str]:
    name = " and ".join(_with_version(engine) for engine in ready)
    verb, needs = ("are", "they need") if len(ready) > 1 else ("is", "it needs")
    if models is not None and not models:
        return "happy", "Almost there", f"{name} {verb} ready. All {needs} is a model."
    if in_trouble:
        told = " and ".join(TITLES.get(child.name, child.name) for child in in_trouble)
        return "happy", "Almost all is well", f"{name} {verb} ready for you. See below what is the matter with {told}."
    return "happy", "All is well", f"{name} {verb} ready for you."


def _with_version(engine: ChildStatus) -> str:
    version = engine.facts.get("version")
    return f"{ENGINES[engine.name]} {version}" if version else ENGINES[engine.name]


def _pull(children: Sequence[ChildStatus], models: Sequence[Mapping[str, Any]] | None) -> str:
    """Asked of an engine itself: through the gateway that takes a right of its own, which nobody has at first."""
    if any(str(model["id"]).partition(":")[0] != DEMO for model in models or ()):
        return ""
    urls = {child.name: child.url for child in children if child.url}
    return next((fetching(FIRST_MODEL, urls.get(name)) for name, fetching in FETCHING.items()), "")


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
