"""Runners that get stuck or are stopped, for real: liveness is not progress."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from controller.clock import SystemClock
from controller.engines.ollama.client import OllamaClient, Runners
from controller.engines.ollama.recipe import recipe_of
from controller.engines.ollama.settings import OLLAMA
from controller.engines.runner import ModelFacts, Runner
from controller.events import Journal
from controller.residency.health import Health, HealthPace
from controller.residency.learned import Learned
from controller.residency.progress import Rule
from controller.residency.resident import Presence, Resident
from controller.residency.vitals import Pulse
from controller.scheduling.ticket import End, State, Ticket
from controller.supervision.grandchildren import end
from tests.integration.test_ollama import fake_ollama
from tests.kit import real, web
from tests.kit.engines import an_ollama
from tests.kit.until import until

RULE = Rule(first=1.5, silence=1.5, gaps=10.0, window=1.0, apart=0.5)
PACE = HealthPace(tick=0.1, canary=2.0)
KILLED_AFTER = RULE.first + RULE.window + RULE.apart  # seconds in which one that does nothing is killed


@dataclass
class OneRunner:
    """Line and residents of a single runner: what is asked of it, and how it is ended."""

    runner: Runner
    runners: Runners
    flying: asyncio.Event = field(default_factory=asyncio.Event)
    tickets: list[Ticket] = field(default_factory=list)
    on_failed: list[Callable[[str, End, str], None]] = field(default_factory=list)
    table: dict[str, Resident] = field(default_factory=dict)
    asked: list[Ticket] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    restarts: list[str] = field(default_factory=list)

    def running(self) -> list[Ticket]:
        return self.tickets

    async def processes(self) -> list[psutil.Process]:
        return await self.runners.holding(self.runner.blob, self.runner.name)

    async def lives(self, key: str) -> bool:
        return bool(await self.processes())

    async def kill(self, key: str, why: str) -> None:
        self.killed.append(why)
        await end(await self.processes())

    async def ask(self, http: httpx.AsyncClient, **asked: object) -> str:
        """An answer, as the gateway would fetch it; cut short where Ollama cuts it."""
        now = SystemClock().now()
        ticket = Ticket(1, "anna", 1, "m", self.runner, now, now + 60, state=State.GRANTED, granted=now)
        self.tickets.append(ticket)
        self.asked.append(ticket)
        self.flying.set()
        text = ""
        try:
            content = {"model": self.runner.name, "prompt": "hello", **asked}
            async with http.stream("POST", "/api/generate", json=content) as answer:
                async for piece in answer.aiter_text():
                    text += piece
                    ticket.moved += len(piece)
        except httpx.TransportError:
            text += "(cut)"
        finally:
            self.tickets.remove(ticket)
            self.flying.clear()
        return text


@asynccontextmanager
async def watched(url: str, pid: int, model: str) -> AsyncIterator[tuple[OneRunner, httpx.AsyncClient]]:
    """A loaded model of the Ollama at `url`, with the health loop around it."""
    client, clock = OllamaClient(lambda: url), SystemClock()
    recipe = recipe_of(await client.show(model), client.inside)
    assert recipe is not None
    runner = Runner("k", recipe.blob, model, ModelFacts(weights=1), engine="ollama")
    one = OneRunner(runner, Runners(lambda: pid))
    one.table["k"] = Resident(runner, Presence.RESIDENT, clock.now(), 1, 1)
    engines = {OLLAMA: an_ollama(client, lambda: pid)}
    health = Health(
        one,
        one,
        Pulse(engines),
        engines,
        clock,
        Journal(clock),
        dict[str, Learned](),
        lambda engine, why: one.restarts.append(why),
        rule=RULE,
        pace=PACE,
    )
    async with web.async_client(base_url=url, timeout=60) as http:
        await http.post("/api/generate", json={"model": model, "prompt": ""})
        running = asyncio.create_task(health.run())
        try:
            yield one, http
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def test_a_runner_stopped_in_mid_stream_is_killed_and_gone_and_its_model_answers_again(
    tmp_path: Path, tiny_models: Path
) -> None:
    with real.serve(tmp_path / "home", tiny_models) as ollama:
        async with watched(ollama.url, ollama.process.pid, "ticker:latest") as (one, http):
            [process] = await one.processes()
            answer = asyncio.create_task(one.ask(http))
            await until(lambda: one.tickets and one.tickets[0].moved)
            process.send_signal(signal.SIGSTOP)
            stopped = SystemClock().now()
            await until(lambda: one.killed)
            await until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
            text = await answer
            assert SystemClock().now() - stopped < 20  # a second when the machine is not busy
            assert '"done":true' not in text
            assert one.killed == ["a signal had stopped it"]
            said = await http.post("/api/generate", json={"model": "red", "prompt": "hello", "stream": False})
            assert said.json()["response"].strip() == "I am red."


async def test_a_runner_that_computes_in_silence_is_left_alone(tmp_path: Path, tiny_models: Path) -> None:
    with real.serve(tmp_path / "home", tiny_models) as ollama:
        async with watched(ollama.url, ollama.process.pid, "ticker:latest") as (one, http):
            asking = asyncio.create_task(one.ask(http, stream=False, options={"num_predict": 80_000}))
            await until(lambda: asking.done() or (one.asked and _worked(one.asked[0]) > KILLED_AFTER))
            assert one.killed == []
            assert not asking.done()
            assert one.asked[0].moved == 0
            asking.cancel()  # the rest would take a minute
            await asyncio.wait([asking])


def _worked(ticket: Ticket) -> float:
    """Seconds from its grant to when it was last seen to be worked on, for which the gateway lets it go on."""
    assert ticket.granted is not None
    return ticket.worked - ticket.granted


async def test_a_frozen_answer_behind_a_green_version_is_seen_and_its_runner_killed(tmp_path: Path) -> None:
    async with (
        fake_ollama(tmp_path, freeze=True) as (url, process),
        watched(url, process.pid, "tiny:latest") as (one, http),
    ):
        text = await one.ask(http)
        assert one.killed == ["it was asked, and neither brought nor did anything"]
        assert "an error was encountered while running the model" in text
        assert (await http.get("/api/version")).is_success
        assert one.restarts == []


async def test_an_ollama_whose_models_stay_mute_after_a_kill_is_restarted(tmp_path: Path) -> None:
    async with (
        fake_ollama(tmp_path, freeze=True, load=3 * PACE.tick) as (url, process),
        watched(url, process.pid, "tiny:latest") as (one, http),
    ):
        await one.ask(http)
        await http.post("/api/generate", json={"model": "tiny", "prompt": ""})  # loaded again …
        await until(lambda: one.restarts)  # … and the canary finds it as mute as before
        assert one.restarts == ["tiny:latest was loaded again, and brings nothing."]
