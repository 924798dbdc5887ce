"""Breaking what answers while a line waits for it: memory that runs short, runners that die, hang or are stopped, and
prompts that take their time.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.acceptance.conftest import MakeHouse
from tests.fakes.gauge import write_gauge
from tests.kit import real, web
from tests.kit.below import runners_below
from tests.kit.house import GENEROUS, FakeHouse, House, until
from tests.tunnel.outside import HOST, VISITOR, Outside

GRACE, EVERY = 10.0, 15.0  # seconds until the first filler, and between two
SETTLED = 10.0  # seconds that memory must be better before it counts
QUICK = {**GENEROUS, "patience": "0s", "min_stay": "0s", "linger": "0s"}


@dataclass(frozen=True)
class Said:
    """What one request came to."""

    status: int
    text: str

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def whole(self) -> bool:
        return self.status == 200 and bool(self.records[-1].get("done"))

    @property
    def filled(self) -> bool:
        """Whether it was sent fillers before anything else."""
        return self.text.startswith(" ")


async def ask(house: House, model: str, prompt: str = "hi", **more: Any) -> Said:
    """One generation to its end."""
    async with web.async_client(base_url=house.url, timeout=300) as client:
        answer = await client.post("/api/generate", json={"model": model, "prompt": prompt, **more})
    return Said(answer.status_code, answer.text)


async def fillers(client: httpx.AsyncClient, model: str, count: int, **more: Any) -> list[float]:
    """Seconds at which the first bytes of an answer come, `count` of them, all fillers; then hang up."""
    began, came = time.monotonic(), list[float]()
    async with client.stream("POST", "/api/generate", json={"model": model, "prompt": "hi", **more}) as answer:
        assert answer.status_code == 200
        async for piece in answer.aiter_raw():
            assert not piece.strip(), piece
            came += [time.monotonic() - began] * len(piece)
            if len(came) >= count:
                return came
    raise AssertionError(f"it ended after {came}")


def in_rhythm(came: list[float], slack: float = 5.0) -> bool:
    """The first after its grace, then one every so often: never later, for somebody on the way counts the silence."""
    return GRACE <= came[0] < GRACE + slack and all(b - a < EVERY + slack for a, b in pairwise(came))


def get(house: House, path: str) -> dict[str, Any]:
    return dict(web.get(f"{house.url}{path}", timeout=30).json())


def models(house: House) -> dict[str, dict[str, Any]]:
    """`GET /api/v1/models`, by name without `:latest`."""
    return {each["id"].removesuffix(":latest"): each for each in get(house, "/api/v1/models")["data"]}


def loaded(house: House) -> set[str]:
    return {name for name, each in models(house).items() if each["state"] == "resident"}


def said(house: House, words: str) -> bool:
    """Whether the log has an event with these words."""
    return any(words in str(event.get("text", "")) for event in house.events())


async def there(what: Any, why: str = "", seconds: float = 60.0) -> float:
    """Wait for a fact of another process; seconds that it took."""
    began = time.monotonic()
    await asyncio.to_thread(until, what, seconds=seconds, why=why)
    return time.monotonic() - began


def several(make_house: MakeHouse, *names: str, **knobs: Any) -> FakeHouse:
    """A house whose fake Ollama has these models."""
    house = make_house(line=QUICK)
    house.knobs(models=[f"{name}:latest" for name in names], **knobs)
    return house


def on_real_ollama(make_house: MakeHouse, tmp_path: Path, **line: Any) -> FakeHouse:
    """A house on the real Ollama with the kit's models, up and ready."""
    soon = {"direct": f"{GRACE:g}s"}  # as a stream is
    house = make_house(line={**QUICK, **line}, ollama={"binary": str(real.program())}, first_filler=soon)
    house.write("models", {"folder": str(real.copy_library(tmp_path / "models"))})
    house.up().until_ready()
    return house


# --- row 31: memory gets short, and is fine again ---


@pytest.mark.alone
async def test_row_31_short_memory_stops_loads_then_grants_then_unloads_and_all_who_waited_are_served(
    make_house: MakeHouse,
) -> None:
    house = several(make_house, "old", "new", "third")
    memory = house.rig_memory(pressure=1)
    house.up().until_ready()
    assert (await ask(house, "old")).whole
    assert (await ask(house, "new")).whole
    write_gauge(memory, pressure=2)
    assert await there(lambda: not get(house, "/api/v1/memory")["may_load"], "nothing more is loaded") < 5
    waits = asyncio.create_task(ask(house, "third"))
    await there(lambda: get(house, "/api/v1/queue")["waiting"] == 1)
    assert (await ask(house, "old")).whole, "what is loaded goes on answering"
    assert loaded(house) == {"old", "new"}
    write_gauge(memory, pressure=4)
    assert await there(lambda: loaded(house) == {"old"}, "the least recently used one leaves") < 5
    waits_too = asyncio.create_task(ask(house, "old"))
    await there(lambda: get(house, "/api/v1/queue")["waiting"] == 2, "nothing is begun")
    assert get(house, "/api/v1/queue")["running"] == 0
    await there(lambda: loaded(house) == set(), "it wants another one's memory too")
    write_gauge(memory, pressure=1)
    fine = time.monotonic()
    told = await asyncio.gather(waits, waits_too)
    assert time.monotonic() - fine >= SETTLED - 1.5, "one good moment is not enough"
    assert all(each.whole and each.filled for each in told), told
    assert loaded(house) == {"old", "third"}


# --- row 9: poison ---


async def test_row_9_a_poison_request_is_soon_refused_and_everybody_else_is_served(make_house: MakeHouse) -> None:
    house = several(make_house, "tiny", "other", poison="poison")
    house.write("models", {"parallel": 1})
    house.up().until_ready()
    assert (await ask(house, "other")).whole
    told = await ask(house, "tiny", "poison")
    assert told.status == 500
    assert models(house)["tiny"]["crashes"] == 2
    assert (await ask(house, "tiny", "poison")).status == 400
    assert models(house)["tiny"]["crashes"] == 2, "it is not tried again"
    assert (await ask(house, "tiny", "something else")).whole
    assert (await ask(house, "other")).whole
    assert house.child()["restarts"] == 0


async def test_row_9_a_model_whose_load_crashes_is_set_aside_and_everybody_else_is_served(
    make_house: MakeHouse,
) -> None:
    house = several(make_house, "tiny", "other", cursed="tiny")
    house.up().until_ready()
    others = [asyncio.create_task(ask(house, "other")) for _ in range(4)]
    told = await asyncio.gather(*(ask(house, "tiny") for _ in range(4)))
    assert all(each.status == 503 and "crashed twice" in each.records[-1]["error"] for each in told), told
    assert (await ask(house, "tiny")).status == 503
    assert all(each.whole for each in await asyncio.gather(*others))
    state = models(house)["tiny"]
    assert (state["state"], state["crashes"]) == ("quarantined", 2)
    assert house.child()["restarts"] == 0


# --- rows 4 and 5: runners that neither work nor end ---


async def test_row_4_a_runner_stopped_in_mid_stream_ends_its_answer_with_a_reason_and_serves_the_next(
    make_house: MakeHouse, tmp_path: Path
) -> None:
    house = on_real_ollama(make_house, tmp_path)
    stream = asyncio.create_task(ask(house, "ticker", options={"num_predict": 1_000_000}))
    await there(lambda: models(house).get("ticker", {}).get("running") == 1)
    server = psutil.Process(house.child()["pid"])
    [runner] = runners_below(server.pid)
    runner.send_signal(signal.SIGSTOP)
    async with asyncio.timeout(45):
        told = await stream
    assert told.records[-1]["error"]
    assert (await ask(house, "ticker", options={"num_predict": 5})).whole
    assert not runner.is_running() or runner.status() == psutil.STATUS_ZOMBIE
    assert house.child()["restarts"] == 0, "the runner was ended, not the server"


@pytest.mark.proof
async def test_row_5_a_frozen_answer_behind_a_green_version_is_a_hang_and_its_request_is_answered_in_the_end(
    make_house: MakeHouse,
) -> None:
    house = several(make_house, "tiny")
    house.up().until_ready()
    assert (await ask(house, "tiny")).whole
    house.knobs(models=["tiny:latest"], freeze=True)
    frozen = asyncio.create_task(ask(house, "tiny"))
    # 30 s without a first byte, 5 s to make sure, and what a busy machine adds
    assert await there(lambda: said(house, "neither brought nor did anything"), seconds=60) < 30 + 5 + 10
    house.knobs(models=["tiny:latest"])
    told = await frozen
    assert told.whole
    assert told.filled
    assert models(house)["tiny"]["crashes"] == 0, "a hang is no crash"
    assert house.child()["restarts"] == 0


# --- rows 6 and 38: long silence that is work ---


async def silent_work(house: House, count: int) -> None:
    """A long computation of which nothing is seen until its end: like a long prompt's, and as long as one likes."""
    server = psutil.Process(house.child()["pid"])
    async with web.async_client(base_url=house.url, timeout=60) as client:
        came = await fillers(client, "ticker", count, stream=False, options={"num_predict": 10_000_000})
    assert in_rhythm(came), came
    assert runners_below(server.pid)
    assert models(house)["ticker"]["loads"] == 1
    assert not said(house, "was ended")


async def test_row_6_a_runner_that_computes_in_silence_is_never_ended_and_its_client_sees_fillers(
    make_house: MakeHouse, tmp_path: Path
) -> None:
    times = {"first_byte": "30s", "answer": "30s"}  # of standstill, and of others' waiting: there is neither
    await silent_work(on_real_ollama(make_house, tmp_path, times=times), 4)  # 55 s: the stuck rule would take 35


@pytest.mark.proof
@pytest.mark.timeout(900)
async def test_row_6_ten_minutes_of_silent_work_are_left_alone(make_house: MakeHouse, tmp_path: Path) -> None:
    times = {"first_byte": "30s", "answer": "30s"}  # of standstill, and of others' waiting: there is neither
    await silent_work(on_real_ollama(make_house, tmp_path, times=times), 41)


AT = "203.0.113.9"  # a visitor


async def through_the_tunnel(make_house: MakeHouse, outside: Outside, seconds: float) -> list[float]:
    """When fillers come to a visitor whose prompt takes `seconds`."""
    house = make_house(tunnel=outside.settings())
    visitor = {"label": "the tunnel", "addresses": [AT], "lane": 3, "through_tunnel": True}
    house.write("access", {"allow": [{"label": "me", "addresses": ["127.0.0.1"]}, visitor]})
    house.knobs(busy=True)  # silence that is work
    house.up().until_ready()
    house.until_state("ready", "tunnel", seconds=60)
    assert (await ask(house, "tiny")).whole  # it is loaded: the silence is the prompt's alone
    house.knobs(prefill=seconds, busy=True)
    began, came, text = time.monotonic(), list[float](), b""
    async with web.async_client(base_url=outside.front, headers={"Host": HOST, VISITOR: AT}, timeout=60) as client:
        body = {"model": "tiny", "prompt": "hi"}
        async with client.stream("POST", "/api/generate", json=body) as answer:
            async for piece in answer.aiter_raw():
                text += piece
                if not text.strip():
                    came.append(time.monotonic() - began)
    assert json.loads(text.splitlines()[-1])["done"] is True
    assert house.down() == 0
    return came


async def test_row_38_a_silent_prompt_keeps_its_way_through_the_tunnel_open(
    make_house: MakeHouse, outside: Outside
) -> None:
    came = await through_the_tunnel(make_house, outside, 28.0)
    assert len(came) == 2
    assert in_rhythm(came, slack=2.5), came


@pytest.mark.proof
async def test_row_38_two_minutes_of_a_silent_prompt_go_through_the_tunnel(
    make_house: MakeHouse, outside: Outside
) -> None:
    came = await through_the_tunnel(make_house, outside, 119.0)
    assert len(came) >= 8
    assert in_rhythm(came, slack=1.0), came
