"""What happened, for people: the journal that the page, `seadragon status` and the log all read from."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from controller.clock import Clock

Level = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, said in one plain sentence."""

    number: int
    at: float  # seconds since the epoch
    level: Level
    source: str  # a child's name, "config", "controller", "gateway"
    text: str
    facts: dict[str, object] = field(default_factory=dict)


class Journal:
    """The last `keep` events, numbered from 1, and everyone who wants to hear of the next.

    `said` is called for each event at once (the log); `listen` gives a queue (the live page). A listener that falls
    behind by `keep` events loses the oldest, never the controller's time.
    """

    def __init__(self, clock: Clock, *, keep: int = 500, said: Callable[[Event], None] | None = None) -> None:
        self._clock = clock
        self._keep = keep
        self._events: deque[Event] = deque(maxlen=keep)
        self._listeners: set[asyncio.Queue[Event]] = set()
        self._said = said
        self._number = 0

    def say(self, source: str, text: str, *, level: Level = "info", **facts: object) -> Event:
        """Record an event and tell all who listen."""
        self._number += 1
        event = Event(self._number, self._clock.wall(), level, source, text, facts)
        self._events.append(event)
        if self._said is not None:
            self._said(event)
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)
        return event

    def last(self, count: int) -> list[Event]:
        """The newest `count` events, oldest first."""
        return list(self._events)[-count:] if count > 0 else []

    @contextmanager
    def subscribe(self) -> Iterator[asyncio.Queue[Event]]:
        """A queue that receives every event from now on, for as long as the block lasts."""
        queue: asyncio.Queue[Event] = asyncio.Queue(self._keep)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)
