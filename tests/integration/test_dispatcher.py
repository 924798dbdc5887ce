"""The line at work: dispatcher, scheduler and residents together, on a real Ollama with room for one model."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

from controller.clock import SystemClock
from controller.config.schema import Config
from controller.engines.ollama.client import OllamaClient, Runners
from controller.engines.ollama.inside import inside_of
from controller.engines.ollama.settings import OLLAMA
from controller.events import Journal
from controller.readiness import Address, Readiness
from controller.residency.effects import MemoryEffects
from controller.residency.names import ModelNames
from controller.residency.orders import Orders
from controller.residency.planner import Planner
from controller.residency.residents import Residents
from controller.residency.rows import Rows
from controller.residency.space import MachineSpace
from controller.scheduling.dispatcher import Dispatcher, Rests
from controller.scheduling.line import rules_of
from controller.scheduling.scheduler import Scheduler
from controller.scheduling.ticket import Caps, End, State, Ticket, Wish
from tests.fakes.demand import KeptInMemory
from tests.fakes.gauge import FakeGauge
from tests.kit import real, web
from tests.kit.engines import an_ollama
from tests.kit.residing import LOADS, QUICK
from tests.kit.until import until

SAYS = {"red": "I am red.", "blue": "I am blue.", "llama3.2:1b": "So says llama3.2:1b."}
SWIFT = {"patience": 0.5, "min_stay": 0.2, "linger": 0}


@dataclass
class Shop:
    dispatcher: Dispatcher
    scheduler: Scheduler
    residents: Residents
    runners: Runners
    names: ModelNames
    readiness: Readiness
    http: httpx.AsyncClient
    most: int = 0  # models in memory at a time, as far as anybody saw

    async def ask(self, model: str, caller: str) -> str:
        """A whole request, as the gateway would serve it."""
        runner = self.names.known(model) or await self.names.look_up(model)
        assert runner is not None
        ticket = self.dispatcher.enter(Wish(caller, 1.0, model, runner, 100, 1, 120.0, Caps(waiting=100)))
        assert isinstance(ticket, Ticket)
        try:
            while True:
                await self.dispatcher.turn(ticket)
                if ticket.state is State.ENDED:
                    return f"({ticket.ended})"
                self.most = max(self.most, len(self.residents.table))
                content = {"model": model, "prompt": "hello", "stream": False}
                answer = await self.http.post("/api/generate", json=content)
                if answer.status_code < 500:
                    ticket.moved = len(answer.content)
                    return str(answer.json()["response"])
                self.dispatcher.back(ticket, "died")
        finally:
            self.dispatcher.end(ticket)


@asynccontextmanager
async def shop(ollama: real.RealOllama) -> AsyncIterator[Shop]:
    config = Config.model_validate({"models": {"max_loaded": 1}, "server": {"line": SWIFT}})
    clock, readiness, store, rows = SystemClock(), Readiness("Ollama"), KeptInMemory(), Rows()
    journal, client = Journal(clock), OllamaClient(lambda: ollama.url, lambda: inside_of(real.version()))
    inside = inside_of(real.version())
    engine = an_ollama(
        client, lambda: ollama.process.pid, lambda: config, clock=clock, journal=journal, inside=inside, pace=LOADS
    )
    engines = {engine.name: engine}
    names, runners = ModelNames([engine], store.get, lambda: config), Runners(lambda: ollama.process.pid)
    space = MachineSpace(FakeGauge(), engines, journal, lambda: config)
    planner = Planner(rows.table, space)
    scheduler = Scheduler(rules_of(config), rows.table, planner)
    residents = Residents(rows, planner, engines, scheduler, names, space, store, clock, journal, lambda: config, QUICK)
    dispatcher = Dispatcher(
        scheduler,
        residents,
        MemoryEffects(residents, Orders(residents, scheduler, names, clock, lambda: config)),
        names,
        {"ollama": readiness},
        clock,
        journal,
        lambda: config,
        store.kept,
        store.keep,
        rests=Rests(lost=0.05, busy=0.1),
    )
    async with web.async_client(base_url=ollama.url, timeout=60) as http:
        loops = [asyncio.create_task(each) for each in (residents.run(), dispatcher.run())]
        try:
            await until(lambda: space.reading is not None)
            residents.upstream(OLLAMA, ready=True, adopted=False, same=False)
            readiness.set("ready", "Ollama answers.", Address("127.0.0.1", 1, 1))
            yield Shop(dispatcher, scheduler, residents, runners, names, readiness, http)
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.wait(loops)
            for loop in loops:
                with contextlib.suppress(asyncio.CancelledError):
                    loop.result()


@pytest.fixture(scope="module")
def ollama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real.RealOllama]:
    home = tmp_path_factory.mktemp("ollama")
    variables = {"OLLAMA_KEEP_ALIVE": "-1", "OLLAMA_MAX_LOADED_MODELS": "8"}
    with real.serve(home, real.copy_library(home / "models"), **variables) as ollama:
        yield ollama


async def test_three_models_and_three_callers_share_room_for_one_and_everybody_is_answered(
    ollama: real.RealOllama,
) -> None:
    async with shop(ollama) as it:
        asked = [(model, caller) for caller in ("anna", "ben", "cleo") for model in SAYS for _ in range(2)]
        answers = await asyncio.gather(*(it.ask(model, caller) for model, caller in asked))
        for (model, _), answer in zip(asked, answers, strict=True):
            assert SAYS[model] in answer
        tally = it.dispatcher.tally
        assert it.most <= 2  # one that leaves and one that comes
        assert sum(tally.grants.values()) == len(asked)
        assert sum(each.count for each in tally.loads.values()) == tally.swaps["line"] < len(asked)
        assert it.scheduler.idle
        assert it.scheduler.deserted


async def test_a_killed_runner_costs_nobody_an_answer(ollama: real.RealOllama) -> None:
    async with shop(ollama) as it:
        assert SAYS["red"] in await it.ask("red", "anna")
        runner = it.names.known("red")
        assert runner is not None
        for _ in range(3):
            [process] = await it.runners.holding(runner.blob)
            process.send_signal(signal.SIGKILL)
            answers = await asyncio.gather(*(it.ask("red", caller) for caller in ("anna", "ben", "cleo")))
            assert all(SAYS["red"] in answer for answer in answers)
            assert it.scheduler.idle
            assert it.scheduler.deserted


async def test_a_model_that_does_not_load_ends_who_waits_with_its_reason(ollama: real.RealOllama) -> None:
    async with shop(ollama) as it:
        runner = await it.names.look_up("blue")
        assert runner is not None
        blob = ollama.models / "blobs" / runner.blob
        whole = blob.read_bytes()
        blob.write_bytes(b"GGUF" + bytes(100))
        try:
            assert await it.ask("blue", "anna") in {f"({End.LOAD_FAILED})", f"({End.QUARANTINED})"}
        finally:
            blob.write_bytes(whole)
        assert SAYS["red"] in await it.ask("red", "anna")
