"""Aliases and names, on a real Ollama with tiny models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.clock import SystemClock
from controller.config.schema import Config
from controller.engines.ollama.aliases import Aliases
from controller.engines.ollama.catalogue import Catalogue, Terms
from controller.engines.ollama.client import OllamaClient
from controller.engines.ollama.inside import NEWEST
from controller.engines.runner import Runner
from controller.events import Journal
from controller.residency.learned import Learned
from controller.residency.names import ModelNames
from tests.kit import real
from tests.kit.real import RealOllama


class House:
    """Aliases as `config` has them, in one Ollama."""

    def __init__(self, ollama: RealOllama) -> None:
        self.ollama = ollama
        self.config = Config()
        self.client = OllamaClient(lambda: ollama.url)
        self.forget()

    def forget(self) -> None:
        """A controller that knows nothing, as after the loss of all data."""
        self.journal = Journal(SystemClock())
        self.aliases = Aliases(self.client, lambda: self.config, self.journal)
        self.names = ModelNames(
            [Catalogue(self.client, Terms(lambda: NEWEST, lambda: self.config))],
            lambda key: Learned(),
            lambda: self.config,
        )

    async def settle(self, **aliases: dict[str, Any]) -> list[str]:
        self.config = Config.model_validate({"models": {"aliases": aliases}})
        touched = await self.aliases.settle()
        self.names.changed()
        return touched

    async def runner(self, model: str) -> Runner:
        found = await self.names.look_up(model)
        assert found is not None, model
        return found

    async def listed(self) -> dict[str, str]:
        return {each["name"]: each["digest"] for each in await self.client.tags()}

    @property
    def told(self) -> list[str]:
        return [event.text for event in self.journal.last(100)]

    def loads(self) -> int:
        """Runners that Ollama has started so far."""
        return self.ollama.log.read_bytes().count(b" --model ")

    def asked(self, method: str, path: str, **content: Any) -> Any:
        """What a person does to the models behind our back."""
        with self.ollama.client() as client:
            answer = client.request(method, path, json={"stream": False, **content})
        assert answer.status_code == 200, answer.text
        return answer.json() if answer.content else None


@pytest.fixture
def house(tiny_models: Path, tmp_path: Path) -> Iterator[House]:
    with real.serve(tmp_path / "home", tiny_models) as ollama:
        yield House(ollama)


async def test_an_alias_is_a_model_with_options_of_its_own_on_the_same_weights(house: House) -> None:
    options = {"num_ctx": 1024, "temperature": 0.25, "stop": "red"}
    assert await house.settle(Crimson={"base": "RED", "options": options, "system": "Be kind."}) == ["Crimson"]
    made, base = await house.client.show("crimson"), await house.client.show("red")
    assert made["template"] == base["template"]
    assert made["system"] == "Be kind."
    parameters = {tuple(line.split()) for line in made["parameters"].splitlines()}
    assert parameters == {("num_ctx", "1024"), ("temperature", "0.25"), ("stop", '"red"'), ("num_thread", "1")}
    assert house.asked("POST", "/api/chat", model="Crimson", messages=[{"role": "user", "content": "Who?"}])["done"]
    alias, plain = await house.runner("crimson"), await house.runner("red")
    assert alias.blob == plain.blob
    assert alias.key != plain.key
    assert (alias.context, plain.context) == (1024, 8192)


async def test_an_alias_that_is_loaded_as_its_base_is_shares_its_runner_in_ollama_too(house: House) -> None:
    await house.settle(
        warm={"base": "red", "options": {"temperature": 1}}, same={"base": "red", "options": {"num_ctx": 8192}}
    )
    keys = {(await house.runner(name)).key for name in ("red", "warm", "same")}
    assert len(keys) == 1
    assert house.names.names_of(keys.pop()) == ["red:latest", "same:latest", "warm:latest"]
    for name in ("red", "warm", "same", "red"):
        house.asked("POST", "/api/generate", model=name, prompt="?")
    assert house.loads() == 1
    await house.settle(short={"base": "red", "options": {"num_ctx": 1024}})
    house.asked("POST", "/api/generate", model="short", prompt="?")
    assert house.loads() == 2


async def test_a_settled_alias_is_left_alone_even_by_a_controller_that_has_lost_its_data(house: House) -> None:
    aliases = {"crimson": {"base": "red", "options": {"num_ctx": 1024}}}
    await house.settle(**aliases)
    before = await house.listed()
    assert await house.settle(**aliases) == []
    house.forget()
    assert await house.settle(**aliases) == []
    assert await house.listed() == before
    assert house.told == []


@pytest.mark.parametrize(
    "changed",
    [
        {"base": "red", "options": {"num_ctx": 2048}},
        {"base": "red", "options": {"num_ctx": 1024, "top_k": 1}},
        {"base": "red"},
        {"base": "red", "options": {"num_ctx": 1024}, "system": "Be brief."},
        {"base": "blue", "options": {"num_ctx": 1024}},
    ],
)
async def test_a_change_of_base_options_or_system_makes_it_anew(house: House, changed: dict[str, Any]) -> None:
    await house.settle(crimson={"base": "red", "options": {"num_ctx": 1024}})
    house.forget()
    assert await house.settle(crimson=changed) == ["crimson"]
    made, base = await house.client.show("crimson"), await house.client.show(changed["base"])
    assert (made.get("system"), made["template"]) == (changed.get("system"), base["template"])
    options = dict(line.split() for line in made["parameters"].splitlines())
    assert options == {"num_thread": "1", **{name: str(value) for name, value in changed.get("options", {}).items()}}
    assert house.told == [f"The alias crimson was made anew from {changed['base']}:latest."]


async def test_a_base_that_is_another_model_now_makes_its_aliases_anew(house: House) -> None:
    aliases = {"second": {"base": "first"}, "first": {"base": "mine"}}
    house.asked("POST", "/api/create", model="mine", **{"from": "red:latest"})
    assert await house.settle(**aliases) == ["first", "second"]
    house.asked("POST", "/api/create", model="mine", **{"from": "blue:latest"})
    assert await house.settle(**aliases) == ["first", "second"]
    assert (await house.runner("second")).blob == (await house.runner("blue")).blob


async def test_an_alias_that_is_not_configured_any_more_is_deleted_and_nothing_else_is(house: House) -> None:
    before = await house.listed()
    await house.settle(crimson={"base": "red"}, navy={"base": "blue"})
    house.asked("POST", "/api/copy", source="crimson", destination="my-copy")
    house.asked("POST", "/api/create", model="my-own", **{"from": "crimson"}, system="Mine.")
    house.forget()
    assert await house.settle(navy={"base": "blue"}) == ["crimson:latest"]
    assert set(await house.listed()) == {*before, "navy:latest", "my-copy:latest", "my-own:latest"}
    assert house.told == ["The alias crimson:latest is not configured any more: it was deleted."]


async def test_a_model_we_did_not_make_is_neither_overwritten_nor_deleted(house: House) -> None:
    before = await house.listed()
    assert await house.settle(BLUE={"base": "red"}, crimson={"base": "red"}) == ["crimson"]
    after = await house.listed()
    assert after.pop("crimson:latest")
    assert after == before
    (refused,) = [text for text in house.told if "BLUE" in text]
    assert "`ollama rm BLUE`" in refused
    assert await house.settle(BLUE={"base": "red"}, crimson={"base": "red"}) == []
    assert len([text for text in house.told if "BLUE" in text]) == 1
    house.asked("DELETE", "/api/delete", model="blue")
    assert await house.settle(BLUE={"base": "red"}, crimson={"base": "red"}) == ["BLUE"]


async def test_an_alias_waits_for_a_base_that_is_not_there_and_nothing_is_fetched(house: House) -> None:
    aliases = {"big": {"base": "not-here:70b"}, "crimson": {"base": "red"}, "away": {"base": "gpt-oss:20b-cloud"}}
    assert await house.settle(**aliases) == ["crimson"]
    assert len([text for text in house.told if "not-here:70b" in text and "Pull it" in text]) == 1
    assert "pull" not in house.ollama.log.read_text(errors="replace").replace("/api/pull", "")
    house.asked("POST", "/api/copy", source="blue", destination="not-here:70b")
    assert await house.settle(**aliases) == ["big"]
    assert (await house.runner("big")).blob == (await house.runner("blue")).blob


async def test_what_ollama_says_against_an_alias_is_told_in_its_words_and_the_rest_goes_on(house: House) -> None:
    weights = house.ollama.models / "blobs" / (await house.runner("blue")).blob
    weights.unlink()
    assert await house.settle(shards={"base": "blue"}, crimson={"base": "red"}) == ["crimson"]
    (refused,) = [text for text in house.told if "shards" in text]
    assert "no such file or directory" in refused


async def test_every_real_model_has_a_runner_and_a_spelling_more_changes_nothing(house: House) -> None:
    for name, digest in (await house.listed()).items():
        runner = await house.runner(name.upper())
        assert runner.facts.weights > 0, (name, digest)
        assert (house.ollama.models / "blobs" / runner.blob).is_file()
        assert house.names.known(f"library/{name}") is runner
    assert await house.names.look_up("never-heard-of") is None
