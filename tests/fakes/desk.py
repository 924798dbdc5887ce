"""A running controller that is only told about: set its fields, read its `orders`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from controller.auth.access import Principal
from controller.auth.chain import ChainVerdict
from controller.config.schema import Config
from controller.desk import AuditView, By, JobKind, OfficeView, UsageView, every_model
from controller.errors import OrderRefused
from controller.events import Journal
from controller.readiness import Readiness
from controller.residency.meaning import Meanings
from controller.supervision.spec import ChildState, ChildStatus
from controller.usage import Grouping
from tests.fakes.clock import WoundClock


@dataclass
class FakeJob:
    """Implements `controller.desk.JobView`. It runs until it is `end`ed."""

    id: str
    kind: str
    model: str
    state: str = "running"
    text: str = "It has begun."
    started: float = 1_700_000_000.0
    ended: float | None = None
    touched: int = 0
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, text: str, state: str = "done") -> None:
        self.text, self.state, self.ended = text, state, self.started + 2
        self._over.set()

    async def wait(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            pass
        return self.state != "running"


class FakeHoldings:
    """Implements `controller.desk.HoldingsView`: nobody holds anything that could be listed."""

    keys_active, users_active, sessions_live = 3, 2, 5

    def __init__(self) -> None:
        self.troubles: list[str] = []

    async def listed(self, what: str) -> list[dict[str, Any]]:
        return []


class FakeOffice:
    """Implements `controller.desk.OfficeView`: notes what it is told, and answers `answer`."""

    def __init__(self) -> None:
        self.shown = FakeHoldings()
        self.ordered: list[tuple[str, By, dict[str, Any]]] = []
        self.answer: Any = {}

    async def order(self, name: str, by: By, /, **arguments: Any) -> Any:
        self.ordered.append((name, by, arguments))
        return self.answer


class FakeUsage:
    """Implements `controller.desk.UsageView`: nobody has used anything."""

    dropped = 0

    async def sums(self, by: Grouping, since: float = 0.0, only: Mapping[str, str] | None = None) -> list[Any]:
        return []

    async def requests(
        self, since: float = 0.0, only: Mapping[str, str] | None = None, count: int = 100
    ) -> list[dict[str, Any]]:
        return []


class FakeAudit:
    """Implements `controller.desk.AuditView`: `notes` are what was done, to whom, and how it ended; `told`
    what was done, by whom, and the facts."""

    noted = dropped = 0

    def __init__(self) -> None:
        self.notes: list[tuple[str, str, str]] = []
        self.told: list[tuple[str, str, Mapping[str, object]]] = []

    def note(
        self,
        what: str,
        *,
        actor: str,
        target: str = "",
        outcome: str = "done",
        peer: str = "",
        request: str = "",
        facts: Mapping[str, object] | None = None,
    ) -> None:
        self.notes.append((what, target, outcome))
        self.told.append((what, actor, facts or {}))

    async def rows(
        self, since: float = 0.0, *, actor: str = "", what: str = "", before: int | None = None, count: int = 100
    ) -> list[dict[str, Any]]:
        return []

    async def verify(self) -> ChainVerdict:
        return ChainVerdict(0, 0, "")


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
        self.awaited: list[dict[str, str]] = []
        self.storage_trouble = ""
        self.ready = True
        self.readiness = Readiness("Ollama")
        self.readiness.set("ready", "It answers its probe.")
        self.known = {child.name: child for child in children or (an_ollama(),)}
        self.orders: list[tuple[str, object]] = []
        self.on_order: Callable[[str], None] = lambda order: None
        self.reloaded: list[str] = []
        self.line = a_line()
        self.installed: list[dict[str, Any]] = [a_model("llama3.2"), a_model("qwen3", state="resident")]
        self.room = a_memory()
        self.jobs: dict[str, FakeJob] = {}
        self.on_job: Callable[[FakeJob], None] = lambda job: None
        self.asked = 0  # for the models
        self.office: OfficeView = FakeOffice()
        self.usage: UsageView = FakeUsage()
        self.audit: AuditView = FakeAudit()

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

    async def back_up(self, target: Path | None = None) -> Path:
        self.orders.append(("back up", target))
        return target or self.data / "backups" / "by-hand.db"

    def leave(self, *, keep_children: bool) -> None:
        self._order("leave", keep_children)
        self.phase = "draining"

    def queue(self) -> dict[str, Any]:
        return self.line

    async def models(self) -> list[dict[str, Any]]:
        self.asked += 1
        return self.installed

    def memory(self) -> dict[str, Any]:
        return self.room

    def meant(self, model: str) -> str:
        meaning = Meanings(self.config.models.redirect).of(model)
        return model if meaning is None else meaning.name.written

    async def order(self, kind: JobKind, model: str, **options: Any) -> FakeJob:
        self._order(kind, {"model": model, **options})
        job = FakeJob(f"j{len(self.jobs) + 1}", kind, model)
        self.jobs[job.id] = job
        self.on_job(job)
        return job

    def job(self, id: str) -> FakeJob | None:
        return self.jobs.get(id)

    async def pause(self, lane: float | None = None, model: str | None = None) -> None:
        self._order("pause", (lane, model))
        words = ([] if lane is None else [f"lane {lane:g}"]) + ([] if model is None else [model])
        self.line["paused"] += words or ["everything"]

    async def resume(self, lane: float | None = None, model: str | None = None) -> None:
        self._order("resume", (lane, model))
        self.line["paused"].clear()

    async def cancel(self, number: int, sees: Callable[[str], bool] = every_model) -> None:
        self._order("cancel", number)
        left = [each for each in self.line["tickets"] if each["number"] != number or not sees(each["model"])]
        if len(left) == len(self.line["tickets"]):
            raise OrderRefused(f"There is no request {number}, or not any more.", "unknown")
        self.line = a_line(*left)

    def _order(self, order: str, about: object) -> None:
        self.orders.append((order, about))
        self.on_order(order)


def a_line(*tickets: dict[str, Any]) -> dict[str, Any]:
    """The line with these tickets in it."""
    waiting = [ticket for ticket in tickets if ticket["state"] == "waiting"]
    return {
        "waiting": len(waiting),
        "running": len(tickets) - len(waiting),
        "paused": [],
        "lanes": {
            f"{lane:g}": {
                "waiting": sum(ticket["lane"] == lane for ticket in waiting),
                "oldest_seconds": max(ticket["waited_seconds"] for ticket in waiting if ticket["lane"] == lane),
            }
            for lane in sorted({ticket["lane"] for ticket in waiting})
        },
        "tickets": list(tickets),
    }


def a_ticket(number: int, caller: str, **changes: Any) -> dict[str, Any]:
    """One that waits, unless said otherwise."""
    return {
        "number": number,
        "caller": caller,
        "caller_id": Principal(caller).identity,
        "lane": 1.0,
        "model": "llama3.2",
        "state": "waiting",
        "waited_seconds": 12.0,
        "position": number,
        "estimate_seconds": 40.0,
        "why": None,
        "hold": "its model is busy",
        **changes,
    }


def a_model(name: str, **changes: Any) -> dict[str, Any]:
    """One that is installed and has been loaded before."""
    state = changes.get("state", "away")
    return {
        "id": name,
        "object": "model",
        "created": 1_700_000_000,
        "owned_by": "library",
        "state": state,
        "runner": f"{name}-runner",
        "size_gb": 2.0,
        "memory_gb": 3.1 if state == "resident" else None,
        "expected_gb": 3.0,
        "cache_gb": 0.0,
        "loads": 4,
        "load_seconds": 6.5,
        "tokens_per_second": 41.5,
        "crashes": 0,
        "last_error": "",
        "pinned": False,
        "waiting": 0,
        "running": 0,
        "idle_seconds": 75.0 if state == "resident" else None,
        **changes,
    }


def a_memory(**changes: Any) -> dict[str, Any]:
    """Of a 64 GB Mac with one model loaded."""
    return {
        "total_gb": 64.0,
        "available_gb": 51.2,
        "budget_gb": 47.0,
        "taken_gb": 3.1,
        "cache_gb": 0.0,
        "pressure": 1,
        "models_loaded": {"qwen3": 3.1},
        "may_load": True,
        "why": "",
        **changes,
    }


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
