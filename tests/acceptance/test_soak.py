"""Half an hour in a house where something breaks every few seconds, and what must hold all the while: everybody is
answered or told why not, nothing runs twice, memory is not promised twice, and nothing grows.

    SEADRAGON_SOAK=120 .venv/bin/pytest tests/acceptance/test_soak.py -m proof -s
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.fakes.gauge import write_gauge
from tests.kit import real, web
from tests.kit.below import argv_of, parent_of, runners_below
from tests.kit.callers import Caller, Told, allow, callers
from tests.kit.house import FakeHouse, House, fake_house, until

SECONDS = float(os.environ.get("SEADRAGON_SOAK", "1800"))
PEOPLE = 6
SAYS = {"red": "I am red.", "blue": "I am blue.", "gemma3:270m": "So says gemma3:270m.", "ticker": "tick"}
ROOM = 2  # models in memory at a time
LINE = {"patience": "2s", "min_stay": "2s", "linger": "200ms", "aging": "30s", "times": {"wait": "3m"}}
LONGEST = 240.0  # seconds any request may take: the longest wait, the longest answer, and a busy machine
APART = 35.0  # seconds between two ends of Ollama: more often, and its breaker opens, as it should
GROWTH, MORE_FILES = 20 * 2**20, 16  # bytes and descriptors that the controller may have more at the end


@dataclass
class Soak:
    """A house under attack, and what its people were told."""

    house: FakeHouse
    memory: Path
    chance: random.Random
    ends: float
    came: Counter[str] = field(default_factory=Counter)
    wrong: list[object] = field(default_factory=list)
    away: list[tuple[float, float]] = field(default_factory=list)  # when there was no controller
    open: asyncio.Event = field(default_factory=asyncio.Event)  # people may ask
    ended_ollama: float = float("-inf")
    asked: int = 0

    # --- people ---

    async def live(self, person: Caller) -> None:
        """Ask for this and that until it is over."""
        while time.monotonic() < self.ends:
            await self.open.wait()
            await self.ask(person)

    async def ask(self, person: Caller) -> None:
        model, stream = self.chance.choice(list(SAYS)), self.chance.random() < 0.7
        tokens = self.chance.choice([5, 50, 500, 3000]) if model == "ticker" else 200
        self.asked += 1
        began = time.monotonic()
        if self.chance.random() < 0.15:
            with contextlib.suppress(ValueError):
                await person.leave(model, after=self.chance.choice([0, 1, 3]), tokens=tokens)
            self.came["hung up"] += 1
            return
        try:
            told = await person.ask(model, tokens, prompt=f"hi {self.asked}", stream=stream)
        except ValueError:  # cut in the middle of a record
            told = Told(broken="cut", began=began, ended=time.monotonic())
        self.judge(model, told, stream=stream)
        if not told.whole:
            await asyncio.sleep(0.5)  # as somebody does who was told to come back later

    def judge(self, model: str, told: Told, *, stream: bool) -> None:
        """Sort what came, and keep what may not be."""
        if told.ended - told.began > LONGEST:
            self.wrong.append(("too long", model, told))
        if told.whole:
            self.came["answered"] += 1
            if SAYS[model] not in told.text:
                self.wrong.append(("wrong words", model, told))
        elif told.error:
            self.came["told why not"] += 1
        elif any(told.began <= back and gone <= told.ended for gone, back in self.away):
            self.came["lost with the controller"] += 1
        elif told.broken and told.status == 200 and not stream:
            self.came["reset"] += 1  # a document that had begun with fillers cannot say more
        else:
            self.wrong.append(("cut without a word", model, told))

    # --- faults ---

    def server(self) -> psutil.Process | None:
        """Ollama itself. (One that is about to be a runner bears its name for a moment.)"""
        named = {one.pid: one for one in self.house.processes() if argv_of(one)[-1:] == ["serve"]}
        found = [one for one in named.values() if parent_of(one) not in named]
        if len(found) > 1:
            self.wrong.append(("two servers", [one.pid for one in found]))
        return found[0] if found else None

    def runners(self) -> list[psutil.Process]:
        server = self.server()
        return runners_below(server.pid) if server is not None else []

    async def hurt_ollama(self) -> None:
        if time.monotonic() - self.ended_ollama < APART:
            return await self.hurt_runner()
        self.ended_ollama = time.monotonic()
        self.send(await asyncio.to_thread(self.server))

    async def hurt_runner(self) -> None:
        runners = await asyncio.to_thread(self.runners)
        self.send(self.chance.choice(runners) if runners else None)

    def send(self, victim: psutil.Process | None) -> None:
        with contextlib.suppress(psutil.Error):
            if victim is not None:
                victim.send_signal(self.chance.choice([signal.SIGKILL, signal.SIGSTOP]))

    async def kill_controller(self) -> None:
        """In the first half only: the second is watched for what grows."""
        if self.ends - time.monotonic() < SECONDS / 2:
            return
        gone = time.monotonic()
        self.away.append((gone, float("inf")))
        self.open.clear()
        await asyncio.to_thread(self.house.kill)
        await asyncio.to_thread(self.house.up)
        self.open.set()
        self.away[-1] = gone, time.monotonic()

    async def reload(self) -> None:
        self.house.configure(hold=f"{self.chance.randint(50, 70)}s", line={**LINE, "patience": "1500ms"})
        await asyncio.to_thread(self.house.run, "reload")

    async def shorten_memory(self) -> None:
        write_gauge(self.memory, pressure=self.chance.choice([2, 4]))
        await asyncio.sleep(self.chance.uniform(0.5, 4))
        write_gauge(self.memory, pressure=1)

    async def order(self) -> None:
        verb = self.chance.choice(["load", "unload", "switch", "pin", "pause"])
        model = self.chance.choice(list(SAYS))
        async with web.async_client(base_url=self.house.url, timeout=60) as operator:
            if verb == "pause":
                await asyncio.to_thread(self.house.run, "pause")
                await asyncio.to_thread(self.house.run, "resume")
                return
            body: dict[str, Any] = {"model": model}
            if verb == "switch":
                body["when"] = self.chance.choice(["now", "free"])
            answer = await operator.post(f"/api/v1/models/{verb}", json=body)
            if verb == "pin":
                await self.unpin(operator, model)
            if answer.status_code >= 500 and answer.status_code != 503:
                self.wrong.append((verb, answer.status_code, answer.text))

    async def unpin(self, operator: httpx.AsyncClient, model: str) -> None:
        """A house whose memory is full of pinned models could load nothing else."""
        answer = await operator.post("/api/v1/models/pin", json={"model": model, "pinned": False})
        if not answer.is_success and answer.status_code != 503:
            self.wrong.append(("unpin", answer.status_code, answer.text))

    async def ask_around(self) -> None:
        """What every page and tool asks now and then: among it what Ollama could die of."""
        async with web.async_client(base_url=self.house.url, timeout=60) as client:
            paths = ["/api/ps", "/api/tags", "/api/v1/models", "/api/v1/memory", "/metrics"] * 5
            for answer in await asyncio.gather(*map(client.get, paths)):
                if answer.status_code >= 500 and answer.status_code != 503:
                    self.wrong.append(("metadata", answer.url, answer.status_code, answer.text))

    async def break_things(self) -> None:
        """One thing after the other."""
        faults: list[Callable[[], Awaitable[None]]] = [
            self.hurt_ollama, self.hurt_runner, self.hurt_runner, self.kill_controller, self.reload,
            self.shorten_memory, self.order, self.order, self.order, self.ask_around, self.ask_around,
        ]  # fmt: skip
        while time.monotonic() < self.ends:
            await asyncio.sleep(self.chance.uniform(0.5, 6))
            await self.open.wait()
            await self.chance.choice(faults)()
            await asyncio.to_thread(self.check)

    def check(self) -> None:
        """What must hold at any moment."""
        if len(self.runners()) > ROOM + 1:  # one that has just been killed may still be seen
            self.wrong.append(("runners", [argv_of(one) for one in self.runners()]))
        with contextlib.suppress(httpx.TransportError):
            memory = web.get(f"{self.house.url}/api/v1/memory", timeout=60).json()
            if len(memory["models_loaded"]) > ROOM:
                self.wrong.append(("memory", memory))

    # --- what grows ---

    async def at_rest(self) -> tuple[int, int]:
        """Bytes and descriptors of the controller while nobody asks for anything."""
        self.open.clear()
        await asyncio.to_thread(until, self.idle, seconds=LONGEST, why="everybody is answered")
        controller = psutil.Process(self.house.pid)
        seen = controller.memory_info().rss, controller.num_fds()
        self.open.set()
        return seen

    def idle(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            queue = web.get(f"{self.house.url}/api/v1/queue", timeout=60).json()
            return not queue["waiting"] and not queue["running"]
        return False

    async def watch_growth(self) -> tuple[tuple[int, int], tuple[int, int]]:
        await asyncio.sleep(SECONDS * 0.55)
        before = await self.at_rest()
        await asyncio.sleep(max(0.0, self.ends - time.monotonic()))
        return before, await self.at_rest()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[FakeHouse]:
    """A house on the real Ollama with room for two of its four models."""
    with fake_house(tmp_path / "house") as it:
        it.configure(
            ollama={"binary": str(real.program()), "probe_every": "500ms"},
            line=LINE,
            drain="20s",
            adopt_grace="30s",
        )
        library = real.copy_library(tmp_path / "models")
        it.write("models", {"folder": str(library), "max_loaded": ROOM, "parallel": 2, "context_length": 2048})
        it.write("access", allow([1, 1, 2, 2, 3, 3], running=2, waiting=20))
        yield it


def most_attempts(house: House) -> int:
    return max(int(each.get("attempts", 0)) for each in house.events() if each.get("kind") == "access")


@pytest.mark.proof
@pytest.mark.timeout(SECONDS + 3 * LONGEST)
async def test_half_an_hour_of_faults_loses_nothing_doubles_nothing_and_grows_nothing(house: FakeHouse) -> None:
    memory = house.rig_memory(pressure=1)
    house.up().until_ready()
    soak = Soak(house, memory, random.Random(41), time.monotonic() + SECONDS)
    soak.open.set()
    async with callers(house, PEOPLE) as people:
        async with asyncio.TaskGroup() as tasks:
            for person in people * 2:
                tasks.create_task(soak.live(person))
            tasks.create_task(soak.break_things())
            growth = tasks.create_task(soak.watch_growth())
        write_gauge(memory, pressure=1)
        await asyncio.to_thread(house.run, "resume")
        told = {model: await people[0].ask(model, 10) for model in SAYS}
    print(dict(soak.came), growth.result())
    assert not soak.wrong, soak.wrong[:5]
    assert all(each.whole for each in told.values()), told
    assert soak.came["answered"] > soak.asked / 4
    assert most_attempts(house) <= 2
    (bytes_before, files_before), (bytes_after, files_after) = growth.result()
    assert bytes_after <= bytes_before + GROWTH
    assert files_after <= files_before + MORE_FILES
    assert await asyncio.to_thread(house.down) == 0
    assert not house.processes()
