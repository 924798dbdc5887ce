"""Two engines beside each other: an Ollama (a fake one) and a toy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from controller.dialect import Dialect
from controller.engines.engine import Engine, LoadFailed
from controller.engines.ollama.client import OllamaClient
from controller.errors import OrderRefused, Unreachable
from controller.readiness import Address, Readiness
from tests.fakes.toy import BROKEN, toy
from tests.integration.test_ollama import fake_ollama
from tests.kit.engines import an_ollama
from tests.kit.residing import LOADS
from tests.kit.two_engines import TwoEngines, two_engines
from tests.kit.until import until

TICKS = {"model": "bear:latest", "says": "tick, tock"}


@asynccontextmanager
async def both(folder: Path, *, max_loaded: int = 1, **knobs: object) -> AsyncIterator[TwoEngines]:
    async with (
        fake_ollama(folder, models=["red:latest", "blue:latest"], **knobs) as (url, process),
        toy() as second,
        two_engines(url, process.pid, second, max_loaded=max_loaded) as house,
    ):
        yield house


async def test_there_is_one_list_of_models_and_each_name_means_a_runner_of_its_engine(tmp_path: Path) -> None:
    async with both(tmp_path) as house:
        listed = [each.name for each in await house.names.survey()]
        assert listed == ["red:latest", "blue:latest", "bear:latest", "train:latest"]
        runners = [house.names.known(name) for name in ("red", "Bear", "train:latest")]
        assert [each.engine for each in runners if each] == ["ollama", "toy", "toy"]
        assert await house.names.look_up("nobody") is None


async def test_in_one_budget_a_model_of_one_engine_leaves_for_one_of_the_other_and_back(tmp_path: Path) -> None:
    async with both(tmp_path) as house:
        status, said = await house.ask("red")
        assert (status, house.here()) == (200, ["red:latest"])
        assert json.loads(said)["model"] == "red"
        status, said = await house.ask("bear:latest")
        assert (status, json.loads(said), house.here()) == (200, TICKS, ["bear:latest"])
        assert list(house.toy.memory) == ["bear:latest"]
        assert (await house.ask("red"))[0] == 200
        assert house.here() == ["red:latest"]
        assert house.toy.memory == {}


async def test_with_room_for_both_each_is_asked_over_connections_of_its_own_that_stay_open(tmp_path: Path) -> None:
    async with both(tmp_path, max_loaded=2) as house:
        for _ in range(3):
            assert (await house.ask("red"))[0] == 200
            assert (await house.ask("bear:latest"))[0] == 200
        assert house.here() == ["bear:latest", "red:latest"]
        assert house.toy.connections == 1


@pytest.mark.parametrize("down", ["ollama", "toy"])
async def test_an_engine_that_is_down_refuses_its_own_and_the_other_serves(tmp_path: Path, down: str) -> None:
    async with both(tmp_path, max_loaded=2) as house:
        names = {"ollama": "red", "toy": "bear:latest"}
        for model in names.values():
            assert (await house.ask(model))[0] == 200
        readiness = house.ollama if down == "ollama" else house.toy.readiness
        readiness.set("down", "Somebody took it away.")
        house.residents.upstream(down, ready=False, adopted=False, same=False)
        assert house.shared.ready
        other = names["toy" if down == "ollama" else "ollama"]
        status, words = await house.ask(names[down])
        assert (status, words) == (503, f"{readiness.title} is not running. Somebody took it away.")
        assert (await house.ask(other))[0] == 200
        assert house.here() == [f"{other.removesuffix(':latest')}:latest"]
        with pytest.raises(OrderRefused, match=f"{readiness.title} is not there"):
            await house.orders.load(names[down])


async def test_while_one_engine_comes_back_its_requests_wait_and_those_of_the_other_do_not(tmp_path: Path) -> None:
    async with both(tmp_path, max_loaded=2) as house:
        for model in ("red", "bear:latest"):
            assert (await house.ask(model))[0] == 200
        house.ollama.set("coming", "It is being started.")
        house.residents.upstream("ollama", ready=False, adopted=False, same=False)
        waits = asyncio.create_task(house.ask("red"))
        await until(lambda: house.shared.counts.held == 1)
        assert (await house.ask("bear:latest"))[0] == 200
        house.names.changed()  # and also when names have to be looked up again
        assert (await house.ask("train:latest"))[0] == 200
        status, words = await house.ask("blue")
        assert (status, (await waits)[0]) == (503, 503)
        assert words.startswith("Ollama did not come back within 5 seconds.")


async def test_what_a_second_engine_cannot_load_is_told_in_its_own_words(tmp_path: Path) -> None:
    async with both(tmp_path) as house:
        house.toy.cannot = "nobody has wound it up"
        status, words = await house.ask("train:latest")
        assert (status, words) == (500, "train:latest could not be loaded: nobody has wound it up.")
        assert (await house.ask("red"))[0] == 200


async def test_a_crash_of_the_second_engine_is_seen_by_its_own_words_and_asked_again_unseen(tmp_path: Path) -> None:
    async with both(tmp_path) as house:
        assert (await house.ask("bear:latest"))[0] == 200
        house.toy.crashes = 1
        status, said = await house.ask("bear:latest")
        assert (status, json.loads(said)) == (200, TICKS)
        assert house.shared.counts.replays == 1
        house.toy.crashes = 2
        status, said = await house.ask("bear:latest")
        assert (status, json.loads(said)) == (500, {"error": BROKEN})
        assert "bear:latest is not in memory any more" in "\n".join(each.text for each in house.journal.last(50))


async def test_who_is_hung_up_on_each_time_is_told_by_which_engine(tmp_path: Path) -> None:
    async with both(tmp_path) as house:
        assert (await house.ask("bear:latest"))[0] == 200
        house.toy.hangs_up = 2
        status, words = await house.ask("bear:latest")
        assert status == 502
        assert words.startswith("The toy went away twice while working on this request")


async def test_an_engine_that_goes_while_it_loads_for_what_has_left_holds_nobody_up(tmp_path: Path) -> None:
    async with both(tmp_path) as house:
        assert (await house.ask("red"))[0] == 200
        house.toy.wound.clear()
        waits = asyncio.create_task(house.ask("bear:latest"))
        await until(lambda: house.here() == ["bear:latest"])
        house.toy.readiness.set("down", "Somebody took it away.")
        house.residents.upstream("toy", ready=False, adopted=False, same=False)
        assert (await waits)[0] == 503
        assert house.here() == []
        assert (await house.ask("red"))[0] == 200


async def test_an_engine_that_goes_disturbs_no_load_of_the_other(tmp_path: Path) -> None:
    async with both(tmp_path) as house:
        assert (await house.ask("red"))[0] == 200
        house.toy.wound.clear()
        waits = asyncio.create_task(house.ask("bear:latest"))
        await until(lambda: house.here() == ["bear:latest"])
        house.ollama.set("down", "Somebody took it away.")
        house.residents.upstream("ollama", ready=False, adopted=False, same=False)
        house.toy.wound.set()
        assert (await waits)[0] == 200


async def test_what_an_engine_does_not_speak_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    async with both(tmp_path) as house:
        status, words = await house.ask("bear:latest", Dialect.ANTHROPIC)
        assert status == 400
        assert words.startswith("bear:latest is held by The toy, which gives no answers in the anthropic dialect.")
        assert house.here() == []


# --- what every engine has to keep to ---------------------------------------------------------------------------------


@pytest.fixture(params=["ollama", "toy"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    if request.param == "toy":
        async with toy() as second:
            yield second
        return
    async with fake_ollama(tmp_path, models=["red:latest", "blue:latest"]) as (url, process):
        readiness = Readiness("Ollama")
        readiness.set("ready", "It answers.", Address("127.0.0.1", int(url.rpartition(":")[2]), 1))
        client = OllamaClient(lambda: url if readiness.verdict == "ready" else None)
        yield an_ollama(client, lambda: process.pid, readiness=readiness, pace=LOADS)


async def test_what_an_engine_lists_it_finds_and_what_it_finds_it_loads_lists_and_lets_go(engine: Engine) -> None:
    first, second = [each.name for each in await engine.listed()]
    model = await engine.find(first)
    assert model is not None
    runner = model.runner(None, None)
    assert (runner.key, runner.engine, runner.name) == (model.key, engine.name, first)
    assert runner.need >= runner.facts.weights > 0
    assert model.runner(2.0, 5).need == 2 * 2**30
    assert await engine.held(5.0) == []
    loaded = await engine.load(runner, 30.0)
    assert [each.name for each in await engine.held(5.0)] == [first]
    await engine.try_out(runner)
    assert engine.address(runner) is not None
    await engine.unload(runner, loaded.processes)
    await until(lambda: _nothing(engine))
    other = await engine.find(second)
    assert other is not None
    assert other.key != model.key
    assert await engine.find("nobody:latest") is None


async def test_an_engine_takes_a_model_out_of_memory_at_once_when_told_to(engine: Engine) -> None:
    model = await engine.find((await engine.listed())[0].name)
    assert model is not None
    runner = model.runner(None, None)
    loaded = await engine.load(runner, 30.0)
    await engine.end(runner, loaded.processes)
    assert await engine.processes(runner) == []
    assert engine.failure(200, b"{}") is None
    assert engine.failure(500, b'{"error":"no such thing"}') is None


async def test_an_engine_that_is_not_there_says_so(engine: Engine) -> None:
    model = await engine.find((await engine.listed())[0].name)
    assert model is not None
    engine.readiness.set("down", "It is gone.")
    for asked in (engine.listed(), engine.find("any:latest"), engine.held(1.0)):
        with pytest.raises(Unreachable):
            await asked
    with pytest.raises((Unreachable, LoadFailed)):
        await engine.load(model.runner(None, None), 5.0)


async def _nothing(engine: Engine) -> bool:
    return not await engine.held(5.0)
