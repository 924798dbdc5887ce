"""Loads that fail, hang and crash, and memory that gets short: on the fake Ollama, which does so when told."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.config.schema import Config
from controller.engines.ollama.client import Runners
from controller.engines.ollama.inside import LLAMA_SERVER
from controller.engines.ollama.settings import OLLAMA
from controller.engines.runner import Runner
from controller.errors import OrderRefused
from controller.residency.resident import NoRoom, Presence, Swap
from controller.scheduling.ticket import End
from controller.supervision.grandchildren import runs
from tests.integration.test_ollama import fake_ollama
from tests.kit import web
from tests.kit.residing import LOADS, QUICK, House, residing
from tests.kit.until import until

MODELS = ["red:latest", "blue:latest", "green:latest"]
NO_MEMORY = "model requires more system memory (48.2 GiB) than is available (31.0 GiB)"

Turn = Callable[..., None]


@asynccontextmanager
async def house_of(folder: Path, **settings: Any) -> AsyncIterator[tuple[House, Turn]]:
    """Residents on a fake, and how to turn its knobs."""

    def turn(**knobs: object) -> None:
        (folder / "knobs.json").write_text(json.dumps({"models": MODELS, **knobs}))

    async with (
        fake_ollama(folder, models=MODELS) as (url, process),
        residing(url, process.pid, **settings) as house,
    ):
        yield house, turn


async def begin(house: House, name: str) -> Runner:
    """Somebody waits for it and the line begins to load it; nobody has to leave."""
    runner = await house.runner(name)
    house.demand.waits(runner)
    house.residents.begin(Swap(runner, (), "line"))
    return runner


async def test_a_load_that_fails_is_refused_in_ollamas_own_words(tmp_path: Path) -> None:
    async with house_of(tmp_path) as (house, turn):
        turn(load_fails="unable to load model: unknown model architecture: 'yeti'")
        red = await begin(house, "red")
        await until(lambda: house.failures)
        [(key, as_, words)] = house.failures
        assert (key, as_) == (red.key, End.LOAD_FAILED)
        assert "unknown model architecture: 'yeti'" in words
        assert house.residents.table == {}
        assert house.store.get(red.key).last_error.startswith("unable to load model")


async def test_a_model_that_was_deleted_meanwhile_is_unknown(tmp_path: Path) -> None:
    async with house_of(tmp_path) as (house, turn):
        turn(load_fails="model 'red' not found", load_status=404)
        await begin(house, "red")
        await until(lambda: house.failures)
        assert house.failures[0][1] is End.UNKNOWN


async def test_what_left_for_a_load_that_failed_comes_back_if_it_is_wanted(tmp_path: Path) -> None:
    async with house_of(tmp_path, models={"max_loaded": 2}) as (house, turn):
        red, green, blue = await house.bring("red"), await house.bring("green"), await house.runner("blue")
        house.demand.waits(red)
        house.demand.waits(blue)
        turn(load_fails="unable to load model: it is broken", load_fails_next=1)
        house.residents.begin(Swap(blue, (red.key, green.key), "line"))
        await until(lambda: house.presence(red) is Presence.RESIDENT and house.store.get(red.key).loads == 2)
        assert [failure[0] for failure in house.failures] == [blue.key]
        assert house.presence(green) is None  # nobody wants it


async def test_for_a_load_that_lacks_memory_all_unpinned_leave_and_then_it_is_tried_once_more(tmp_path: Path) -> None:
    async with house_of(tmp_path, models={"models": {"green": {"pin": True}}}) as (house, turn):
        red, green, blue = await house.bring("red"), await house.bring("green"), await house.runner("blue")
        expected = blue.need
        turn(load_fails=NO_MEMORY, load_fails_next=1)
        house.demand.waits(blue)
        house.residents.begin(Swap(blue, (), "line"))
        await until(lambda: house.presence(blue) is Presence.RESIDENT)
        assert (house.presence(red), house.presence(green)) == (None, Presence.RESIDENT)
        assert house.failures == []
        assert any(table.get("blue:latest") == "loading" and "red:latest" not in table for table in house.history)
        assert max(row.taken for row in house.residents.table.values()) < expected  # what was seen counts now


async def test_a_load_that_lacks_memory_even_alone_is_refused_and_its_estimate_is_higher(tmp_path: Path) -> None:
    async with house_of(tmp_path) as (house, turn):
        red, blue = await house.bring("red"), await house.runner("blue")
        turn(load_fails=NO_MEMORY, load_fails_next=2)
        house.demand.waits(red)
        house.demand.waits(blue)
        house.residents.begin(Swap(blue, (), "line"))
        await until(lambda: house.failures)
        [(key, as_, words)] = house.failures
        assert (key, as_) == (blue.key, End.NO_ROOM)
        assert NO_MEMORY in words
        assert (house.store.get(blue.key).memory or 0) > blue.need
        await until(lambda: house.presence(red) is Presence.RESIDENT)  # what left for it is wanted


async def test_an_estimate_is_not_raised_to_where_it_could_never_be_loaded_again(tmp_path: Path) -> None:
    async with house_of(tmp_path) as (house, turn):
        red, blue = await house.bring("red"), await house.runner("blue")
        budget = {"memory": {"budget": int(blue.need * 1.1)}}
        house.config = Config.model_validate({"server": budget, "models": {"prompt_cache": 0}})
        turn(load_fails=NO_MEMORY, load_fails_next=2)
        house.demand.waits(blue)
        house.residents.begin(Swap(blue, (red.key,), "line"))
        await until(lambda: house.failures)
        assert house.failures[0][1] is End.NO_ROOM
        house.failures.clear()
        await house.bring("blue")  # whatever took the memory has gone


async def test_an_order_that_ollama_leaves_before_it_begins_has_failed_and_holds_nobody_back(tmp_path: Path) -> None:
    async with house_of(tmp_path) as (house, _):
        red = await house.bring("red")
        job = await house.orders.unload("red")
        house.residents.upstream(OLLAMA, ready=False, adopted=False, same=False)  # in the very same moment
        assert (job.state, job.text) == ("failed", "Ollama went away.")
        assert house.demand.away[red.key] < math.inf


async def test_nothing_more_is_given_to_a_runner_that_is_being_ended(tmp_path: Path) -> None:
    async with house_of(tmp_path) as (house, _):
        red = await house.bring("red")
        begun = len(house.history)
        await house.residents.kill(red.key, "it did nothing")
        assert [table.get("red:latest") for table in house.history[begun:]][:2] == ["leaving", None]
        await until(lambda: house.presence(red) is None)
        assert house.store.get(red.key).last_error == "it did nothing"
        assert house.store.get(red.key).crashes == 0


async def test_nobody_asks_for_ollamas_list_while_it_loads_or_unloads_since_it_may_die_of_that(tmp_path: Path) -> None:
    async with house_of(tmp_path, models={"max_loaded": 1}, pace=replace(QUICK, poll=0.01)) as (house, turn):
        turn(load=0.3)
        await house.bring("red")
        await house.bring("blue")
        paths = "".join("g" if path == "/api/generate" else "." for path in await asked(house))
        assert paths.count("ggg") == 1  # unload, load, a token
        assert paths.count("g") == 5


async def asked(house: House) -> list[str]:
    """The paths that Ollama has been asked for so far."""
    async with web.async_client() as http:
        seen = (await http.get(f"{house.url}/fake/seen")).json()["seen"]
    return [str(each["path"]) for each in seen]


async def test_one_crash_of_a_load_is_forgiven(tmp_path: Path) -> None:
    async with house_of(tmp_path) as (house, turn):
        turn(load_crashes=1)
        red = await begin(house, "red")
        await house.here(red)
        assert house.store.get(red.key).crashes == 1
        assert house.residents.quarantined(red.key) is None


async def test_a_runner_whose_load_crashes_twice_is_set_aside_and_gets_one_try_when_that_is_over(
    tmp_path: Path,
) -> None:
    async with house_of(tmp_path, pace=replace(QUICK, aside=0.5)) as (house, turn):
        turn(load_crashes=3)
        red = await begin(house, "red")
        await until(lambda: house.failures)
        assert house.failures[0][:2] == (red.key, End.QUARANTINED)
        assert "signal: killed" in house.failures[0][2]
        house.failures.clear()
        house.residents.begin(Swap(red, (), "line"))
        await until(lambda: house.failures)  # at once: nothing is loaded
        assert (house.failures[0][1], house.store.get(red.key).crashes) == (End.QUARANTINED, 2)
        assert house.residents.table == {}
        await until(lambda: house.residents.quarantined(red.key) is None)
        house.failures.clear()
        house.residents.begin(Swap(red, (), "line"))
        await until(lambda: house.failures)
        assert (house.failures[0][1], house.store.get(red.key).crashes) == (End.QUARANTINED, 3)
        await until(lambda: house.residents.quarantined(red.key) is None)
        house.failures.clear()
        house.residents.begin(Swap(red, (), "line"))
        await house.here(red)


async def test_a_load_that_a_signal_has_stopped_is_ended_at_once_and_tried_again(tmp_path: Path) -> None:
    async with house_of(tmp_path, loads=replace(LOADS, standstill=3600.0)) as (house, turn):
        turn(load_hangs=True)
        red = await begin(house, "red")
        await until(house.processes)
        for process in await Runners(lambda: house.pid).holding(red.blob):
            process.suspend()
        await until(lambda: house.store.get(red.key).crashes == 1)
        turn()
        await house.here(red)
        assert "red:latest could not be loaded: a signal had stopped it." in house.said()


async def test_a_load_that_stands_still_is_ended_and_counts_as_a_crash(tmp_path: Path) -> None:
    async with house_of(tmp_path) as (house, turn):
        turn(load_hangs=True)
        red = await begin(house, "red")
        await until(lambda: house.store.get(red.key).crashes == 1)
        assert f"it stood still for {LOADS.standstill:g} s" in house.said()
        turn()
        await house.here(red)


async def test_an_ollama_that_dies_in_the_middle_of_a_load_costs_nobody_a_place_and_counts_as_no_crash(
    tmp_path: Path,
) -> None:
    async with fake_ollama(tmp_path, models=MODELS, load_hangs=True) as (url, process):
        async with residing(url, process.pid, pace=replace(QUICK, lost=30.0)) as house:
            red = await begin(house, "red")
            await until(house.processes)
            process.kill()
            await process.wait()
            house.residents.upstream(OLLAMA, ready=False, adopted=False, same=False)  # its supervisor says so
            assert house.residents.table == {}
            house.residents.begin(Swap(red, (), "line"))  # nothing to load it with
            assert house.residents.table == {}
            assert (house.failures, house.store.get(red.key).crashes) == ([], 0)
            assert house.demand.wanted(red.key)


async def test_an_answer_that_failed_leaves_a_runner_that_is_there_in_doubt_and_one_that_is_not_out(
    tmp_path: Path,
) -> None:
    async with house_of(tmp_path, pace=replace(QUICK, tick=60.0, poll=60.0)) as (house, _):
        red = await house.bring("red")
        house.residents.died(red.key, "request 7")
        assert house.residents.unproven(red.key)
        killed = await house.residents.processes(red.key)
        for process in killed:
            process.kill()
        await until(lambda: not any(runs(each) for each in killed))
        house.residents.died(red.key, "request 8")
        assert house.presence(red) is None
        assert house.store.get(red.key).crashes == 1


@pytest.mark.parametrize("models", [{"load_timeout": "300ms"}, {"models": {"red": {"times": {"load": "300ms"}}}}])
async def test_a_load_takes_no_longer_than_it_may(tmp_path: Path, models: dict[str, object]) -> None:
    async with house_of(tmp_path, models=models) as (house, turn):
        turn(load_hangs=True)
        red = await begin(house, "red")
        await until(lambda: house.failures)
        assert house.failures[0][:2] == (red.key, End.LOAD_FAILED)
        assert "not loaded within 0.3 s" in house.failures[0][2]
        await until(lambda: not house.processes())


async def test_a_runner_is_killed_and_loaded_again_when_it_does_not_get_on(tmp_path: Path) -> None:
    async with house_of(tmp_path) as (house, _):
        red = await house.bring("red")
        killing = asyncio.create_task(house.residents.kill(red.key, "it has brought nothing for 30 s"))
        await until(lambda: house.presence(red) is not Presence.RESIDENT)  # nothing more is sent to it
        house.residents.died(red.key, "request 9")  # which is what its answers come to
        await killing
        assert house.presence(red) is None
        assert house.store.get(red.key).crashes == 0
        assert not house.processes()
        assert "it has brought nothing for 30 s" in house.said()
        await house.bring("red")


async def test_short_memory_means_fewer_slots_and_no_loads_and_critical_memory_an_unload(tmp_path: Path) -> None:
    async with house_of(tmp_path, models={"parallel": 4}) as (house, _):
        red, green = await house.bring("red"), await house.bring("green")
        house.demand.runs(green)
        assert [row.slots for row in house.residents.table.values()] == [4, 4]
        house.gauge.pressure = 2
        await until(lambda: not house.residents.may_load)
        assert house.residents.may_grant
        with pytest.raises(OrderRefused, match="Memory is short"):
            await house.orders.load("blue")
        assert [row.slots for row in house.residents.table.values()] == [2, 2]
        house.gauge.pressure = 4
        await until(lambda: house.presence(red) is None)
        assert not house.residents.may_grant
        assert house.presence(green) is Presence.RESIDENT  # it is being used
        assert "Unloading red:latest: memory is critical." in house.said()


async def test_short_memory_lets_a_smaller_model_take_the_place_of_a_larger_one_and_not_the_other_way(
    tmp_path: Path,
) -> None:
    async with house_of(tmp_path) as (house, turn):
        turn(size=5 * 2**30)
        red, blue = await house.bring("red"), await house.runner("blue")
        turn(size=2**30)
        house.gauge.pressure = 2
        await until(lambda: not house.residents.may_load)
        before = sum(row.promised for row in house.residents.table.values())
        await house.bring("blue")
        assert house.presence(red) is None
        assert sum(row.promised for row in house.residents.table.values()) < before
        found = house.residents.plan(await house.runner("red"), [blue.key])
        assert isinstance(found, NoRoom)
        assert "Memory is short" in found.text
        with pytest.raises(OrderRefused, match="Memory is short"):
            await house.orders.switch("red")


async def test_a_runner_that_lost_a_slot_is_loaded_anew_although_memory_is_short(tmp_path: Path) -> None:
    async with house_of(tmp_path) as (house, _):
        red = await house.bring("red")
        house.gauge.pressure = 2
        await until(lambda: not house.residents.may_load)
        house.residents.left(red.key)
        await until(lambda: house.residents.suspect(red.key))  # one that is just starting is at work
        await until(lambda: house.presence(red) is not Presence.RESIDENT)
        await house.here(red)


async def test_what_left_for_a_load_that_failed_comes_back_although_memory_is_short(tmp_path: Path) -> None:
    async with house_of(tmp_path) as (house, turn):
        turn(size=5 * 2**30)
        red, blue = await house.bring("red"), await house.runner("blue")
        turn(size=5 * 2**30, load_fails="it is broken", load_fails_next=1)
        house.gauge.pressure = 2
        await until(lambda: not house.residents.may_load)
        house.demand.waits(blue)
        house.demand.waits(red)
        house.residents.begin(Swap(blue, (red.key,), "line"))
        await until(lambda: house.failures)
        house.failures.clear()
        await house.here(red)


async def test_the_owner_is_told_when_a_model_takes_much_more_or_less_than_he_says(tmp_path: Path) -> None:
    async with house_of(tmp_path, models={"models": {"red": {"memory_gb": 2}}}) as (house, turn):
        turn(size=5 * 2**30)
        red = await house.bring("red")
        assert red.need == 2 * 2**30
        assert house.residents.table[red.key].taken == 5 * 2**30 + LLAMA_SERVER.untold
        assert "memory_gb: 2" in house.said()
        await (await house.orders.unload("red")).wait(30)
        await house.bring("red")
        assert house.said().count("memory_gb: 2") == 1  # once is enough
