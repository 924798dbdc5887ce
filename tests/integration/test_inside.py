"""What the tables say of Ollama's inside is so, by the Ollama that tests run against."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from controller.engines.ollama.client import OllamaClient
from controller.engines.ollama.failures import runner_died, words_of
from controller.engines.ollama.inside import RunnerKind, held_by, inside_of, strange
from tests.kit import real, web
from tests.kit.below import argv_of, runners_below
from tests.kit.until import until

INSIDE = inside_of(real.version())
OTHER: dict[str, Any] = {"num_ctx": 4096, "num_batch": 64, "num_gpu": 3, "main_gpu": 1, "use_mmap": True}
OTHER |= {"num_thread": 2, "draft_num_predict": 9, "temperature": 0.1, "num_keep": 9}
"""Values that are not those of the model `red`, which says that it takes one thread."""
USUAL = {"num_batch": 512, "num_gpu": -1, "main_gpu": 0, "draft_num_predict": 4}


@pytest.fixture(scope="module")
def ollama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real.RealOllama]:
    home = tmp_path_factory.mktemp("ollama")
    with real.serve(home, real.copy_library(home / "models"), OLLAMA_KEEP_ALIVE="-1") as ollama:
        yield ollama


async def loaded_anew(ollama: real.RealOllama, **asked: Any) -> bool:
    """Whether a request with these further members is answered by another process than one without them."""
    plain = {"model": "red", "prompt": "hi", "stream": False}
    async with web.async_client(base_url=ollama.url, timeout=60) as http:
        (await http.post("/api/generate", json=plain)).raise_for_status()
        before = {each.pid for each in runners_below(ollama.process.pid)}
        (await http.post("/api/generate", json={**plain, **asked})).raise_for_status()
        after = {each.pid for each in runners_below(ollama.process.pid)}
        await OllamaClient(lambda: ollama.url).unload("red")
    await until(lambda: not runners_below(ollama.process.pid))
    return not before & after


def test_it_was_tried_with_the_ollama_of_the_tests() -> None:
    assert strange(real.version()) is None


@pytest.mark.parametrize("name", OTHER)
async def test_another_value_of_what_is_fixed_loads_the_model_anew_and_of_nothing_else(
    ollama: real.RealOllama, name: str
) -> None:
    assert await loaded_anew(ollama, options={name: OTHER[name]}) is (name in INSIDE.fixed)


@pytest.mark.parametrize("name", USUAL)
async def test_the_usual_value_of_what_is_fixed_loads_nothing_anew(ollama: real.RealOllama, name: str) -> None:
    if name in INSIDE.fixed and INSIDE.fixed[name] == str(USUAL[name]):
        assert not await loaded_anew(ollama, options={name: USUAL[name]})


async def test_what_has_no_usual_value_loads_the_model_anew_whatever_it_is(ollama: real.RealOllama) -> None:
    """`num_batch` of 512 only where the automatic one is another."""
    for name in ("num_batch", "main_gpu", "draft_num_predict"):
        anew = await loaded_anew(ollama, options={name: USUAL[name]})
        assert anew is (name in INSIDE.fixed and INSIDE.fixed[name] is None)


async def test_a_member_that_is_fixed_loads_the_model_anew(ollama: real.RealOllama) -> None:
    for name in ("shift", "truncate"):
        assert await loaded_anew(ollama, **{name: False}) is (name in INSIDE.fixed_members)


async def test_who_holds_a_model_is_of_the_kind_that_it_says_and_reads_in_such_batches(
    ollama: real.RealOllama,
) -> None:
    client = OllamaClient(lambda: ollama.url)
    await client.load("red", embeds=False)
    [argv] = [argv_of(each) for each in runners_below(ollama.process.pid)]
    held = held_by(argv)
    assert held is not None
    assert held.kind is INSIDE.kind
    if held.kind is RunnerKind.LLAMA_SERVER:
        assert argv[argv.index("-b") + 1] == str(INSIDE.batch(8192))
        log = ollama.log.read_text(errors="replace")
        assert f"prompt cache is enabled, size limit: {INSIDE.prompt_cache // 2**20} MiB" in log
    await client.unload("red")
    await until(lambda: not runners_below(ollama.process.pid))


@pytest.mark.parametrize("path", ["/api/embed", "/api/embeddings", "/v1/embeddings"])
async def test_a_model_made_for_chats_embeds_or_does_not(ollama: real.RealOllama, path: str) -> None:
    asked = {"model": "red", "prompt" if path == "/api/embeddings" else "input": "hi"}
    async with web.async_client(base_url=ollama.url, timeout=60) as http:
        answer = await http.post(path, json=asked)
    assert answer.is_success is INSIDE.chats_embed
    if not answer.is_success:
        assert "does not support embeddings" in words_of(answer.content)
        assert not runner_died(words_of(answer.content), INSIDE)


async def test_a_prompt_that_is_too_long_is_no_fault_of_the_runner(ollama: real.RealOllama) -> None:
    asked = {"model": "red", "prompt": "word " * 9000, "stream": False, "shift": False, "truncate": False}
    async with web.async_client(base_url=ollama.url, timeout=120) as http:
        answer = await http.post("/api/generate", json=asked)
    assert answer.status_code < 500
    assert not runner_died(words_of(answer.content), INSIDE)


async def test_the_words_for_a_runner_that_was_killed_in_mid_answer_are_known(tmp_path: Path) -> None:
    with real.serve(tmp_path / "home", real.copy_library(tmp_path / "models")) as ollama:
        asked = {"model": "ticker", "prompt": "hi", "stream": False, "options": {"num_predict": 80_000}}
        async with web.async_client(base_url=ollama.url, timeout=60) as http:
            await OllamaClient(lambda: ollama.url).load("ticker", embeds=False)
            [runner] = runners_below(ollama.process.pid)
            waited = runner.cpu_times().user

            async def kill_it() -> None:
                await until(lambda: _used(runner) > waited + 0.2)  # it writes
                os.kill(runner.pid, signal.SIGKILL)

            answer, _ = await asyncio.gather(http.post("/api/generate", json=asked), kill_it())
    assert answer.status_code == 500
    assert runner_died(words_of(answer.content), INSIDE), answer.text


def _used(process: psutil.Process) -> float:
    return process.cpu_times().user
