"""The controller's own questions to Ollama, and the processes that hold its models."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import psutil
import pytest

from controller.engines.ollama.client import OllamaClient, Runners
from controller.engines.ollama.inside import RunnerKind, inside_of
from controller.engines.ollama.recipe import recipe_of
from controller.errors import Unreachable
from controller.residency.gpu import gpu_now
from controller.residency.vitals import idle
from controller.supervision.grandchildren import end
from tests.fakes import ollama as fake
from tests.kit import real, web
from tests.kit.ports import free_port
from tests.kit.real import RealOllama
from tests.kit.until import until
from tests.unit.residency.macs import ioreg


@asynccontextmanager
async def fake_ollama(folder: Path, **knobs: object) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """A fake that answers, and is gone with its runners when the block ends."""
    file = folder / "knobs.json"
    file.write_text(json.dumps(knobs))
    port = free_port()
    environment = {"OLLAMA_HOST": f"127.0.0.1:{port}", "FAKE_OLLAMA_KNOBS": str(file), "HOME": str(folder)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-IS", fake.__file__, "serve", env=environment, start_new_session=True
    )
    client = OllamaClient(lambda: f"http://127.0.0.1:{port}")

    async def answers() -> bool:
        try:
            await client.tags()
        except Unreachable:
            return False
        return True

    try:
        await until(answers)
        yield f"http://127.0.0.1:{port}", process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def blob_of(client: OllamaClient, model: str) -> str:
    """The file name of its weights."""
    recipe = recipe_of(await client.show(model), client.inside)
    assert recipe is not None
    return recipe.blob


async def test_it_answers_about_its_models(tmp_path: Path) -> None:
    async with fake_ollama(tmp_path, models=["tiny:latest", "other:latest"]) as (url, _):
        client = OllamaClient(lambda: url)
        assert [each["name"] for each in await client.tags()] == ["tiny:latest", "other:latest"]
        assert await client.ps() == []
        assert (await blob_of(client, "tiny")).startswith("sha256-")


async def test_no_answer_an_error_and_no_ollama_at_all_are_all_unreachable(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="does not run"):
        await OllamaClient(lambda: None).tags()
    with pytest.raises(Unreachable, match="did not answer /api/ps"):
        await OllamaClient(lambda: f"http://127.0.0.1:{free_port()}").ps()
    async with fake_ollama(tmp_path) as (url, _):
        with pytest.raises(Unreachable, match="404"):
            await OllamaClient(lambda: url).show("nobody")


@pytest.mark.parametrize("said", [b"[1]", b"7", b'"models"', b"<html>", b'{"models":7}', b'{"models":{}}'])
async def test_a_stranger_where_ollama_should_be_is_unreachable_too(said: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        client = OllamaClient(lambda: f"http://{host}:{port}")
        for ask in (client.tags, client.ps):
            with pytest.raises(Unreachable):
                await ask()


async def test_an_idle_runner_is_found_by_its_blob_and_killed_without_its_neighbours(tmp_path: Path) -> None:
    async with fake_ollama(tmp_path, models=["tiny:latest", "other:latest"]) as (url, process):
        client, runners = OllamaClient(lambda: url), Runners(lambda: process.pid)
        tiny, other = await blob_of(client, "TINY:latest"), await blob_of(client, "other")
        assert await runners.holding(tiny) == []  # nothing is loaded
        async with web.async_client(base_url=url) as http:
            for model in ("tiny", "other"):
                await http.post("/api/generate", json={"model": model, "prompt": ""})
        [runner] = held = await runners.holding(tiny)
        await until(lambda: idle(runners.slots, held))  # one that is just starting is at work
        await end(held)
        assert not runner.is_running() or runner.status() == psutil.STATUS_ZOMBIE
        assert len(await runners.holding(other)) == 1


async def test_a_lost_slot_comes_back_once_its_runner_is_killed(tmp_path: Path) -> None:
    asked = {"model": "tiny", "prompt": "hello", "stream": True}
    async with (
        fake_ollama(tmp_path, leak_slots=True, pause=0.05) as (url, process),
        web.async_client(base_url=url, timeout=30) as http,
    ):
        async with http.stream("POST", "/api/generate", json=asked) as answer:
            await anext(answer.aiter_raw())  # … and the client leaves
        with pytest.raises(httpx.ReadTimeout):
            await http.post("/api/generate", json={**asked, "stream": False}, timeout=1)
        runners = Runners(lambda: process.pid)
        held = await runners.all()
        assert await idle(runners.slots, held)
        await end(held)
        answer = await http.post("/api/generate", json={**asked, "stream": False})
        assert answer.json()["response"].startswith("the sea")


@pytest.mark.alone  # it is known by the processor time that it gets
async def test_a_runner_at_work_is_known_as_such() -> None:
    argv = [sys.executable, "-c", "while True: pass", "runner", "--model", "/blobs/sha256-tiny"]
    busy = await asyncio.create_subprocess_exec(*argv)
    try:
        runners = Runners(os.getpid)
        held = await runners.holding("sha256-tiny")
        assert [each.pid for each in held] == [busy.pid]
        assert not await idle(runners.slots, held)
    finally:
        busy.kill()
        await busy.wait()


async def test_runners_that_cannot_be_seen_are_not_taken_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def blind() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("controller.supervision.tree.table", blind)
    for asked in (Runners(os.getpid).all(), Runners(os.getpid).holding("sha256-tiny")):
        with pytest.raises(OSError, match="Too many open files"):
            await asked


# --- on a Mac, by what its tools said ---------------------------------------------------------------------------------


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[bytes], None]:
    """What `ioreg` says from now on, as a Mac hears it."""
    said = tmp_path / "ioreg.plist"
    monkeypatch.setattr("controller.residency.gpu.sys", SimpleNamespace(platform="darwin"))
    monkeypatch.setattr("controller.residency.gpu.IOREG", ("/bin/cat", str(said)))

    def says(text: bytes) -> None:
        said.write_bytes(text)

    return says


@pytest.mark.parametrize(("share", "rests"), [(0, True), (2, True), (3, False), (97, False)])
async def test_a_runner_that_leaves_the_processor_alone_is_idle_if_the_gpu_of_its_mac_is_too(
    mac: Callable[[bytes], None], share: int, rests: bool
) -> None:
    mac(ioreg(20 * 2**30, share, {os.getpid(): 12.5}))
    assert await idle(Runners(lambda: None).slots, []) is rests
    seen = await gpu_now()
    assert seen is not None
    assert (seen.share, seen.worked(os.getpid())) == (share, 12.5)


@pytest.mark.parametrize("said", [b"", b"nonsense", b"<plist><array/></plist>"])
async def test_a_gpu_that_does_not_tell_how_busy_it_is_works(mac: Callable[[bytes], None], said: bytes) -> None:
    mac(said)
    assert not await idle(Runners(lambda: None).slots, [])


async def test_a_mac_without_the_tool_thinks_its_gpu_works(
    mac: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.residency.gpu.IOREG", ("/usr/sbin/no-ioreg-here",))
    assert not await idle(Runners(lambda: None).slots, [])


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has one")
async def test_elsewhere_no_gpu_is_asked() -> None:
    assert await gpu_now() is None


async def test_a_real_runner_says_itself_whether_its_slots_work_and_how_far_they_are(real_ollama: RealOllama) -> None:
    runners = Runners(lambda: real_ollama.process.pid)
    asked = {"model": "ticker", "prompt": "hi", "options": {"num_predict": 50_000}}
    async with web.async_client(base_url=real_ollama.url, timeout=60) as http:
        client = OllamaClient(lambda: real_ollama.url)
        await http.post("/api/generate", json={"model": "ticker"})
        held = await runners.holding(await blob_of(client, "ticker"))
        if inside_of(real.version()).kind is not RunnerKind.LLAMA_SERVER:
            assert await runners.slots(held) is None
            return
        at_rest = await runners.slots(held)
        assert at_rest is not None
        assert at_rest.working == 0
        async with http.stream("POST", "/api/generate", json=asked) as answer:
            pieces = answer.aiter_raw()
            await anext(pieces)
            seen = set[object]()

            async def gets_on() -> bool:  # one that is busy may not say so in time
                told = await runners.slots(held)
                assert told is None or told.working
                seen.add(told)
                return len(seen - {None}) > 1

            await until(gets_on)
            assert not await idle(runners.slots, held)
        await until(lambda: idle(runners.slots, held))
        await http.post("/api/generate", json={"model": "ticker", "keep_alive": 0})
