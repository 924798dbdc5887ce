"""What the gateway's cure of lost slots stands on: a client that hangs up in mid-answer may take its slot along, and
unloading the model brings it back. Ollama alone, without any of us in between.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import pytest

from controller.engines.ollama.client import OllamaClient, Runners
from controller.residency.vitals import idle
from controller.supervision.grandchildren import end, gone
from tests.kit import real, web
from tests.kit.until import until

HANG_UPS = 100
SOON = 8.0  # seconds in which a slot that is there has answered, on a busy machine too
AFTER = (0, 1, 1, 2, 5, 20)  # pieces of an answer


@pytest.mark.proof
async def test_a_slot_that_a_hang_up_took_along_comes_back_when_the_model_is_unloaded(
    tmp_path: Path, tiny_models: Path, record_property: Callable[[str, object], None]
) -> None:
    chance, lost = random.Random(7), 0
    with real.serve(tmp_path / "home", tiny_models, OLLAMA_NUM_PARALLEL="1", OLLAMA_KEEP_ALIVE="-1") as ollama:
        runners, client = Runners(lambda: ollama.process.pid), OllamaClient(lambda: ollama.url)
        async with web.async_client(base_url=ollama.url, timeout=60) as http:
            await client.load("ticker", embeds=False)
            for _ in range(HANG_UPS):
                await leave(http, after=chance.choice(AFTER))
                if await answers(http):
                    continue
                lost += 1
                held = await runners.all()
                await until(partial(idle, runners.slots, held))
                await client.unload("ticker")
                if not await gone(held, SOON):  # Ollama waits for the answer whose slot is lost
                    await end(held)
                assert await answers(http), "unloading it cured nothing"
    record_property("lost", lost)
    print(f"Ollama {real.version()}: {lost} slots lost in {HANG_UPS} hang-ups")
    assert lost <= HANG_UPS // 10


async def leave(http: httpx.AsyncClient, *, after: int) -> None:
    """Ask for a long answer, and hang up after so many pieces."""
    asked = {"model": "ticker", "prompt": "hi", "options": {"num_predict": 5000}}
    async with http.stream("POST", "/api/generate", json=asked) as answer:
        pieces = answer.aiter_raw()
        for _ in range(after):
            await anext(pieces)


async def answers(http: httpx.AsyncClient) -> bool:
    """Whether the next request is answered soon."""
    asked = {"model": "ticker", "prompt": "hi", "stream": False, "options": {"num_predict": 5}}
    try:
        return (await http.post("/api/generate", json=asked, timeout=SOON)).is_success
    except httpx.TimeoutException:
        return False
