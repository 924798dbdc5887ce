"""The line, on a real Ollama with real models: who goes next, what is loaded, and that nothing is lost.

Ollama itself would keep all the models loaded; a small budget makes the controller swap them. Callers come from
addresses of their own. Seconds asserted here are bounds that must hold, with room for a busy machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from controller.engines.ollama.inside import inside_of
from tests.kit import real, web
from tests.kit.below import runners_below, started_in
from tests.kit.callers import Caller, Told, allow, callers
from tests.kit.house import FakeHouse, House, fake_house, until
from tests.kit.stalls import stalls

SWAPPED = ("red", "blue", "gemma3:270m")  # each says its own sentence
SAYS = {"red": "I am red.", "blue": "I am blue.", "gemma3:270m": "gemma3:270m."}
QUICK = {"patience": "1s", "min_stay": "1s", "linger": "200ms", "aging": "60s", "waiting": 1000, "whole": 2000}

ROOM_FOR = {1: "60MiB", 2: "100MiB", 3: "150MiB", 20: "8GiB"}  # a model takes 36, and up to 51 by the estimate
FOUR_SLOTS = 2 if inside_of(real.version()).programs else 3
"""In whose room one model with four slots has place (95 MiB, or 125 in Ollama's own runner), and two have not."""

MakeLine = Callable[..., FakeHouse]


@pytest.fixture
def make_line(tmp_path: Path) -> Iterator[MakeLine]:
    """Makes a Seadragon on a real Ollama, up and ready, with one model in memory at a time unless told otherwise."""
    with ExitStack() as stack:

        def make(
            lanes: tuple[float, ...] = (1,) * 8,
            *,
            at_once: int = 1,
            line: dict[str, Any] | None = None,
            models: dict[str, Any] | None = None,
            more: dict[str, Any] | None = None,
            **server: Any,
        ) -> FakeHouse:
            house = stack.enter_context(fake_house(tmp_path / "house"))
            house.configure(
                ollama={"binary": str(real.program()), **server.pop("ollama", {})},
                line={**QUICK, **(line or {})},
                memory={"budget": ROOM_FOR[at_once], "reserve": 0},
                **server,
            )
            library = real.copy_library(tmp_path / "models")
            house.write("models", {"folder": str(library), "prompt_cache": 0, **(models or {})})
            house.write("access", allow(lanes, **(more or {"running": 2, "waiting": 500})))
            house.up().until_ready()
            return house

        yield make


async def there(what: Callable[[], Any], why: str = "") -> None:
    """Wait for a fact of another process."""
    await asyncio.to_thread(until, what, why=why)


def models(house: House) -> dict[str, dict[str, Any]]:
    """`GET /api/v1/models`, by name without `:latest`."""
    data = web.get(f"{house.url}/api/v1/models", timeout=30).json()["data"]
    return {each["id"].removesuffix(":latest"): each for each in data}


def queue(house: House) -> dict[str, Any]:
    return dict(web.get(f"{house.url}/api/v1/queue", timeout=30).json())


def loads(house: House) -> int:
    """How many loads the controller made so far."""
    return sum(each["loads"] for each in models(house).values())


def started(house: House) -> int:
    """How many runners Ollama started for models so far, as its own log tells."""
    return started_in(house.logs / "ollama.log")


def runners(house: House) -> list[psutil.Process]:
    return runners_below(house.child()["pid"])


def attempts(house: House) -> list[int]:
    """How often each request went upstream."""
    return [each["attempts"] for each in house.events() if each.get("kind") == "access" and "attempts" in each]


def right(told: Told, model: str) -> bool:
    return told.whole and told.text.strip().endswith(SAYS[model])


async def lasting(caller: Caller, seconds: float) -> int:
    """How many tokens the ticker says in about so many seconds here: versions and machines differ by ten times."""
    assert (await caller.ask("ticker")).whole  # loaded
    told = await caller.ask("ticker", tokens=500)
    assert told.whole
    assert told.first is not None
    return max(500, min(60_000, int(500 * seconds / (told.ended - told.first))))


# --- nothing is lost ---


@pytest.mark.parametrize("victim", ["ollama", "runner", "ollama stopped", "runner stopped"])
async def test_promise_1_whatever_is_killed_with_100_waiting_none_of_them_is_lost(
    make_line: MakeLine, victim: str
) -> None:
    house = make_line((1,) * 6, at_once=FOUR_SLOTS, models={"parallel": 4}, ollama={"probe_every": "200ms"})
    async with callers(house, 6) as people:
        streams = [asyncio.create_task(people[n % 2].ask("ticker", tokens=100_000)) for n in range(4)]
        await there(lambda: queue(house)["running"] == 4, "four stream")
        waiting = [asyncio.create_task(people[2 + n % 4].ask("red")) for n in range(100)]
        await there(lambda: queue(house)["waiting"] == 100, "a hundred wait")
        process = psutil.Process(house.child()["pid"]) if victim.startswith("ollama") else runners(house)[0]
        process.send_signal(signal.SIGSTOP if victim.endswith("stopped") else signal.SIGKILL)
        ended = await asyncio.gather(*streams)
        answers = await asyncio.gather(*waiting)
    assert all(not told.whole and told.error for told in ended), [told.records[-1:] for told in ended]
    assert [right(told, "red") for told in answers] == [True] * 100, [told for told in answers if not told.whole][:2]
    assert max(attempts(house)) <= 2


@pytest.mark.alone
async def test_a_controller_that_leaves_lets_streams_finish_and_tells_who_waits(make_line: MakeLine) -> None:
    house = make_line((1,) * 3, drain="8s")
    async with callers(house, 3) as people:
        stream = asyncio.create_task(people[0].ask("ticker", tokens=200))
        endless = asyncio.create_task(people[0].ask("ticker", tokens=1_000_000))
        await there(lambda: queue(house)["running"] == 1)
        waiting = [asyncio.create_task(people[1 + n % 2].ask("blue")) for n in range(10)]
        await there(lambda: queue(house)["waiting"] >= 10)
        await asyncio.to_thread(house.down)
        told = await asyncio.gather(stream, endless, *waiting)
    assert told[0].whole
    for each in told[1:]:
        assert each.whole or each.error, each
    assert not told[1].whole


@pytest.mark.parametrize("people_count", [8, 1])
async def test_three_models_in_turn_with_hang_ups_lose_nothing_and_swap_no_more_than_they_must(
    make_line: MakeLine, people_count: int
) -> None:
    house = make_line((1,) * people_count)
    chance = random.Random(people_count)
    began = time.monotonic()
    async with callers(house, people_count) as people:

        async def one(number: int) -> Told | None:
            """What it was told, if that was wrong."""
            model, caller = SWAPPED[number % 3], people[number % people_count]
            if chance.random() < 0.1:
                await caller.leave(model, after=chance.choice([0, 1]))
                return None
            told = await caller.ask(model, tokens=150)
            return None if right(told, model) else told

        wrong = await asyncio.gather(*(one(number) for number in range(200)))
        busy = time.monotonic() - began
        await there(lambda: not queue(house)["running"])
    assert not any(wrong), [told for told in wrong if told][:3]
    made = loads(house)
    assert made <= busy / 1.0 + 3  # one each min_stay, and the first of each model
    assert started(house) == made  # no double load, none that was given up half-way


async def test_nothing_that_a_client_sends_loads_a_model_anew(make_line: MakeLine) -> None:
    house, fixed = make_line((1,)), inside_of(real.version())
    asked: list[dict[str, Any]] = [{"options": {name: 7, "num_predict": 9}} for name in fixed.fixed]
    asked += [{name: False} for name in sorted(fixed.fixed_members)]
    async with callers(house, 1) as (one,):
        assert right(await one.ask("red"), "red")
        for more in asked:
            told = await one.ask("red", **more)
            assert right(told, "red")
            assert told.headers["x-seadragon-adjusted"].endswith(" dropped")
    assert started(house) == 1


async def test_after_200_hang_ups_at_parallel_1_every_next_request_is_answered_soon(make_line: MakeLine) -> None:
    house = make_line((1, 1))
    chance = random.Random(4)
    slow: list[float] = []
    async with callers(house, 2) as (rude, polite), stalls(house) as stalled:
        assert (await polite.ask("ticker")).whole
        for _ in range(200):
            await rude.leave("ticker", after=chance.choice([0, 1, 1, 2, 5, 20]), tokens=5000)
            told = await polite.ask("ticker", tokens=5)
            assert told.whole, told
            slow.append(told.ended - told.began)
    assert max(slow) <= 5 + 2 * stalled.worst


# --- nobody starves ---


@pytest.mark.alone
async def test_promise_5_two_busy_loops_on_one_model_do_not_starve_a_request_for_another(make_line: MakeLine) -> None:
    house = make_line((1, 1, 1), line={"patience": "2s", "min_stay": "2s"})
    async with callers(house, 3) as (one, other, third), stalls(house) as stalled:
        assert (await one.ask("ticker")).whole
        wanted: list[asyncio.Task[Told]] = []

        async def loop(caller: Caller) -> list[Told]:
            told = [await caller.ask("ticker", tokens=300)]
            while not (wanted and wanted[0].done()):
                told.append(await caller.ask("ticker", tokens=300))
            return told

        loops = [asyncio.create_task(loop(one)), asyncio.create_task(loop(other))]
        await there(lambda: queue(house)["running"] + queue(house)["waiting"] >= 2)
        wanted.append(asyncio.create_task(third.ask("red")))
        told = await wanted[0]
        busy = [each for found in await asyncio.gather(*loops) for each in found]
    assert right(told, "red")
    assert all(each.whole for each in busy)
    longest = max(each.ended - each.began for each in busy)
    # patience or the rest of min_stay, the longest generation under way, unload + load
    assert told.waited < 2 + longest + 5 + 2 * stalled.worst


@pytest.mark.alone
@pytest.mark.parametrize("heavy", [1, 4])
async def test_a_light_caller_hardly_feels_heavy_ones_and_equals_get_equal_shares(
    make_line: MakeLine, heavy: int
) -> None:
    house = make_line((1,) * (heavy + 1))
    async with callers(house, heavy + 1) as people, stalls(house) as stalled:
        *heavies, light = people
        assert (await light.ask("ticker")).whole
        generations: list[list[float]] = [[] for _ in heavies]
        ends: list[float] = []  # of all answers: one slot, so between two of them lies one turn

        async def press(number: int) -> None:
            while True:
                told = await heavies[number].ask("ticker", tokens=300)
                assert told.whole, told
                generations[number].append(told.ended - (told.first or told.ended))
                ends.append(told.ended)

        pressing = [asyncio.create_task(press(number)) for number in range(heavy) for _ in range(20)]
        await there(lambda: min(len(each) for each in generations) >= 5, "what they have had sets them back")
        waits: list[float] = []
        own: list[float] = []
        while len(waits) < 12:
            told = await light.ask("ticker", tokens=60)
            assert told.whole, told
            waits.append(told.ended - told.began)
            own.append(told.ended - (told.first or told.ended))
            ends.append(told.ended)
            await asyncio.sleep(max(0.5, 2 * heavy * own[-1]))  # its demand: far below an equal share
        for task in pressing:
            task.cancel()
        await asyncio.gather(*pressing, return_exceptions=True)
    ends.sort()
    longest = max(later - sooner for sooner, later in pairwise(ends))
    assert sorted(waits)[-2] <= 2 * longest + max(own) + 0.5 + 2 * stalled.worst, (waits, longest, stalled.worst)
    shares = [len(each) for each in generations]  # all are of one length; a busy client's own clock says less
    assert sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares)) >= 0.95, shares


@pytest.mark.alone
async def test_a_lane_1_request_waits_at_most_one_generation_of_a_full_lane_3(make_line: MakeLine) -> None:
    house = make_line((3, 3, 3, 1))
    async with callers(house, 4) as (*family, coder), stalls(house) as stalled:
        assert (await coder.ask("ticker")).whole
        full = [asyncio.create_task(family[n % 3].ask("ticker", tokens=500)) for n in range(24)]
        await there(lambda: queue(house)["waiting"] >= 20)
        told = await coder.ask("ticker", tokens=10)
        before = sum(task.done() for task in full)
        others = await asyncio.gather(*full)
    assert told.whole
    assert all(each.whole for each in others)
    longest = max(each.ended - (each.first or each.ended) for each in others)
    assert told.waited <= longest + 1.0 + 2 * stalled.worst
    assert before < 20  # it did not wait for the family


@pytest.mark.alone
async def test_a_lane_3_request_under_lasting_lane_1_load_is_served_within_its_bound(make_line: MakeLine) -> None:
    house = make_line((1, 1, 3), line={"aging": "2s"})
    async with callers(house, 3) as (one, other, family), stalls(house) as stalled:
        assert (await family.ask("ticker")).whole
        wanted: list[asyncio.Task[Told]] = []

        async def loop(caller: Caller) -> None:
            while not (wanted and wanted[0].done()):
                assert (await caller.ask("ticker", tokens=300)).whole

        loops = [asyncio.create_task(loop(caller)) for caller in (one, other) for _ in range(4)]
        await there(lambda: queue(house)["waiting"] >= 4)
        wanted.append(asyncio.create_task(family.ask("ticker", tokens=10)))
        told = await wanted[0]
        await asyncio.gather(*loops)
    assert told.whole
    assert told.waited >= 1.0  # lanes do mean something …
    # … but 2 lanes × aging is the most they mean, and two generations
    assert told.waited <= 2 * 2 + 10 + 2 * stalled.worst


# --- swaps ---


async def test_an_alias_and_its_base_alternating_are_served_in_batches(make_line: MakeLine) -> None:
    house = make_line(
        (1,) * 4, at_once=3, models={"aliases": {"long-red": {"base": "red", "options": {"num_ctx": 2048}}}}
    )
    await there(lambda: "long-red" in models(house), "the alias is made")
    began = time.monotonic()
    async with callers(house, 4) as people:
        asked = [people[n % 4].ask("red" if n % 2 else "long-red") for n in range(80)]
        answers = await asyncio.gather(*asked)
    busy = time.monotonic() - began
    assert all(right(told, "red") for told in answers)
    assert loads(house) <= busy / 1.0 + 3
    assert started(house) == loads(house)


async def test_fifty_reloads_change_no_byte_of_twenty_streams(make_line: MakeLine) -> None:
    house = make_line((1,) * 10, at_once=20, models={"parallel": 20})

    async def run(people: list[Caller]) -> list[list[str]]:
        told = await asyncio.gather(*(people[n % 10].ask("ticker", tokens=1000) for n in range(20)))
        assert all(each.whole for each in told)
        return [[str(record["response"]) for record in each.records] for each in told]

    async with callers(house, 10) as people:
        undisturbed = await run(people)
        going = asyncio.create_task(run(people))
        reloads = 0
        while reloads < 50:
            house.configure(hold=f"{60 + reloads % 7}s", line={**QUICK, "patience": f"{1 + reloads % 5}s"})
            await asyncio.to_thread(house.run, "reload")
            reloads += 1
        assert await going == undisturbed


async def test_a_switch_loads_one_model_and_lets_the_others_requests_wait(make_line: MakeLine) -> None:
    house = make_line((1, 1))
    async with callers(house, 2) as (one, other):
        assert (await one.ask("ticker")).whole
        stream = asyncio.create_task(one.ask("ticker", tokens=6000))
        await there(lambda: queue(house)["running"] == 1)
        order = {"model": "red", "from": "ticker", "wait": 60}
        async with web.async_client(base_url=house.url, timeout=90) as admin:
            done = await admin.post("/api/v1/models/switch", json=order)
            assert done.status_code == 200, done.text
            assert (await stream).whole  # `free`: it waits for what runs
            state = models(house)
            assert (state["red"]["state"], state["ticker"]["state"]) == ("resident", "away")
            again = await admin.post("/api/v1/models/switch", json=order)
            assert again.status_code == 409  # ticker is not loaded any more
        assert right(await other.ask("red"), "red")


async def test_who_is_redirected_by_a_switch_gets_the_new_model_and_ollama_loads_no_other(make_line: MakeLine) -> None:
    house = make_line((1, 1))
    async with callers(house, 2) as (one, other):
        tokens = await lasting(one, 2.0)  # long enough to be switched from, and over before fillers begin
        stream = asyncio.create_task(one.ask("ticker", tokens=tokens))
        await there(lambda: queue(house)["running"] == 1)
        waiter = asyncio.create_task(other.ask("ticker"))
        await there(lambda: queue(house)["waiting"] == 1)
        order = {"model": "red", "from": "ticker", "waiting": "redirect"}
        async with web.async_client(base_url=house.url, timeout=90) as admin:
            assert (await admin.post("/api/v1/models/switch", json=order)).json()["touched"] == 2
        assert (await stream).whole
        told = await waiter
        assert right(told, "red")
        assert told.headers["x-seadragon-adjusted"] == "model=red:latest (switched)"
        assert len(runners(house)) == 1


async def test_what_the_operator_cancels_ends_with_a_reason_and_whoever_is_next_goes_on(make_line: MakeLine) -> None:
    house = make_line((1, 1, 1))
    reason = "Whoever runs this server ended this request. Ask again if you still need it."
    async with callers(house, 3) as (one, other, third):
        assert (await one.ask("ticker")).whole
        runs = asyncio.create_task(one.ask("ticker", tokens=100_000))
        await there(lambda: queue(house)["running"] == 1)
        waits = asyncio.create_task(other.ask("ticker"))
        await there(lambda: queue(house)["waiting"] == 1)
        after = asyncio.create_task(third.ask("ticker"))
        await there(lambda: queue(house)["waiting"] == 2)
        numbers = {each["caller"]: each["number"] for each in queue(house)["tickets"]}
        cancelled = await asyncio.to_thread(house.run, "cancel", str(numbers["caller 1"]))
        assert cancelled.returncode == 0, cancelled.stderr
        assert (await waits).error == reason
        async with web.async_client(base_url=house.url, timeout=90) as admin:
            order = {"number": numbers["caller 0"]}
            assert (await admin.post("/api/v1/queue/cancel", json=order)).status_code == 200
            assert ((await runs).status, (await runs).error) == (200, reason)
            assert (await after).whole
            await there(lambda: queue(house)["running"] == 0)
            assert (await admin.post("/api/v1/queue/cancel", json=order)).status_code == 404
        audit = (await asyncio.to_thread(house.run, "audit")).stdout
        assert f"request {numbers['caller 1']}" in audit
        assert audit.count("queue.cancel") >= 3, "by one name, whoever gave it"


async def test_an_alias_is_preloaded_at_the_very_first_start(make_line: MakeLine) -> None:
    aliases = {"assistant": {"base": "red", "options": {"num_ctx": 1024}}}
    house = make_line((1,), models={"aliases": aliases, "models": {"assistant": {"preload": "at_start"}}})
    await there(lambda: models(house).get("assistant", {}).get("state") == "resident", "it is loaded")


async def test_a_request_without_a_model_gets_the_default_and_is_told(make_line: MakeLine) -> None:
    house = make_line((1,), models={"default": "red"})
    async with web.async_client(base_url=house.url, timeout=60) as client:
        answer = await client.post("/api/generate", json={"prompt": "hi", "stream": False})
    assert answer.json()["response"].strip() == SAYS["red"]
    assert "red" in answer.headers["x-seadragon-adjusted"]


# --- promise 6 ---


async def test_promise_6_memory_is_never_promised_twice(make_line: MakeLine) -> None:
    house = make_line((1,) * 8, at_once=2)
    over: list[object] = []

    async def watch() -> None:
        while True:
            memory = await asyncio.to_thread(lambda: web.get(f"{house.url}/api/v1/memory", timeout=30).json())
            if memory["taken_gb"] > memory["budget_gb"] or len(runners(house)) > 2:
                over.append(memory)

    async with callers(house, 8) as people:
        watching = asyncio.create_task(watch())
        names = (*SWAPPED, "ticker", "llama3.2:1b")
        told = await asyncio.gather(*(people[n % 8].ask(names[n % 5], tokens=40) for n in range(120)))
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
    assert all(each.whole for each in told)
    assert not over


async def test_what_can_never_fit_is_refused_before_anything_leaves_for_it(make_line: MakeLine) -> None:
    house = make_line((1,), models={"models": {"blue": {"memory_gb": 64}}})
    async with callers(house, 1) as (one,):
        assert right(await one.ask("red"), "red")
        told = await one.ask("blue")
    assert told.status == 400
    assert "64" in told.error
    assert models(house)["red"]["state"] == "resident"


async def test_what_was_resident_before_a_planned_restart_comes_back(make_line: MakeLine) -> None:
    house = make_line((1,))
    async with callers(house, 1) as (one,):
        assert right(await one.ask("red"), "red")
    pid = house.child()["pid"]
    done = await asyncio.to_thread(house.run, "restart", "ollama", limit=60)
    assert done.returncode == 0, done.stderr
    assert house.child()["pid"] != pid
    await there(lambda: models(house)["red"]["state"] == "resident", "red came back")
