"""The live part of the first page: the same templates, rendered again when something may have changed.

However many people look, it is rendered at most once every `EAGAIN` seconds; each of them is sent what has changed
since the last time. Pages must never be felt by the data plane, which shares the event loop with them.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from jinja2 import Environment

from controller.config.schema import OLLAMA
from controller.desk import Desk
from controller.events import Event
from controller.pages.contexts import Now
from controller.pages.view import Installed, Traffic, now_seen
from controller.supervision.spec import ChildState

PARTS = ("dots", "hello", "notices", "children", "traffic", "models", "events")
EAGAIN = 0.25  # seconds a rendering is good for
TICK = 1.0  # seconds between two looks when nothing is told to us
SILENCE = 15.0  # seconds after which a quiet stream shows that it lives
VIEWERS = 32
EVENTS = 14
MODELS_FOR = 5.0  # seconds a list of models is good for
ASKING = 1.0  # seconds Ollama gets to list them; the page goes on with the last list


class Live:
    """What is to be seen now, and the streams of those who watch."""

    def __init__(
        self,
        desk: Desk,
        templates: Environment,
        *,
        traffic: Callable[[], Traffic],
        models: Callable[[], Awaitable[Sequence[Installed] | None]],
        edition: str,
        tick: float = TICK,
    ) -> None:
        self.viewers = 0
        self._desk = desk
        self._templates = [(name, templates.get_template(f"live/{name}.html")) for name in PARTS]
        self._traffic = traffic
        self._ask_models = models
        self._edition = edition
        self._tick = tick
        self._models: Sequence[Installed] | None = None
        self._models_until = 0.0
        self._parts: dict[str, str] = {}
        self._parts_until = 0.0

    async def now(self) -> Now:
        """What is to be seen at this moment."""
        await self._refresh_models()
        return now_seen(
            phase=self._desk.phase,
            problems=self._desk.config_problems,
            children=self._desk.children(),
            traffic=self._traffic(),
            models=self._models,
            events=self._desk.journal.last(EVENTS),
            now=time.time(),
        )

    async def stream(self) -> AsyncIterator[str]:
        """Server-sent events: which edition the page should be of, then each part when it has changed.

        Ends when the controller begins to leave, so that no page holds up its drain; browsers come back by themselves.
        """
        self.viewers += 1
        try:
            yield f"retry: 2000\nevent: edition\ndata: {self._edition}\n\n"
            async for chunk in self._changes():
                yield chunk
        finally:
            self.viewers -= 1

    async def _changes(self) -> AsyncIterator[str]:
        sent: dict[str, str] = {}
        quiet_since = time.monotonic()
        with self._desk.journal.listen() as events:
            while True:
                parts = await self._rendered()
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

    async def _rendered(self) -> dict[str, str]:
        if time.monotonic() >= self._parts_until:
            now = await self.now()
            self._parts = {name: template.render(now=now) for name, template in self._templates}
            self._parts_until = time.monotonic() + EAGAIN
        return self._parts

    async def _refresh_models(self) -> None:
        if time.monotonic() < self._models_until:
            return
        self._models_until = time.monotonic() + MODELS_FOR
        ready = any(child.name == OLLAMA and child.state is ChildState.READY for child in self._desk.children())
        if not ready:
            self._models, self._models_until = None, 0.0
            return
        try:
            async with asyncio.timeout(ASKING):
                self._models = await self._ask_models()
        except TimeoutError:
            pass  # it is busy: the last list is still the best we have


def _fragment(name: str, html: str) -> str:
    return f"event: fragment\ndata: {json.dumps({'id': name, 'html': html})}\n\n"
