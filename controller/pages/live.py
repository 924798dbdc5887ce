"""The live part of the first page: the same templates, rendered again when something may have changed.

However many people look, it is rendered at most once every `EAGAIN` seconds; each of them is sent what has changed
since the last time. Pages must never be felt by the data plane, which shares the event loop with them.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any

from jinja2 import Environment

from controller.desk import Desk, JobView
from controller.engines.settings import TITLES
from controller.errors import Unreachable
from controller.events import Event
from controller.pages.contexts import Now
from controller.pages.view import Moment, Traffic, now_seen
from controller.supervision.spec import ChildState
from controller.views.viewer import Viewer

PARTS = ("dots", "hello", "notices", "order", "line", "models", "children", "traffic", "memory", "events")
PERSONAL = ("order", "line", "models")  # not everybody sees the same of these
EAGAIN = 0.25  # seconds a rendering is good for
TICK = 1.0  # seconds between two looks when nothing is told to us
SILENCE = 15.0  # seconds after which a quiet stream shows that it lives
VIEWERS = 32  # streams at a time …
KEPT = 8  # … of which so many are for those who manage …
SHARE = 8  # … and so many for one caller: pages open in as many tabs
EVENTS = 14
MODELS_FOR = 1.0  # seconds a list of models is good for
ASKING = 1.0  # seconds it may take; the page goes on with the last one


class Watchers:
    """Whose streams are open: each caller has a share, and some places are kept for those who manage."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def enter(self, caller: str, *, manages: bool) -> bool:
        """One more of `caller`. False, and not counted, when there is no place."""
        most = VIEWERS if manages else VIEWERS - KEPT
        if self._counts.total() >= most or self._counts[caller] >= SHARE:
            return False
        self._counts[caller] += 1
        return True

    def leave(self, caller: str) -> None:
        """A stream that was let in has ended."""
        self._counts[caller] -= 1
        if not self._counts[caller]:
            del self._counts[caller]


class Live:
    """What is to be seen now, and the streams of those who watch."""

    def __init__(
        self,
        desk: Desk,
        templates: Environment,
        *,
        traffic: Callable[[], Traffic],
        edition: str,
        tick: float = TICK,
    ) -> None:
        self.watchers = Watchers()
        self._desk = desk
        self._templates = {name: templates.get_template(f"live/{name}.html") for name in PARTS}
        self._traffic = traffic
        self._edition = edition
        self._tick = tick
        self._models: Sequence[Mapping[str, Any]] | None = None
        self._models_until = 0.0
        self._moment: Moment | None = None
        self._moment_until = 0.0
        self._shared: dict[str, str] = {}
        self._personal: dict[tuple[Viewer, str], dict[str, str]] = {}

    async def now(self, viewer: Viewer, order: str) -> Now:
        """What `viewer` is to see at this moment. `order` is the id of what they ordered last; "": nothing."""
        return now_seen(await self._look(), viewer, self._job(viewer, order))

    async def stream(self, viewer: Viewer, order: str) -> AsyncIterator[str]:
        """Server-sent events: which edition the page should be of, then each part when it has changed.

        Ends when the controller begins to leave, so that no page holds up its drain; browsers come back by themselves.
        """
        yield f"retry: 2000\nevent: edition\ndata: {self._edition}\n\n"
        async for chunk in self._changes(viewer, order):
            yield chunk

    async def _changes(self, viewer: Viewer, order: str) -> AsyncIterator[str]:
        sent: dict[str, str] = {}
        quiet_since = time.monotonic()
        with self._desk.journal.subscribe() as events:
            while True:
                parts = await self._rendered(viewer, order)
                changed = {name: html for name, html in parts.items() if sent.get(name) != html}
                if changed:
                    yield "".join(_fragment(name, html) for name, html in changed.items())
                elif time.monotonic() - quiet_since > SILENCE:
                    yield ": still here\n\n"
                if changed or time.monotonic() - quiet_since > SILENCE:
                    quiet_since = time.monotonic()
                sent = parts
                if self._desk.phase in ("draining", "stopping"):
                    return
                await self._something(events)

    async def _something(self, events: asyncio.Queue[Event]) -> None:
        """Wait for an event, or a tick. What comes in a burst is shown together."""
        try:
            async with asyncio.timeout(self._tick):
                await events.get()
        except TimeoutError:
            return
        await asyncio.sleep(EAGAIN)
        while not events.empty():
            events.get_nowait()

    async def _rendered(self, viewer: Viewer, order: str) -> dict[str, str]:
        moment = await self._look()
        key = (viewer, order)
        if key not in self._personal:
            now = now_seen(moment, viewer, self._job(viewer, order))
            if not viewer.guest and not self._shared:
                self._shared = self._render([name for name in PARTS if name not in PERSONAL], now)
            self._personal[key] = self._render(PARTS if viewer.guest else PERSONAL, now)
        parts = self._personal[key] if viewer.guest else self._shared | self._personal[key]
        return {name: parts[name] for name in PARTS}

    def _render(self, names: Iterable[str], now: Now) -> dict[str, str]:
        return {name: self._templates[name].render(now=now) for name in names}

    async def _look(self) -> Moment:
        """How things are: looked at anew when the last look is old, and all that was rendered from it forgotten."""
        if self._moment is not None and time.monotonic() < self._moment_until:
            return self._moment
        await self._refresh_models()
        self._shared, self._personal = {}, {}
        self._moment_until = time.monotonic() + EAGAIN
        self._moment = Moment(
            at=time.time(),
            phase=self._desk.phase,
            problems=self._desk.config_problems,
            children=self._desk.children(),
            traffic=self._traffic(),
            queue=self._desk.queue(),
            memory=self._desk.memory(),
            models=self._models,
            events=self._desk.journal.last(EVENTS),
        )
        return self._moment

    def _job(self, viewer: Viewer, order: str) -> JobView | None:
        job = self._desk.job(order) if order and viewer.manage else None
        return job if job is not None and viewer.sees(job.model) else None

    async def _refresh_models(self) -> None:
        if time.monotonic() < self._models_until:
            return
        self._models_until = time.monotonic() + MODELS_FOR
        ready = any(child.name in TITLES and child.state is ChildState.READY for child in self._desk.children())
        if not ready:
            self._models, self._models_until = None, 0.0
            return
        try:
            async with asyncio.timeout(ASKING):
                self._models = await self._desk.models()
        except TimeoutError:
            pass  # it is busy: the last list is still the best we have
        except Unreachable:
            self._models = None


def _fragment(name: str, html: str) -> str:
    return f"event: fragment\ndata: {json.dumps({'id': name, 'html': html})}\n\n"
