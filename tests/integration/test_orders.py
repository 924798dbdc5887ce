"""What an operator orders about models, on a real Ollama."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from controller.config.schema import Config
from controller.engines.ollama.settings import OLLAMA
from controller.errors import OrderRefused
from controller.residency.effects import MemoryEffects
from controller.residency.resident import Presence, Swap
from controller.scheduling.ticket import End
from tests.kit import real
from tests.kit.residing import House, residing
from tests.kit.until import until

LONG = 30.0


@pytest.fixture(scope="module")
def ollama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real.RealOllama]:
    """One for this module: nothing is evicted but by us."""
    home = tmp_path_factory.mktemp("ollama")
    with real.serve(home, real.copy_library(home / "models"), OLLAMA_KEEP_ALIVE="-1") as ollama:
        yield ollama


@asynccontextmanager
async def house_of(ollama: real.RealOllama, **models: Any) -> AsyncIterator[House]:
    async with residing(ollama.url, ollama.process.pid, models={"max_loaded": 1} | models) as house:
        for name in await house.loaded():
            await house.ollama.unload(name)
        await until(lambda: not house.processes() and not house.residents.table)
        yield house


async def test_two_orders_for_one_model_share_one_load(ollama: real.RealOllama) -> None:
    async with house_of(ollama) as house:
        begun: list[Swap] = []
        house.residents.on_swap.append(begun.append)
        jobs = [await house.orders.load("red"), await house.orders.load("RED:latest")]
        for job in jobs:
            await job.wait(LONG)
            assert (job.state, job.text) == ("done", "red:latest is loaded.")
        assert house.said().count("Loaded red") == 1
        again = await house.orders.load("red")
        assert (again.state, again.text) == ("done", "red:latest is loaded already.")
        assert [swap.why for swap in begun] == ["order"]  # which is what the metrics count


async def test_an_order_joins_the_load_that_the_line_began_and_keeps_it_going(ollama: real.RealOllama) -> None:
    async with house_of(ollama) as house:
        red, blue = await house.bring("red"), await house.runner("blue")
        stream, waiter = house.demand.runs(red), house.demand.waits(blue)
        house.swap(blue)
        job = await house.orders.load("blue")
        house.demand.tickets.remove(waiter)  # now only the order wants it
        await until(lambda: job.text == "Waiting for 1 answer of red:latest to end.")
        house.demand.tickets.remove(stream)
        house.residents.freed(red.key)
        await job.wait(LONG)
        assert job.state == "done"
        assert house.said().count("Loaded blue") == 1


async def test_an_order_for_what_is_not_there_or_not_loaded_is_refused(ollama: real.RealOllama) -> None:
    async with house_of(ollama) as house:
        with pytest.raises(OrderRefused, match="no model nobody") as refused:
            await house.orders.load("nobody")
        assert refused.value.kind == "unknown"
        with pytest.raises(OrderRefused, match="blue is not loaded") as refused:
            await house.orders.switch("red", from_="blue")
        assert refused.value.kind == "conflict"
        with pytest.raises(OrderRefused, match="red is not loaded"):
            await house.orders.unload("red")
        assert house.orders.jobs == {}


async def test_a_switch_keeps_who_waits_and_has_the_old_model_back_no_sooner_than_min_stay(
    ollama: real.RealOllama,
) -> None:
    async with house_of(ollama) as house:
        red, blue = await house.bring("red"), await house.runner("blue")
        stream = house.demand.runs(red)
        waiting = [house.demand.waits(red), house.demand.waits(red)]
        job = await house.orders.switch("blue", from_="red")
        assert job.touched == 3
        assert house.demand.away == {red.key: math.inf}
        await until(lambda: "Waiting for 1 answer" in job.text)
        assert house.presence(red) is Presence.LEAVING
        house.demand.tickets.remove(stream)
        house.residents.freed(red.key)
        await job.wait(LONG)
        assert (job.state, house.processes()) == ("done", {blue.blob})
        row = house.residents.table[blue.key]
        assert house.demand.away[red.key] == pytest.approx(row.since + 60, abs=5)
        assert [ticket.runner for ticket in waiting] == [red, red]
        assert house.failures == []


async def test_a_switch_can_give_who_waits_the_new_model(ollama: real.RealOllama) -> None:
    async with house_of(ollama) as house:
        red, blue = await house.bring("red"), await house.runner("blue")
        ticket = house.demand.waits(red)
        job = await house.orders.switch("blue", waiting="redirect")  # what stands in its way leaves
        await job.wait(LONG)
        assert (job.state, job.touched, ticket.runner) == ("done", 1, blue)
        assert house.presence(red) is None


async def test_a_switch_can_refuse_who_waits_and_cut_who_is_being_answered(ollama: real.RealOllama) -> None:
    async with house_of(ollama) as house:
        red, blue = await house.bring("red"), await house.runner("blue")
        stream = house.demand.runs(red)
        house.demand.waits(red)

        def cut(key: str) -> None:
            assert house.presence(red) is Presence.LEAVING  # so nobody gets its slot
            house.demand.tickets.remove(stream)
            house.residents.freed(key)

        house.orders.on_cut.append(cut)
        job = await house.orders.switch("blue", from_="red", waiting="refuse", when="now")
        await job.wait(LONG)
        assert (job.state, job.touched) == ("done", 2)
        [(key, as_, words)] = house.failures
        assert (key, as_) == (red.key, End.SWITCHED)
        assert "switched to blue:latest" in words
        assert house.presence(blue) is Presence.RESIDENT


async def test_what_is_to_leave_now_does_not_wait_for_orders_before_it(ollama: real.RealOllama) -> None:
    async with house_of(ollama, max_loaded=2) as house:
        red, blue = await house.bring("red"), await house.bring("blue")
        stream, later = house.demand.runs(blue), house.demand.runs(red)
        first = await house.orders.unload("blue")  # when it is free
        second = await house.orders.load("seer")
        await until(lambda: "Waiting for 1 answer" in first.text)
        third = await house.orders.unload("red", when="now")
        assert house.presence(red) is Presence.LEAVING
        house.demand.tickets.remove(later)
        house.demand.tickets.remove(stream)
        house.residents.freed(blue.key)
        for job in (first, third, second):
            await job.wait(LONG)
        assert [first.state, second.state, third.state] == ["done"] * 3
        assert (third.ended or 0.0) < (second.ended or 0.0)


async def test_a_switch_to_what_is_loaded_already_still_unloads_the_other(ollama: real.RealOllama) -> None:
    async with house_of(ollama, max_loaded=2) as house:
        red, blue = await house.bring("red"), await house.bring("blue")
        job = await house.orders.switch("blue", from_="red")
        await job.wait(LONG)
        assert job.state == "done"
        assert (house.presence(red), house.presence(blue)) == (None, Presence.RESIDENT)


async def test_a_switch_from_what_is_pinned_is_carried_out_since_it_was_named(ollama: real.RealOllama) -> None:
    async with house_of(ollama) as house:
        red = await house.bring("red")
        await house.orders.pin("red")
        job = await house.orders.switch("blue", from_="red")
        await job.wait(LONG)
        assert (job.state, house.presence(red)) == ("done", None)


async def test_a_switch_to_what_is_on_its_way_joins_that_load(ollama: real.RealOllama) -> None:
    async with house_of(ollama, max_loaded=2) as house:
        begun: list[Swap] = []
        house.residents.on_swap.append(begun.append)
        red, seer, blue = await house.bring("red"), await house.bring("seer"), await house.runner("blue")
        begun.clear()
        stream, waiter = house.demand.runs(red), house.demand.waits(blue)
        house.residents.begin(Swap(blue, (red.key,), "line"))
        job = await house.orders.switch("blue")
        house.demand.tickets.remove(stream)
        house.residents.freed(red.key)
        await job.wait(LONG)
        house.demand.tickets.remove(waiter)
        assert job.state == "done"
        assert [swap.why for swap in begun] == ["line"]
        assert house.presence(seer) is Presence.RESIDENT


async def test_what_was_decided_while_there_was_memory_is_not_begun_when_it_is_short(ollama: real.RealOllama) -> None:
    async with house_of(ollama) as house:
        red, blue = await house.bring("red"), await house.runner("blue")
        stream = house.demand.runs(red)
        job = await house.orders.load("blue")
        await until(lambda: "Waiting for 1 answer" in job.text)
        house.gauge.pressure = 2
        await until(lambda: not house.residents.may_load)
        house.demand.tickets.remove(stream)
        house.residents.freed(red.key)
        await job.wait(LONG)
        assert (job.state, house.presence(blue)) == ("failed", None)
        assert "Memory is short" in job.text
        assert house.store.names[red.key] == "red:latest"


async def test_what_a_request_unloads_is_gone_when_that_returns_or_says_why_not(ollama: real.RealOllama) -> None:
    async with house_of(ollama) as house:
        effects = MemoryEffects(house.residents, house.orders)
        red, blue = await house.bring("red"), await house.runner("blue")
        await effects.unload(blue)  # which is not there: Ollama is content too
        await effects.unload(red)
        assert red.key not in house.residents.table
        await house.bring("red")
        stream = house.demand.runs(red)
        unloading = asyncio.create_task(effects.unload(red))
        await until(lambda: any(job.kind == "unload" and job.state == "running" for job in house.orders.jobs.values()))
        house.residents.upstream(OLLAMA, ready=False, adopted=False, same=False)
        with pytest.raises(OrderRefused, match="Ollama went away"):
            await unloading
        house.demand.tickets.remove(stream)


async def test_who_waits_for_what_is_unloaded_by_order_has_it_back_no_sooner_than_min_stay(
    ollama: real.RealOllama,
) -> None:
    async with house_of(ollama) as house:
        red = await house.bring("red")
        house.demand.waits(red)
        await (await house.orders.unload("red")).wait(LONG)
        assert house.demand.away[red.key] == pytest.approx(time.monotonic() + 60, abs=10)


async def test_what_is_pinned_is_not_evicted_but_leaves_when_that_is_ordered(ollama: real.RealOllama) -> None:
    async with house_of(ollama) as house:
        red = await house.bring("red")
        assert (await house.orders.pin("red")).text == "red:latest is loaded and stays."
        with pytest.raises(OrderRefused, match="red:latest is pinned") as refused:
            await house.orders.load("blue")
        assert refused.value.kind == "no_room"
        job = await house.orders.unload("red")
        await job.wait(LONG)
        assert (job.state, job.text, house.presence(red)) == ("done", "red:latest is unloaded.", None)
        assert house.demand.away[red.key] <= time.monotonic()  # nobody waits: who comes has not to
        await (await house.orders.load("red")).wait(LONG)
        assert house.residents.table[red.key].pinned
        await house.orders.pin("red", on=False)
        await (await house.orders.load("blue")).wait(LONG)
        assert house.presence(red) is None


async def test_a_pin_stays_with_the_name_when_a_reload_makes_another_runner_of_it(ollama: real.RealOllama) -> None:
    async with house_of(ollama, context_length=1024) as house:
        red = await house.bring("red")
        await house.orders.pin("red")
        house.config = Config.model_validate({"models": {"prompt_cache": 0, "max_loaded": 1, "context_length": 2048}})
        house.names.changed()
        longer = await house.runner("red")
        assert longer != red
        await until(lambda: not house.residents.table[red.key].pinned)  # its name means another now
        await (await house.orders.load("red")).wait(LONG)
        assert (house.presence(red), house.presence(longer)) == (None, Presence.RESIDENT)
        await until(lambda: house.residents.table[longer.key].pinned)


async def test_orders_that_wait_when_ollama_goes_away_fail_in_words(ollama: real.RealOllama) -> None:
    async with house_of(ollama) as house:
        red = await house.bring("red")
        house.demand.runs(red)
        jobs = [await house.orders.load("blue"), await house.orders.load("seer")]
        house.residents.upstream(OLLAMA, ready=False, adopted=False, same=False)
        for job in jobs:
            await asyncio.wait_for(job.wait(LONG), LONG)
            assert (job.state, job.text) == ("failed", "Ollama went away.")
        assert house.residents.table == {}
        with pytest.raises(OrderRefused, match="Ollama is not there") as refused:
            await house.orders.load("red")
        assert refused.value.kind == "busy"


async def test_a_model_is_loaded_at_start_when_there_is_room_and_never_at_the_cost_of_another(
    ollama: real.RealOllama,
) -> None:
    rows = {"red": {"preload": "at_start"}, "blue": {"preload": "at_start"}, "nobody": {"preload": "at_start"}}
    async with house_of(ollama, models=rows) as house:
        house.residents.upstream(OLLAMA, ready=True, adopted=False, same=False)
        house.residents.load_at_start(OLLAMA)
        await until(lambda: "nobody was not loaded" in house.said())
        assert [row.runner.name for row in house.residents.table.values()] == ["red:latest"]
        assert "blue was not loaded at the start of Ollama: there is no room for it now." in house.said()
