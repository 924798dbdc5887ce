"""Residents at work on an Ollama, without a gateway: the line is written by hand, the memory is the test's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import psutil

from controller.clock import Clock, SystemClock
from controller.config.schema import Config
from controller.engines.ollama.client import QUESTION_LIMIT, OllamaClient
from controller.engines.ollama.inside import Inside, inside_of
from controller.engines.ollama.loading import LoadPace
from controller.engines.ollama.settings import OLLAMA
from controller.engines.runner import Runner
from controller.events import Journal
from controller.residency.names import ModelNames
from controller.residency.orders import Orders
from controller.residency.pace import ResidentPace
from controller.residency.planner import Planner
from controller.residency.resident import Fits, Presence, Swap
from controller.residency.residents import Residents
from controller.residency.rows import Rows
from controller.residency.space import MachineSpace
from controller.scheduling.ticket import End
from tests.fakes.demand import FakeDemand, KeptInMemory
from tests.fakes.gauge import FakeGauge
from tests.kit import web
from tests.kit.engines import an_ollama
from tests.kit.until import until

QUICK = ResidentPace(tick=0.02, poll=0.1, poll_limit=5.0, look=0.05, suspected=1.0, lost=0.3, aside=600.0)
LOADS = LoadPace(list_limit=5.0, look=0.05, standstill=3.0, leave=2.0)

PATIENT = replace(LOADS, standstill=60.0)
"""The same, for models that take a while to load."""


async def inside_at(url: str) -> Inside:
    """What is known of the Ollama there."""
    async with web.async_client() as http:
        return inside_of((await http.get(f"{url}/api/version")).json()["version"])


class Asked(OllamaClient):
    """An Ollama, and how often it told what is in memory."""

    listings = 0

    async def ps(self, limit: float = QUESTION_LIMIT) -> list[dict[str, Any]]:
        listed = await super().ps(limit)
        self.listings += 1
        return listed


@dataclass
class House:
    """All of it."""

    residents: Residents
    orders: Orders
    demand: FakeDemand
    names: ModelNames
    store: KeptInMemory
    gauge: FakeGauge
    journal: Journal
    ollama: Asked
    config: Config
    url: str
    pid: int | None
    failures: list[tuple[str, End, str]] = field(default_factory=list)
    history: list[dict[str, str]] = field(default_factory=list)  # the table after each change

    @property
    def listings(self) -> int:
        """How often Ollama has told what is in memory."""
        return self.ollama.listings

    async def runner(self, name: str) -> Runner:
        """The runner of a name that exists."""
        found = await self.names.look_up(name)
        assert found is not None, name
        return found

    def swap(self, runner: Runner, caller: str = "") -> None:
        """What the line would do: whoever is in the way leaves."""
        plan = self.residents.plan(runner, [key for key in self.residents.table if key != runner.key])
        assert isinstance(plan, Fits), plan
        self.residents.begin(Swap(runner, plan.evict, "line", caller))

    async def bring(self, name: str) -> Runner:
        """Somebody waits for it, the line swaps it in, and it is there."""
        runner = await self.runner(name)
        ticket = self.demand.waits(runner)
        self.swap(runner)
        await self.here(runner)
        self.demand.tickets.remove(ticket)
        return runner

    async def here(self, runner: Runner) -> None:
        """Return once it is resident."""
        await until(lambda: self.residents.is_here(runner.key) or self.failures)
        assert not self.failures, self.said()

    async def loaded(self) -> list[str]:
        """What Ollama lists, in order of names."""
        return sorted(str(each["name"]) for each in await self.ollama.ps())

    def processes(self) -> set[str]:
        """The weights that processes below Ollama hold."""
        assert self.pid is not None
        found = set()
        for each in psutil.Process(self.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                argv = each.cmdline()
                if "--model" in argv:
                    found.add(argv[argv.index("--model") + 1].rpartition("/")[2])
        return found

    def said(self) -> str:
        """The journal."""
        return "\n".join(event.text for event in self.journal.last(500))

    def presence(self, runner: Runner) -> Presence | None:
        """Where it is."""
        row = self.residents.table.get(runner.key)
        return None if row is None else row.presence


@contextlib.asynccontextmanager
async def residing(
    url: str,
    pid: int | None,
    *,
    clock: Clock | None = None,
    pace: ResidentPace = QUICK,
    loads: LoadPace = LOADS,
    models: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    adopted: bool = False,
    before: Callable[[House], None] = lambda _: None,
) -> AsyncIterator[House]:
    """Residents that run until the block ends. What they have loaded stays loaded."""
    clock = clock or SystemClock()
    config = Config.model_validate({"models": {"prompt_cache": 0, **(models or {})}, "server": server or {}})
    inside = await inside_at(url)
    journal, ollama = Journal(clock), Asked(lambda: url, lambda: inside)
    demand, store, gauge = FakeDemand(), KeptInMemory(), FakeGauge()

    def settings() -> Config:
        return house.config

    engine = an_ollama(ollama, lambda: pid, settings, clock=clock, journal=journal, inside=inside, pace=loads)
    engines = {engine.name: engine}
    names = ModelNames([engine], store.get, settings)
    space = MachineSpace(gauge, engines, journal, settings)
    rows = Rows()
    planner = Planner(rows.table, space)
    residents = Residents(rows, planner, engines, demand, names, space, store, clock, journal, settings, pace)
    orders = Orders(residents, demand, names, clock, settings)
    house = House(residents, orders, demand, names, store, gauge, journal, ollama, config, url, pid)
    residents.on_failed.append(lambda key, as_, words: house.failures.append((key, as_, words)))
    residents.on_change.append(
        lambda: house.history.append({row.runner.name: row.presence.value for row in residents.table.values()})
    )
    before(house)
    task = asyncio.create_task(residents.run())
    try:
        await until(lambda: space.reading is not None or task.done())
        residents.upstream(OLLAMA, ready=True, adopted=adopted, same=False)
        residents.load_at_start(OLLAMA)
        yield house
        if task.done():
            await task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
