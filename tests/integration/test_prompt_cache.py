"""What a real runner keeps of conversations, and that room is kept for all of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from controller.engines.ollama.inside import RunnerKind, inside_of
from controller.engines.ollama.needs import CHECKPOINTS
from controller.engines.runner import Runner
from controller.plain import MIB
from controller.residency.resident import NoRoom, Resident
from tests.kit import real
from tests.kit.models import KNOWS_ALL, speaker
from tests.kit.residing import PATIENT, House, residing

pytestmark = pytest.mark.skipif(
    inside_of(real.version()).kind is not RunnerKind.LLAMA_SERVER, reason="before Ollama 0.30 no conversations are kept"
)
LONG = speaker("long", KNOWS_ALL, head=1024)  # each token of its context takes 4 KiB
TOKENS, CONVERSATION = 4096, 16 * MIB
HALF = 1900  # tokens of a prompt: 7.4 MiB


@asynccontextmanager
async def keeping(folder: Path, mebibytes: int) -> AsyncIterator[tuple[House, Resident]]:
    """A house whose only model is in memory and may keep so many MiB of conversations; and its row."""
    (folder / "models").mkdir()
    told = {"LLAMA_ARG_CACHE_RAM": str(mebibytes), "LLAMA_ARG_CTX_CHECKPOINTS": str(CHECKPOINTS)}
    with real.serve(folder / "home", folder / "models", OLLAMA_CONTEXT_LENGTH=str(TOKENS), **told) as ollama:
        await asyncio.to_thread(ollama.add, LONG)
        models = {"context_length": TOKENS, "prompt_cache": f"{mebibytes}MiB"}
        async with residing(ollama.url, ollama.process.pid, models=models, loads=PATIENT) as house:
            long = await house.bring("long")
            yield house, house.residents.table[long.key]


async def speak(house: House, number: int) -> None:
    """One more conversation, which shares nothing with the others."""
    text = f"{number:04d} " + "".join(chr(97 + (number * 7 + at * at) % 26) for at in range(HALF))
    asked = {"model": "long", "prompt": text, "raw": True, "stream": False, "options": {"num_predict": 2}}
    await house.ollama._ask("POST", "/api/generate", asked, limit=120)


async def held(house: House, row: Resident) -> int:
    """Bytes that its process holds at this moment."""
    return sum(each.memory_info().rss for each in await house.residents.processes(row.runner.key))


async def test_promise_6_a_runner_grows_by_conversations_and_never_beyond_what_was_promised_at_its_load(
    tmp_path: Path,
) -> None:
    async with keeping(tmp_path, 32) as (house, row):
        log = (tmp_path / "home" / "ollama.log").read_text(errors="replace")
        assert "prompt cache is enabled, size limit: 32 MiB" in log
        assert f"context checkpoints enabled, max = {CHECKPOINTS}" in log
        assert row.cache == 32 * MIB + CONVERSATION
        at_load, promised, learned = await held(house, row), row.promised, house.store.get(row.runner.key).memory
        assert row.taken == learned
        seen = []
        for number in range(12):
            await speak(house, number)
            seen.append(await held(house, row))
        assert max(seen) <= promised
        assert max(seen) > at_load + 32 * MIB  # it is full, and that is far more than was there after its load
        assert max(seen) > row.taken
        assert seen[-1] - seen[-4] < 4 * MIB  # and grows no more
        assert (row.promised, house.store.get(row.runner.key).memory) == (promised, learned)
        house.names.weigh()
        again = await house.runner("long")
        assert (again.need, again.cache) == (learned, row.cache)


async def test_room_that_a_runner_may_yet_grow_into_is_given_to_nobody_else(tmp_path: Path) -> None:
    async with keeping(tmp_path, 32) as (house, row):
        other = Runner("other", "other", "other", row.runner.facts, engine="ollama", need=row.taken)
        for more, fits in ((0, True), (-1, False)):
            budget = {"memory": {"budget": row.promised + other.need + more}}
            house.config = house.config.model_validate({"server": budget, "models": house.config.models.model_dump()})
            found = house.residents.plan(other, [])
            assert isinstance(found, NoRoom) is not fits


async def test_a_runner_that_is_to_keep_nothing_grows_no_further_than_it_was_expected_to(tmp_path: Path) -> None:
    async with keeping(tmp_path, 0) as (house, row):
        assert "prompt cache is disabled" in (tmp_path / "home" / "ollama.log").read_text(errors="replace")
        assert row.cache == 0
        for number in range(5):
            await speak(house, number)
            assert await held(house, row) <= row.promised
