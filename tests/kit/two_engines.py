"""Ollama and a toy beside it: one line, one table of what is in memory, one budget; asked by a plain caller."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from controller.answering.asker import Asker
from controller.answering.bounds import Bounds
from controller.answering.question import Question
from controller.answering.shared import Shared
from controller.auth.access import Principal
from controller.clock import SystemClock
from controller.config.schema import Config
from controller.dialect import Dialect
from controller.engines.engine import Engine
from controller.engines.ollama.client import OllamaClient
from controller.engines.ollama.settings import OLLAMA
from controller.events import Journal
from controller.readiness import Address, Readiness
from controller.refusal import Refused
from controller.residency.effects import MemoryEffects
from controller.residency.names import ModelNames
from controller.residency.orders import Orders
from controller.residency.planner import Planner
from controller.residency.residents import Residents
from controller.residency.rows import Rows
from controller.residency.space import MachineSpace
from controller.scheduling.dispatcher import Dispatcher
from controller.scheduling.line import rules_of
from controller.scheduling.scheduler import Scheduler
from tests.fakes.demand import KeptInMemory
from tests.fakes.gauge import FakeGauge
from tests.fakes.toy import TOY, Toy
from tests.kit.engines import an_ollama
from tests.kit.residing import LOADS, QUICK
from tests.kit.until import until


@dataclass
class TwoEngines:
    """All of it."""

    ollama: Readiness
    toy: Toy
    names: ModelNames
    residents: Residents
    orders: Orders
    shared: Shared
    journal: Journal
    config: Config

    def here(self) -> list[str]:
        """What is in memory, by name."""
        return sorted(row.runner.name for row in self.residents.table.values())

    async def ask(self, model: str, dialect: Dialect = Dialect.NATIVE) -> tuple[int, str]:
        """The status of the answer, and what it says; of a refusal, why."""
        runner = await self.shared.runner_of(model, self.config.server.hold)
        if isinstance(runner, Refused):
            return runner.status, runner.text
        body = json.dumps({"model": model, "prompt": "hello", "stream": False}).encode()
        question = Question(
            "/api/generate",
            {b"content-type": b"application/json"},
            b"python",
            who=Principal("anna", 1.0),
            model=model,
            runner=runner,
            body=body,
            dialect=dialect,
            route="/api/generate",
            bounds=Bounds(self.config),
            rename=_renamed,
        )
        async with Asker(self.shared, question.who, "python") as asker:
            said = b"".join([piece async for piece in asker.ask(question)])
            status = 0 if asker.answer is None else asker.answer.status
        return (status, said.decode()) if asker.refused is None else (asker.refused.status, asker.refused.text)


async def _renamed(body: bytes, model: str) -> tuple[bytes, bytes] | Refused:
    return json.dumps({**json.loads(body), "model": model}).encode(), b""


@asynccontextmanager
async def two_engines(url: str, pid: int, toy: Toy, *, max_loaded: int = 1) -> AsyncIterator[TwoEngines]:
    """The Ollama at `url` and a toy, with room for so many models together."""
    config = Config.model_validate(
        {
            "models": {"max_loaded": max_loaded, "prompt_cache": 0},
            "server": {"hold": 5, "line": {"patience": 0, "min_stay": 0, "linger": 0}},
        }
    )
    clock, readiness, store, rows = SystemClock(), Readiness("Ollama"), KeptInMemory(), Rows()
    journal, client = Journal(clock), OllamaClient(lambda: url if readiness.verdict == "ready" else None)
    ollama = an_ollama(
        client, lambda: pid, lambda: config, clock=clock, journal=journal, readiness=readiness, pace=LOADS
    )
    engines: dict[str, Engine] = {OLLAMA: ollama, TOY: toy}
    names = ModelNames(list(engines.values()), store.get, lambda: config)
    space = MachineSpace(FakeGauge(), engines, journal, lambda: config)
    planner = Planner(rows.table, space)
    scheduler = Scheduler(rules_of(config), rows.table, planner)
    residents = Residents(rows, planner, engines, scheduler, names, space, store, clock, journal, lambda: config, QUICK)
    orders = Orders(residents, scheduler, names, clock, lambda: config)
    line = Dispatcher(
        scheduler,
        residents,
        MemoryEffects(residents, orders),
        names,
        {name: each.readiness for name, each in engines.items()},
        clock,
        journal,
        lambda: config,
        store.kept,
        store.keep,
    )
    shared = Shared(list(engines.values()), line, names, clock)
    loops = [asyncio.create_task(each) for each in (residents.run(), line.run())]
    where = urlsplit(url)
    try:
        await until(lambda: space.reading is not None)
        readiness.set("ready", "It answers.", Address(where.hostname or "", where.port or 0, 1))
        for name in engines:
            residents.upstream(name, ready=True, adopted=False, same=False)
        yield TwoEngines(readiness, toy, names, residents, orders, shared, journal, config)
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.wait(loops)
        await shared.close()
        for loop in loops:
            with suppress(asyncio.CancelledError):
                loop.result()
