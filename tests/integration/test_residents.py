"""The one owner of what is in memory, on a real Ollama."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from controller.config.schema import Config
from controller.engines.ollama.settings import OLLAMA
from controller.residency.resident import Presence, Swap
from tests.fakes.clock import WoundClock
from tests.kit import real, web
from tests.kit.residing import QUICK, House, residing
from tests.kit.until import until

ONE = {"max_loaded": 1}


@pytest.fixture(scope="module")
def ollama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real.RealOllama]:
    """One for this module: nothing is evicted but by us."""
    home = tmp_path_factory.mktemp("ollama")
    variables = {"OLLAMA_KEEP_ALIVE": "-1", "OLLAMA_MAX_LOADED_MODELS": "8"}
    with real.serve(home, real.copy_library(home / "models"), **variables) as ollama:
        yield ollama


@asynccontextmanager
async def house_of(ollama: real.RealOllama, **settings: Any) -> AsyncIterator[House]:
    """Residents on an Ollama with nothing loaded."""
    async with residing(ollama.url, ollama.process.pid, **settings) as house:
        await clear(house)
        yield house


async def clear(house: House) -> None:
    await unload_all(house)
    await until(lambda: not house.residents.table)


async def unload_all(house: House) -> None:
    for name in await house.loaded():
        await house.ollama.unload(name)
    await until(lambda: not house.processes())


async def test_a_swap_there_and_back_leaves_one_process_and_one_line_in_ollamas_list(ollama: real.RealOllama) -> None:
    async with house_of(ollama, models=ONE) as house:
        for name in ("red", "blue", "red"):
            runner = await house.bring(name)
            assert house.processes() == {runner.blob}
            assert await house.loaded() == [f"{name}:latest"]
            row = house.residents.table[runner.key]
            assert row.taken > 0
            assert row.load_seconds > 0
        assert house.store.get(runner.key).loads == 2
        assert house.said().count("Loaded red:latest in ") == 2


async def test_rows_are_marked_when_a_swap_begins_and_at_no_time_is_memory_promised_twice(
    ollama: real.RealOllama,
) -> None:
    async with house_of(ollama, models=ONE) as house:
        red, blue = await house.bring("red"), await house.runner("blue")
        stream = house.demand.runs(red)
        house.demand.waits(blue)
        house.swap(blue)
        assert (house.presence(red), house.presence(blue)) == (Presence.LEAVING, Presence.LOADING)
        looks = house.gauge.readings
        await until(lambda: house.gauge.readings > looks + 3)  # time goes by
        assert house.processes() == {red.blob}  # its answer is not finished
        house.demand.tickets.remove(stream)
        house.residents.freed(red.key)
        await house.here(blue)
        assert house.processes() == {blue.blob}


async def test_a_load_whose_last_waiter_left_meanwhile_is_not_started(ollama: real.RealOllama) -> None:
    async with house_of(ollama, models=ONE) as house:
        red, blue = await house.bring("red"), await house.runner("blue")
        stream, waiter = house.demand.runs(red), house.demand.waits(blue)
        house.swap(blue)
        house.demand.tickets.remove(waiter)
        await until(lambda: house.presence(red) is Presence.RESIDENT)  # it need not leave after all
        assert house.presence(blue) is None
        house.demand.tickets.remove(stream)
        house.residents.freed(red.key)
        assert house.processes() == {red.blob}
        assert "blue" not in house.said()
        assert house.failures == []


async def test_seconds_of_a_load_go_on_the_account_of_who_caused_it(ollama: real.RealOllama) -> None:
    async with house_of(ollama) as house:
        red = await house.runner("red")
        house.demand.waits(red)
        house.residents.begin(Swap(red, (), "line", "kim"))
        await house.here(red)
        assert house.demand.charged == {"kim": house.residents.table[red.key].load_seconds}


async def test_two_names_of_one_blob_with_other_options_are_never_in_memory_together(ollama: real.RealOllama) -> None:
    await asyncio.to_thread(create_alias, ollama.url, "red-short", "red", 512)
    async with house_of(ollama) as house:
        red, short = await house.bring("red"), await house.runner("red-short")
        assert (red.blob, red.key == short.key) == (short.blob, False)
        await house.bring("red-short")
        assert (house.presence(red), house.presence(short)) == (None, Presence.RESIDENT)
        assert await house.loaded() == ["red-short:latest"]
        assert all(len(table) == 1 or set(table.values()) == {"leaving", "loading"} for table in house.history if table)


async def test_a_model_that_embeds_is_loaded_and_tried_with_an_embedding(ollama: real.RealOllama) -> None:
    async with house_of(ollama) as house:
        runner = await house.bring("embedder")
        assert house.processes() == {runner.blob}


async def test_a_runner_that_is_killed_while_it_loads_is_loaded_again(ollama: real.RealOllama) -> None:
    async with house_of(ollama) as house:
        red = await house.runner("red")
        house.demand.waits(red)
        house.residents.begin(Swap(red, (), "line"))
        await until(house.processes)
        for each in below(house):
            each.kill()
        await until(lambda: house.store.get(red.key).crashes or house.residents.table == {})
        if red.key not in house.residents.table:  # it was faster, and was killed when it was there: the line's turn
            house.residents.begin(Swap(red, (), "line"))
        await house.here(red)
        assert house.processes() == {red.blob}


async def test_a_runner_that_dies_by_itself_leaves_the_table_and_counts_as_a_crash(ollama: real.RealOllama) -> None:
    async with house_of(ollama) as house:
        red = await house.bring("red")
        for each in below(house):
            each.kill()
        await until(lambda: house.presence(red) is None)
        assert "red:latest is not in memory any more: its process ended." in house.said()
        await until(lambda: house.store.get(red.key).crashes == 1)  # Ollama goes on listing it
        await house.bring("red")


async def test_what_ollama_unloads_or_loads_without_us_the_table_follows(ollama: real.RealOllama) -> None:
    async with house_of(ollama) as house:
        red, blue = await house.bring("red"), await house.runner("blue")
        await house.ollama.load("blue", embeds=False)
        await until(lambda: house.presence(blue) is Presence.RESIDENT)
        assert house.residents.unproven(blue.key)
        assert not house.residents.unproven(red.key)
        await house.ollama.unload("red")
        await until(lambda: house.presence(red) is None)
        assert house.presence(blue) is Presence.RESIDENT
        listings = house.listings
        await until(lambda: house.listings > listings + 1)
        assert house.store.get(red.key).crashes == 0


@pytest.mark.proof
async def test_the_table_follows_an_ollama_that_replaces_a_stopped_runner(ollama: real.RealOllama) -> None:
    async with house_of(ollama) as house:
        red = await house.bring("red")
        [stopped] = below(house)
        stopped.send_signal(signal.SIGSTOP)
        async with web.async_client(base_url=ollama.url, timeout=120) as http:
            answer = await http.post("/api/generate", json={"model": "red", "prompt": "a", "stream": False})
        assert answer.json()["response"].strip() == "I am red."  # after some twenty seconds
        await until(lambda: house.presence(red) is Presence.RESIDENT and house.residents.unproven(red.key))
        assert "red:latest is in memory, loaded by somebody else" in house.said()
        assert stopped.pid not in [each.pid for each in below(house)]
        assert await house.residents.lives(red.key)


async def test_less_context_than_was_asked_for_is_told(tmp_path: Path, tiny_models: Path) -> None:
    with real.serve(tmp_path / "home", tiny_models, OLLAMA_CONTEXT_LENGTH="4096") as elsewhere:
        async with residing(elsewhere.url, None, models={"context_length": 8192}) as house:
            await house.bring("red")
            words = "red:latest has 4096 tokens of context, not 8192: Ollama gave it no more."
            await until(lambda: words in house.said())


async def test_an_adopted_ollama_tells_what_it_holds_and_every_slot_is_in_doubt(ollama: real.RealOllama) -> None:
    async with house_of(ollama) as house:
        await house.bring("red")
    async with residing(ollama.url, ollama.process.pid, adopted=True) as house:
        red = await house.runner("red")
        await until(lambda: house.residents.is_here(red.key))
        assert house.residents.unproven(red.key)
        assert house.residents.table[red.key].taken > 0
        house.residents.proven(red.key, time.monotonic())
        assert not house.residents.unproven(red.key)
        house.residents.left(red.key)
        house.residents.proven(red.key, time.monotonic() - 5)  # an answer that ran beside the one that was left
        assert house.residents.unproven(red.key)
        assert "Found in memory: red:latest." in house.said()


async def test_a_stuck_runner_on_an_unproven_slot_is_killed_and_loaded_anew(ollama: real.RealOllama) -> None:
    async with house_of(ollama) as house, web.async_client(base_url=ollama.url, timeout=60) as http:
        ticker = await house.bring("ticker")
        [process] = below(house)
        process.suspend()
        stuck = asyncio.create_task(http.post("/api/generate", json={"model": "ticker", "prompt": "go"}))
        house.demand.runs(ticker)
        assert not await house.residents.suspect(ticker.key)  # nobody doubts it
        house.residents.left(ticker.key)
        assert await house.residents.suspect(ticker.key)
        assert house.presence(ticker) is Presence.LEAVING  # nothing more is granted on it
        stuck.cancel()  # as the gateway does: the request returns to the line
        await until(lambda: house.presence(ticker) is Presence.RESIDENT)
        [anew] = below(house)
        assert anew.pid != process.pid
        assert not house.residents.unproven(ticker.key)
        await asyncio.gather(stuck, return_exceptions=True)


async def test_a_runner_at_work_is_not_suspected(ollama: real.RealOllama) -> None:
    async with house_of(ollama) as house, web.async_client(base_url=ollama.url, timeout=60) as http:
        ticker = await house.bring("ticker")
        house.residents.left(ticker.key)
        asked = {"model": "ticker", "prompt": "go", "options": {"num_predict": 100_000}}
        async with http.stream("POST", "/api/generate", json=asked) as answer:
            pieces = answer.aiter_raw()
            await anext(pieces)
            reading = asyncio.create_task(exhaust(pieces))  # who does not read stops the runner
            assert not await house.residents.suspect(ticker.key)
            assert house.presence(ticker) is Presence.RESIDENT
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def test_a_model_whose_last_name_is_deleted_leaves_memory(tmp_path: Path, tiny_models: Path) -> None:
    with real.serve(tmp_path / "home", tiny_models, OLLAMA_KEEP_ALIVE="-1") as own:
        await asyncio.to_thread(create_alias, own.url, "for-a-moment", "red", 700)
        async with residing(own.url, own.process.pid) as house:
            runner = await house.bring("for-a-moment")
            await house.ollama.delete("for-a-moment")
            house.names.changed()
            await until(lambda: house.presence(runner) is None)
            assert house.processes() == set()
            assert "it has been deleted" in house.said()
            polled = len(house.history)
            await house.bring("red")  # of the same weights, which Ollama goes on listing by the name that is gone
            assert all("for-a-moment:latest" not in table for table in house.history[polled:])


async def test_a_model_that_has_another_name_stays_when_one_is_deleted(tmp_path: Path, tiny_models: Path) -> None:
    with real.serve(tmp_path / "home", tiny_models, OLLAMA_KEEP_ALIVE="-1") as own:
        for name in ("for-a-moment", "for-ever"):
            await asyncio.to_thread(create_alias, own.url, name, "red", 700)
        async with residing(own.url, own.process.pid) as house:
            runner = await house.bring("for-a-moment")
            await house.ollama.delete("for-a-moment")
            house.names.changed()
            await until(lambda: house.names.known("for-ever") == runner)
            await house.ollama.delete("for-ever")
            house.names.changed()
            await until(lambda: house.presence(runner) is None)
            assert house.said().count("it has been deleted") == 1


async def test_an_idle_model_leaves_when_its_time_is_over_but_not_one_that_is_pinned_or_used(
    ollama: real.RealOllama,
) -> None:
    clock = WoundClock()
    models = {"keep_alive": "10m", "models": {"blue": {"pin": True}, "seer": {"keep_alive": "forever"}}}
    async with residing(ollama.url, ollama.process.pid, clock=clock, pace=replace(QUICK, tick=1, poll=5)) as house:

        async def wound(condition: Callable[[], object]) -> None:
            async def step() -> bool:
                await clock.wind(1)
                return bool(condition())

            await until(step)

        await unload_all(house)
        house.config = Config.model_validate({"models": models})
        runners = {}
        for name in ("red", "blue", "seer", "thinker"):
            runner = runners[name] = await house.runner(name)
            house.demand.waits(runner)
            house.swap(runner)
            await house.here(runner)
        house.demand.tickets.clear()
        user = house.demand.runs(runners["thinker"])
        await clock.wind(590)
        assert house.presence(runners["red"]) is Presence.RESIDENT
        await wound(lambda: house.presence(runners["red"]) is None)
        assert {row.runner.name for row in house.residents.table.values()} == {
            "blue:latest",
            "seer:latest",
            "thinker:latest",
        }
        house.demand.tickets.remove(user)
        await clock.wind(590)
        await wound(lambda: house.presence(runners["thinker"]) is None)
        assert house.presence(runners["blue"]) is Presence.RESIDENT


async def test_what_a_client_wants_to_stay_outlives_its_idle_time_and_makes_room_all_the_same(
    ollama: real.RealOllama,
) -> None:
    clock = WoundClock()
    async with residing(ollama.url, ollama.process.pid, clock=clock, pace=replace(QUICK, tick=1, poll=5)) as house:
        house.config = Config.model_validate({"models": {"prompt_cache": 0, "keep_alive": "10m"}})
        await unload_all(house)
        red = await house.runner("red")
        house.demand.waits(red)
        house.swap(red)
        await house.here(red)
        house.demand.tickets.clear()
        house.residents.stay(red.key)
        house.residents.freed(red.key)
        await clock.wind(3600)
        assert house.presence(red) is Presence.RESIDENT
        assert not house.residents.table[red.key].pinned
        assert house.residents.leavable() == [red.key]


async def test_what_was_in_memory_before_a_planned_restart_comes_back(tmp_path: Path, tiny_models: Path) -> None:
    with real.serve(tmp_path / "home", tiny_models, OLLAMA_KEEP_ALIVE="-1") as first:
        async with residing(first.url, first.process.pid) as house:
            red = await house.bring("red")
            house.residents.remember(OLLAMA)
            house.residents.upstream(OLLAMA, ready=False, adopted=False, same=False)
            assert house.residents.table == {}
            await house.ollama.unload("red")  # as if it were another process
            await until(lambda: not house.processes())
            house.residents.upstream(OLLAMA, ready=True, adopted=False, same=False)
            house.residents.load_at_start(OLLAMA)
            await house.here(red)
            assert house.processes() == {red.blob}


async def test_an_ollama_elsewhere_confirms_by_its_list_and_is_told_to_keep_what_we_load(
    tmp_path: Path, tiny_models: Path
) -> None:
    with real.serve(tmp_path / "home", tiny_models) as elsewhere:
        async with residing(elsewhere.url, None, models=ONE) as house:
            await house.bring("red")
            [listed] = await house.ollama.ps()
            assert listed["expires_at"] > "2200"
            await house.bring("blue")
            assert await house.loaded() == ["blue:latest"]


async def exhaust(pieces: AsyncIterator[bytes]) -> None:
    async for _ in pieces:
        pass


def below(house: House) -> list[psutil.Process]:
    """The processes below Ollama that hold a model."""
    assert house.pid is not None
    return [each for each in psutil.Process(house.pid).children() if "--model" in each.cmdline()]


def create_alias(url: str, name: str, base: str, context: int) -> None:
    content = {"model": name, "from": base, "parameters": {"num_ctx": context}, "stream": False}
    web.post(f"{url}/api/create", json=content, timeout=60).raise_for_status()
