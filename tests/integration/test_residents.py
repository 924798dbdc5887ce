"""The one owner of what is in memory, on a real Ollama."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from controller.errors import OrderRefused
from controller.residency.runner import Presence, Swap
from controller.scheduling.ticket import End
from tests.kit import real
from tests.kit.residing import House, residing
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
    for name in await house.loaded():
        await house.ollama.unload(name)
    await until(lambda: not house.processes())
    await until(lambda: not house.residents.table)


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
