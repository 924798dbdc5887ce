"""Which runner a name means. Ollama is asked once for each model; every spelling of its name is then a look in a table.

What is kept is bounded: callers choose names, and may choose as many as they like.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from controller.config.schema import Config
from controller.engines.ollama.facts import Anatomy, facts_of, forced_single
from controller.engines.ollama.inside import Inside
from controller.engines.ollama.needs import Kept, Start, cache, estimate, need, predicted
from controller.engines.ollama.recipe import Recipe, key_of, recipe_of
from controller.engines.runner import Runner
from controller.errors import Declined
from controller.residency.learned import Learned
from controller.residency.meaning import Meanings
from controller.spelling import full_name

AT_A_TIME: Final = 4  # questions to Ollama
MISSING_FOR: Final = 1.0  # seconds: a model that was pulled behind our back is found soon
MOST_MISSING: Final = 512
MOST_SPELLINGS: Final = 4096

T = TypeVar("T")


class Asks(Protocol):
    """What is asked of Ollama; `OllamaClient` is the real one. Both questions raise Unreachable."""

    @property
    def inside(self) -> Inside: ...

    async def show(self, model: str) -> dict[str, Any]: ...

    async def tags(self) -> list[dict[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class _Known:
    """One model on disk, as it was when Ollama was asked."""

    name: str  # as Ollama writes it
    recipe: Recipe
    facts: Anatomy


class Names:
    """Kept look-ups. `epoch` grows whenever they are forgotten."""

    def __init__(
        self,
        ollama: Asks,
        learned: Callable[[str], Learned],
        settings: Callable[[], Config],
        *,
        kept: Callable[[], Kept | None] = lambda: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`kept`: what its runners are told to keep in RAM; None: nobody told them, so they do as they are built."""
        self.epoch = 0
        self._kept = kept
        self._ollama = ollama
        self._learned = learned
        self._settings = settings
        self._now = now
        self._known: dict[str, _Known] = {}  # by full name
        self._runners: dict[str, Runner] = {}  # by full name
        self._spellings: dict[str, Runner] = {}  # by what callers wrote
        self._redirects: object = None
        self._meanings = Meanings()
        self._missing: dict[str, float] = {}  # full name to when it was not there
        self._room = asyncio.Semaphore(AT_A_TIME)
        self._shows: _Joined[_Known | None] = _Joined()
        self._lists: _Joined[list[dict[str, Any]]] = _Joined()

    # --- questions ---

    @property
    def meanings(self) -> Meanings:
        """What names mean, as the configuration has it now."""
        redirects = self._settings().models.redirect
        if redirects is not self._redirects:
            self._redirects, self._meanings = redirects, Meanings(redirects)
        return self._meanings

    def meant(self, model: str) -> str:
        """The model that an order means; what is no name means itself, and there is none of that name."""
        meaning = self.meanings.of(model)
        return model if meaning is None else meaning.name.written

    def known(self, model: str) -> Runner | None:
        """From what is kept: no I/O. None: look it up."""
        found = self._spellings.get(model)
        return found if found is not None else self._spelled(model)

    def _spelled(self, model: str) -> Runner | None:
        full = full_name(model)
        found = self._runners.get(full) if full else None
        if found is not None:
            if len(self._spellings) >= MOST_SPELLINGS:
                self._spellings.clear()
            self._spellings[model] = found
        return found

    async def look_up(self, model: str) -> Runner | None:
        """Ask Ollama afresh. None: no model on this machine. Whoever asks for the same name meanwhile shares the
        question. Raises Unreachable.
        """
        full = full_name(model)
        if full is None or self._lately_missing(full):
            return None
        while True:
            epoch = self.epoch
            found = await self._shows.ask(full, lambda: self._ask(full))
            if epoch == self.epoch:  # else names have changed meanwhile, and the answer may be of before
                break
        if found is None:
            self._miss(full)
            return None
        self._known[full] = found
        self._build()
        return self._runners[full]

    async def survey(self) -> list[dict[str, Any]]:
        """Look up every model on disk that is not known yet, and return Ollama's list of them. Raises Unreachable.

        A runner's other names count although nobody asked by them: for what the owner wants of it, and for its life.
        """
        listed = await self._lists.ask("all", self._ollama.tags)
        unknown = [name for each in listed if self.known(name := str(each["name"])) is None]
        for outcome in await asyncio.gather(*map(self.look_up, unknown), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        return listed

    def names_of(self, key: str) -> list[str]:
        """Every known name of a runner, as Ollama writes it."""
        return sorted(self._known[full].name for full, runner in self._runners.items() if runner.key == key)

    def embedders(self) -> list[str]:
        """Every known name of a model that gives embeddings, as Ollama writes it."""
        return sorted(one.name for one in self._known.values() if one.facts.gives_embeddings)

    # --- what makes it forget ---

    def changed(self) -> None:
        """Models came, went or were made anew, or a setting changed what they take: nothing kept counts any more."""
        self.epoch += 1
        self._shows, self._lists = _Joined(), _Joined()  # what is being asked now is answered to who asked
        for kept in (self._known, self._runners, self._spellings, self._missing):
            kept.clear()

    def weigh(self) -> None:
        """More was learned of what runners need: work it out again."""
        self._build()

    # --- asking ---

    async def _ask(self, full: str) -> _Known | None:
        async with self._room:
            try:
                show = await self._ollama.show(full)
            except Declined as answer:
                if answer.status >= 500:
                    raise
                return None
            recipe = recipe_of(show, self._ollama.inside)
            listed = (await self._listed(full) or await self._listed(full)) if recipe else None  # the first may be old
        if recipe is None or listed is None:
            return None
        return _Known(str(listed["name"]), recipe, facts_of(show, int(listed.get("size") or 0)))

    async def _listed(self, full: str) -> dict[str, Any] | None:
        tags = await self._lists.ask("all", self._ollama.tags)
        return next((each for each in tags if full_name(str(each["name"])) == full), None)

    # --- what is not there ---

    def _lately_missing(self, full: str) -> bool:
        since = self._missing.get(full)
        return since is not None and self._now() - since < MISSING_FOR

    def _miss(self, full: str) -> None:
        self._known.pop(full, None)
        if self._runners.pop(full, None) is not None:
            self._build()
        self._missing.pop(full, None)
        if len(self._missing) >= MOST_MISSING:
            del self._missing[next(iter(self._missing))]
        self._missing[full] = self._now()

    # --- runners ---

    def _build(self) -> None:
        """Make the runners of all that is known. A name may bring an order that counts for others of its runner."""
        keys = {full: self._key(known) for full, known in self._known.items()}
        sharing: dict[str, list[str]] = {}
        for full, key in keys.items():
            sharing.setdefault(key, []).append(full)
        self._runners = {full: self._runner(known, sharing[keys[full]]) for full, known in self._known.items()}
        self._spellings.clear()

    def _slots(self, known: _Known) -> int:
        return 1 if forced_single(known.facts, self._ollama.inside) else self._settings().models.parallel

    def _asked_context(self, known: _Known) -> int:
        sees = "vision" in known.facts.capabilities
        return known.recipe.context(self._settings().models.context_length, sees=sees)

    def _key(self, known: _Known) -> str:
        models = self._settings().models
        inside = ".".join(map(str, self._ollama.inside.first))
        precision = f"{models.kv_cache_type or 'f16'} {models.flash_attention} {inside}"
        return key_of(known.recipe, context=self._asked_context(known), slots=self._slots(known), precision=precision)

    def _runner(self, known: _Known, names: list[str]) -> Runner:
        """`names`: the full names of all that share it."""
        key, slots, context = self._key(known), self._slots(known), self._asked_context(known)
        facts, inside, models = known.facts, self._ollama.inside, self._settings().models
        if facts.context:
            context = min(context, facts.context)
        start = Start(context, slots, models.kv_cache_type, models.flash_attention, known.recipe.batch)
        ordered, seen = max(self._ordered(names), default=None), self._learned(key).memory
        kept = self._kept() or Kept(inside.prompt_cache, inside.checkpoints)
        return Runner(
            key,
            known.recipe.blob,
            known.name,
            facts,
            engine="ollama",
            context=context,
            slots=slots,
            need=need(facts, start, inside, ordered, seen),
            cache=cache(facts, start, inside, kept),
            predicted=predicted(facts, start, inside),
            parts=estimate(facts, start, inside) if ordered is None and seen is None else None,
        )

    def _ordered(self, names: list[str]) -> Iterator[float]:
        for name, one in self._settings().models.models.items():
            if one.memory_gb is not None and full_name(name) in names:
                yield one.memory_gb


class _Joined(Generic[T]):
    """Questions that several may wait for: each is asked once, and given up when nobody waits for it any more."""

    def __init__(self) -> None:
        self._asked: dict[str, asyncio.Task[T]] = {}
        self._waiting: Counter[str] = Counter()

    async def ask(self, name: str, question: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The answer to `question`, or to the same one that is under way. Raises what it raises."""
        task = self._asked.get(name)
        if task is None:
            task = self._asked[name] = asyncio.create_task(question())
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be left to hear it
        self._waiting[name] += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting[name] -= 1
            if not self._waiting[name] or task.done():
                self._forget(name, task)

    def _forget(self, name: str, task: asyncio.Task[T]) -> None:
        if self._asked.get(name) is task:
            del self._asked[name]
        if not self._waiting[name]:
            del self._waiting[name]
            task.cancel()
