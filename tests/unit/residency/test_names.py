from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from controller.config.schema import Config
from controller.engines.ollama.catalogue import Catalogue, Terms
from controller.engines.ollama.facts import Anatomy
from controller.engines.ollama.inside import NEWEST, OWN_RUNNER
from controller.engines.ollama.needs import KeptInRam, StartedAs, cache, estimate
from controller.engines.runner import Runner
from controller.errors import Declined, Unreachable
from controller.plain import GIB
from controller.residency import names as module
from controller.residency.learned import Learned
from controller.residency.names import ModelNames
from tests.fakes.clock import WoundClock


class Shop:
    """An Ollama of names, each with the weights and parameters that it has."""

    def __init__(self, **models: str) -> None:
        self.models = {name.replace("_", ":"): parameters for name, parameters in models.items()}
        self.blobs: dict[str, str] = {}
        self.can: dict[str, list[str]] = {}
        self.inside = NEWEST
        self.family, self.longest = "llama", 32768
        self.asked: Counter[str] = Counter()
        self.open = asyncio.Event()
        self.open.set()
        self.crowded = asyncio.Event()
        self.under_way = self.most = 0
        self.fault: Unreachable | None = None

    async def show(self, model: str) -> dict[str, Any]:
        self.asked[model] += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        if self.under_way == module.AT_A_TIME:
            self.crowded.set()
        try:
            await self.open.wait()
        finally:
            self.under_way -= 1
        if self.fault is not None:
            raise self.fault
        if model not in self.models:
            raise Declined(f"Ollama answered /api/show with 404 (model '{model}' not found).", 404, "")
        blob = self.blobs.get(model, "sha256-" + model.encode().hex())
        facts = {"general.architecture": self.family, f"{self.family}.context_length": self.longest}
        can = self.can.get(model, ["completion"])
        modelfile = f"FROM /blobs/{blob}\n"
        return {"modelfile": modelfile, "parameters": self.models[model], "model_info": facts, "capabilities": can}

    async def tags(self) -> list[dict[str, Any]]:
        self.asked["(all)"] += 1
        return [{"name": name.upper(), "size": 1000} for name in self.models]


def anatomy(runner: Runner) -> Anatomy:
    """What is known of its model."""
    assert isinstance(runner.facts, Anatomy)
    return runner.facts


class House:
    """Names over a shop, with settings and learning that a test may change."""

    def __init__(self, shop: Shop, **models: Any) -> None:
        self.clock = WoundClock()
        self.config = Config.model_validate({"models": models})
        self.learned: dict[str, Learned] = {}
        self.kept: KeptInRam | None = None
        terms = Terms(lambda: shop.inside, lambda: self.config, lambda: self.kept)
        learned = lambda key: self.learned.get(key, Learned())  # noqa: E731
        self.names = ModelNames([Catalogue(shop, terms)], learned, lambda: self.config, now=self.clock.now)

    async def there(self, model: str) -> Runner:
        found = await self.names.look_up(model)
        assert found is not None
        return found


async def test_after_a_survey_every_name_of_a_runner_is_known_and_each_was_asked_for_once() -> None:
    shop = Shop(red_latest="", crimson_latest="", blue_latest="")
    shop.blobs = {"red:latest": "sha256-r", "crimson:latest": "sha256-r"}
    house = House(shop)
    red = await house.there("red")
    assert house.names.names_of(red.key) == ["RED:LATEST"]
    assert [each.name for each in await house.names.survey()] == ["RED:LATEST", "CRIMSON:LATEST", "BLUE:LATEST"]
    assert house.names.names_of(red.key) == ["CRIMSON:LATEST", "RED:LATEST"]
    assert {shop.asked[name] for name in shop.models} == {1}
    house.names.changed()
    shop.fault = Unreachable("Ollama did not answer.")
    with pytest.raises(Unreachable):
        await house.names.survey()


async def test_what_is_usual_is_as_the_ollama_that_is_asked_says() -> None:
    shop = Shop(red_latest="num_batch                      512", crimson_latest="")
    shop.blobs = {"red:latest": "sha256-r", "crimson:latest": "sha256-r"}
    house = House(shop)
    assert await house.there("red") != await house.there("crimson")
    shop.inside = OWN_RUNNER
    house.names.changed()
    assert await house.there("red") == await house.there("crimson")


async def test_who_gives_embeddings_is_known_once_it_was_looked_up() -> None:
    shop = Shop(red_latest="", finder_latest="")
    shop.can = {"finder:latest": ["embedding"]}
    house = House(shop)
    assert house.names.embedders() == []
    await house.names.survey()
    assert house.names.embedders() == ["FINDER:LATEST"]


async def test_a_model_that_was_looked_up_is_known_under_every_spelling() -> None:
    shop = Shop(red_latest="")
    house = House(shop)
    assert house.names.known("red") is None
    runner = await house.there("Red")
    for spelling in ("red", "RED:latest", " library/red", "registry.ollama.ai/library/red"):
        assert house.names.known(spelling) is runner
        assert house.names.known(spelling) is runner
    assert house.names.known("blue") is None
    assert shop.asked["red:latest"] == 1
    assert runner.name == "RED:LATEST"
    assert house.names.names_of(runner.key) == ["RED:LATEST"]


async def test_who_asks_for_one_name_at_a_time_shares_the_question() -> None:
    shop = Shop(red_latest="")
    shop.open.clear()
    house = House(shop)
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(house.names.look_up(spelling)) for spelling in ("red", "RED", "red:latest")]
        await asyncio.sleep(0)
        shop.open.set()
    assert shop.asked["red:latest"] == 1
    assert len({each.result() for each in asked}) == 1


async def test_only_a_few_questions_are_asked_at_a_time() -> None:
    shop = Shop()
    shop.open.clear()
    names = House(shop).names
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(names.look_up(f"m{number}"))
        await shop.crowded.wait()
        shop.open.set()
    assert shop.asked.total() == 20
    assert shop.most == module.AT_A_TIME


async def test_a_question_goes_on_while_anybody_waits_for_it_and_no_longer() -> None:
    shop = Shop(red_latest="")
    shop.open.clear()
    house = House(shop)
    one, other = (asyncio.create_task(house.names.look_up("red")) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert shop.under_way == 1
    other.cancel()
    await asyncio.gather(one, other, return_exceptions=True)
    await asyncio.sleep(0)
    assert shop.under_way == 0
    shop.open.set()
    assert await house.there("red")


async def test_an_unknown_name_is_remembered_for_a_moment_only() -> None:
    shop = Shop()
    house = House(shop)
    assert await house.names.look_up("red") is None
    assert await house.names.look_up("RED") is None
    assert shop.asked["red:latest"] == 1
    shop.models["red:latest"] = ""
    house.clock.leap(module.MISSING_FOR)
    assert await house.there("red")


@pytest.mark.parametrize("model", ["", "red:cloud", "gpt-oss:20b-cloud", "a b"])
async def test_what_cannot_be_a_model_here_is_not_asked_for(model: str) -> None:
    shop = Shop()
    house = House(shop)
    assert (await house.names.look_up(model), house.names.known(model)) == (None, None)
    assert not shop.asked


async def test_a_model_that_went_away_is_forgotten_when_it_is_asked_for() -> None:
    shop = Shop(red_latest="")
    house = House(shop)
    runner = await house.there("red")
    del shop.models["red:latest"]
    assert await house.names.look_up("red") is None
    assert house.names.known("red") is None
    assert house.names.names_of(runner.key) == []


async def test_no_answer_is_no_reason_to_forget() -> None:
    shop = Shop(red_latest="")
    house = House(shop)
    runner = await house.there("red")
    for fault in (Unreachable("It is away."), Declined("It is broken.", 500, "")):
        shop.fault = fault
        with pytest.raises(Unreachable):
            await house.names.look_up("red")
        assert house.names.known("red") is runner


async def test_after_a_change_nothing_kept_counts_and_what_was_asked_before_is_asked_again() -> None:
    shop = Shop(red_latest="")
    house = House(shop)
    before = await house.there("red")
    shop.open.clear()
    asked = shop.asked["red:latest"]
    late = asyncio.create_task(house.names.look_up("red"))
    await asyncio.sleep(0)
    house.names.changed()
    assert house.names.epoch == 1
    assert house.names.known("red") is None
    shop.open.set()
    assert await late == before
    assert shop.asked["red:latest"] == asked + 2
    shop.models["red:latest"] = "num_ctx                        1024"
    house.names.changed()
    assert await house.there("red") != before


async def test_names_of_one_recipe_are_one_runner_and_those_of_another_are_not() -> None:
    shop = Shop(red_latest="", crimson_latest="num_ctx  8192", short_latest="num_ctx  1024", blue_latest="")
    shop.blobs = dict.fromkeys(("red:latest", "crimson:latest", "short:latest"), "sha256-1")
    house = House(shop)
    red, crimson, short, blue = [await house.there(name) for name in ("red", "crimson", "short", "blue")]
    assert red == crimson
    assert len({red, short, blue}) == 3
    assert red.blob == short.blob != blue.blob
    assert house.names.names_of(red.key) == ["CRIMSON:LATEST", "RED:LATEST"]
    assert short.context == 1024


@pytest.mark.parametrize(
    ("longest", "usual", "context"), [(32768, 8192, 8192), (4096, 8192, 4096), (0, 8192, 8192), (32768, 65536, 32768)]
)
async def test_a_slot_has_the_context_that_is_set_and_no_more_than_the_model_was_made_for(
    longest: int, usual: int, context: int
) -> None:
    shop = Shop(red_latest="")
    shop.longest = longest
    house = House(shop, context_length=usual)
    assert (await house.there("red")).context == context


async def test_a_family_that_ollama_forces_to_one_slot_has_one() -> None:
    shop = Shop(red_latest="", blue_latest="")
    house = House(shop, parallel=4)
    assert (await house.there("red")).slots == 4
    shop.family = "qwen3vl"
    house.names.changed()
    assert (await house.there("red")).slots == 1


async def test_what_a_runner_needs_is_an_order_or_what_was_seen_or_an_estimate() -> None:
    shop = Shop(red_latest="", crimson_latest="")
    shop.blobs = dict.fromkeys(shop.models, "sha256-1")
    house = House(shop, context_length=4096)
    red = await house.there("red")
    assert red.need == estimate(anatomy(red), StartedAs(4096), shop.inside).total > red.facts.weights == 1000
    house.learned[red.key] = Learned(memory=7777)
    house.names.weigh()
    assert (house.names.known("red") or red).need == 7777
    house.config = Config.model_validate({"models": {"context_length": 4096, "models": {"Crimson": {"memory_gb": 2}}}})
    house.names.weigh()
    assert (house.names.known("red") or red).need == 7777  # whose name is not known to be its other name yet
    assert (await house.there("crimson")).need == 2 * GIB
    assert (house.names.known("red") or red).need == 2 * GIB


async def test_what_was_seen_right_after_a_load_is_not_all_that_a_runner_may_come_to_take() -> None:
    shop = Shop(red_latest="")
    house, kept = House(shop, context_length=4096), KeptInRam(2 * GIB)
    house.kept = kept
    red = await house.there("red")
    assert red.cache == cache(anatomy(red), StartedAs(4096), shop.inside, kept) >= 2 * GIB
    house.learned[red.key] = Learned(memory=7777)
    house.names.weigh()
    seen = await house.there("red")
    assert (seen.need, seen.cache, seen.parts, red.parts) == (
        7777,
        red.cache,
        None,
        estimate(anatomy(red), StartedAs(4096), shop.inside),
    )


async def test_a_runner_that_nobody_told_keeps_as_many_conversations_as_it_is_built_for() -> None:
    shop = Shop(red_latest="")
    assert (await House(shop).there("red")).cache >= 8 * GIB
    shop.inside = OWN_RUNNER
    assert (await House(shop).there("red")).cache == 0


async def test_what_was_learned_with_another_kind_of_runner_is_forgotten() -> None:
    shop = Shop(red_latest="")
    house = House(shop)
    red = await house.there("red")
    house.learned[red.key] = Learned(memory=7777)
    shop.inside = OWN_RUNNER
    house.names.changed()
    other = await house.there("red")
    assert other.key != red.key
    assert other.need == estimate(anatomy(other), StartedAs(8192), OWN_RUNNER).total


async def test_a_batch_that_a_model_asks_for_counts() -> None:
    shop = Shop(red_latest="num_batch 4096", blue_latest="")
    house = House(shop)
    red, blue = await house.there("red"), await house.there("blue")
    assert red.parts == estimate(anatomy(red), StartedAs(8192, batch=4096), shop.inside)
    assert red.predicted == blue.predicted + 2 * GIB


async def test_names_that_callers_make_up_take_no_memory_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_MISSING", 8)
    monkeypatch.setattr(module, "MOST_SPELLINGS", 8)
    house = House(Shop(red_latest=""))
    await house.there("red")
    for number in range(50):
        assert await house.names.look_up(f"m{number}") is None
        assert house.names.known(" " * number + "red") is not None
    kept = [getattr(house.names, name) for name in ("_missing", "_spellings")]
    assert all(0 < len(each) <= 8 for each in kept)
