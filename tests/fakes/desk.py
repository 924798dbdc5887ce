"""A running controller that is only told about: set its fields, read its `orders`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from controller.config.schema import Config
from controller.events import Journal
from controller.supervision.spec import ChildState, ChildStatus
from tests.fakes.clock import WoundClock


class FakeDesk:
    """Implements `controller.desk.Desk`. `on_order` may be set to act, or raise, when an order comes."""

    def __init__(self, folder: Path, *children: ChildStatus) -> None:
        self.clock = WoundClock()
        self.version = "1.2.3"
        self.started_at = self.clock.wall() - 7500
        self.journal = Journal(self.clock)
        self.data = folder / "data"
        self.logs = folder / "logs"
        self.config = Config()
        self.config_problems: list[str] = []
        self.phase = "running"
        self.listeners: list[dict[str, object]] = [
            {"address": "127.0.0.1:8420", "url": "http://127.0.0.1:8420", "kind": "direct", "connections": 2}
        ]
        self.ready = True
        self.known = {child.name: child for child in children or (an_ollama(),)}
        self.orders: list[tuple[str, object]] = []
        self.on_order: Callable[[str], None] = lambda order: None
        self.reloaded: list[str] = []

    def children(self) -> list[ChildStatus]:
        return list(self.known.values())

    async def start_child(self, name: str) -> None:
        self._order("start", name)
        self.known[name] = replace(self.known[name], state=ChildState.READY)

    async def stop_child(self, name: str) -> None:
        self._order("stop", name)
        self.known[name] = replace(self.known[name], state=ChildState.STOPPED)

    async def restart_child(self, name: str) -> None:
        self._order("restart", name)
        self.known[name] = replace(self.known[name], restarts=self.known[name].restarts + 1)

    async def reload(self) -> list[str]:
        self._order("reload", None)
        return self.reloaded

    def leave(self, *, keep_children: bool) -> None:
        self._order("leave", keep_children)
        self.phase = "draining"

    def _order(self, order: str, about: object) -> None:
        self.orders.append((order, about))
        self.on_order(order)


def an_ollama(state: ChildState = ChildState.READY, **changes: object) -> ChildStatus:
    """Ollama, well unless said otherwise."""
    status = ChildStatus(
        name="ollama",
        state=state,
        reason="It answers its probe.",
        since=1_700_000_000.0 - 7200,
        pid=4242,
        keeper_pid=4241,
        url="http://127.0.0.1:51234",
        restarts=1,
        memory=5_300_000_000,
        facts={"version": "0.24.0"},
    )
    return replace(status, **changes)  # type: ignore[arg-type]  # the fields' own types hold where it is called
