"""The models that an Ollama has, and how it would load each: read off its own list and /api/show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from controller.config.schema import Config
from controller.engines.engine import ListedModel
from controller.engines.ollama.facts import Anatomy, facts_of, forced_single
from controller.engines.ollama.inside import Inside
from controller.engines.ollama.needs import KeptInRam, StartedAs, cache, estimate, need, predicted
from controller.engines.ollama.recipe import Recipe, key_of, recipe_of
from controller.engines.ollama.settings import OLLAMA
from controller.engines.runner import Runner
from controller.errors import Declined
from controller.joined import Joined
from controller.spelling import full_name


class Tells(Protocol):
    """What is asked of Ollama; `OllamaClient` is the real one. Both questions raise Unreachable."""

    @property
    def inside(self) -> Inside: ...

    async def show(self, model: str) -> dict[str, Any]: ...

    async def tags(self) -> list[dict[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Terms:
    """What a load depends on beside the model. `kept`: what runners are told to keep in RAM; None: nobody told them, so
    they do as they are built.
    """

    inside: Callable[[], Inside]
    settings: Callable[[], Config]
    kept: Callable[[], KeptInRam | None] = lambda: None


@dataclass(frozen=True, slots=True)
class OllamaModel:
    """One model on disk, as it was when Ollama was asked."""

    name: str  # as Ollama writes it
    recipe: Recipe
    facts: Anatomy
    terms: Terms

    @property
    def key(self) -> str:
        """Of its runner, as the configuration has it now."""
        models = self.terms.settings().models
        inside = ".".join(map(str, self.terms.inside().first))
        precision = f"{models.kv_cache_type or 'f16'} {models.flash_attention} {inside}"
        return key_of(self.recipe, context=self._asked_context, slots=self._slots, precision=precision)

    def runner(self, ordered_gb: float | None, seen: int | None) -> Runner:
        """How it would be loaded now."""
        facts, inside, models = self.facts, self.terms.inside(), self.terms.settings().models
        context = min(self._asked_context, facts.context) if facts.context else self._asked_context
        start = StartedAs(context, self._slots, models.kv_cache_type, models.flash_attention, self.recipe.batch)
        kept = self.terms.kept() or KeptInRam(inside.prompt_cache, inside.checkpoints)
        return Runner(
            self.key,
            self.recipe.blob,
            self.name,
            facts,
            engine=OLLAMA,
            context=context,
            slots=self._slots,
            need=need(facts, start, inside, ordered_gb, seen),
            cache=cache(facts, start, inside, kept),
            predicted=predicted(facts, start, inside),
            parts=estimate(facts, start, inside) if ordered_gb is None and seen is None else None,
        )

    @property
    def _slots(self) -> int:
        return 1 if forced_single(self.facts, self.terms.inside()) else self.terms.settings().models.parallel

    @property
    def _asked_context(self) -> int:
        sees = "vision" in self.facts.capabilities
        return self.recipe.context(self.terms.settings().models.context_length, sees=sees)


class Catalogue:
    """Implements `engines/engine.py: Library`."""

    def __init__(self, ollama: Tells, terms: Terms) -> None:
        self.name = OLLAMA
        self._ollama = ollama
        self._terms = terms
        self._lists = Joined[list[dict[str, Any]]]()

    async def listed(self) -> list[ListedModel]:
        """The models on disk."""
        return [_listed(each) for each in await self._tags()]

    async def find(self, name: str) -> OllamaModel | None:
        """None: no model on this machine."""
        try:
            show = await self._ollama.show(name)
        except Declined as answer:
            if answer.status >= 500:
                raise
            return None
        recipe = recipe_of(show, self._ollama.inside)
        listed = (await self._row(name) or await self._row(name)) if recipe else None  # the first may be old
        if recipe is None or listed is None:
            return None
        return OllamaModel(str(listed["name"]), recipe, facts_of(show, int(listed.get("size") or 0)), self._terms)

    def forget(self) -> None:
        """A list that is being asked for now may be of before."""
        self._lists = Joined()

    async def _tags(self) -> list[dict[str, Any]]:
        return await self._lists.ask("all", self._ollama.tags)

    async def _row(self, full: str) -> dict[str, Any] | None:
        return next((each for each in await self._tags() if full_name(str(each["name"])) == full), None)


def _listed(row: dict[str, Any]) -> ListedModel:
    return ListedModel(str(row["name"]), int(row.get("size") or 0), _moment(row.get("modified_at")))


def _moment(text: object) -> int:
    """Seconds since the epoch of an RFC 3339 time; 0 for what is none."""
    try:
        return int(datetime.fromisoformat(str(text)).timestamp())
    except ValueError:
        return 0
