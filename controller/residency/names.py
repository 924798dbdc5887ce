"""Which runner a name means. An engine is asked once for each model; every spelling of its name then costs a look.

What is kept is bounded: callers choose names, and may choose as many as they like.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from controller.config.schema import Config
from controller.engines.engine import Library, ListedModel, Model
from controller.engines.runner import Runner
from controller.errors import Unreachable
from controller.joined import Joined
from controller.residency.learned import Learned
from controller.residency.meaning import Meanings
from controller.spelling import full_name

AT_A_TIME: Final = 4  # questions about models
MISSING_FOR: Final = 1.0  # seconds: a model that was pulled behind our back is found soon
MOST_MISSING: Final = 512
MOST_SPELLINGS: Final = 4096


class ModelNames:
    """What was looked up is kept. `epoch` grows whenever it is forgotten. Where two engines have a model of one name,
    the first of them is meant.
    """

    def __init__(
        self,
        engines: Sequence[Library],
        learned: Callable[[str], Learned],
        settings: Callable[[], Config],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.epoch = 0
        self._engines = engines
        self._learned = learned
        self._settings = settings
        self._now = now
        self._known: dict[str, Model] = {}  # by full name
        self._runners: dict[str, Runner] = {}  # by full name
        self._spellings: dict[str, Runner] = {}  # by what callers wrote
        self._redirects: object = None
        self._meanings = Meanings()
        self._missing: dict[str, float] = {}  # full name to when it was not there
        self._room = asyncio.Semaphore(AT_A_TIME)
        self._asked = Joined[Model | None]()
        self._listed: dict[str, list[ListedModel]] = {}  # by engine: what it listed last

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
        """Ask the engines afresh. None: no model on this machine. Whoever asks for the same name meanwhile shares the
        question. Raises Unreachable.
        """
        full = full_name(model)
        if full is None or self._lately_missing(full):
            return None
        while True:
            epoch = self.epoch
            found = await self._asked.ask(full, lambda: self._ask(full))
            if epoch == self.epoch:  # else names have changed meanwhile, and the answer may be of before
                break
        if found is None:
            self._miss(full)
            return None
        self._known[full] = found
        self._build()
        return self._runners[full]

    async def survey(self) -> list[ListedModel]:
        """Look up every model there is that is not known yet, and return all of them, those of an engine that is away
        as it listed them last. Raises Unreachable when none answers.

        A runner's other names count although nobody asked by them: for what the owner wants of it, and for its life.
        """
        problems = await asyncio.gather(*map(self._list, self._engines))
        away = [each for each in problems if each is not None]
        if len(away) == len(problems):
            raise away[0]
        listed: dict[str, ListedModel] = {}
        for engine, problem in zip(self._engines, problems, strict=True):
            models = self._listed.get(engine.name, [])
            if problem is None:
                await self._look_all_up(models)
            for each in models:
                listed.setdefault(each.name, each)
        return list(listed.values())

    async def _list(self, engine: Library) -> Unreachable | None:
        try:
            self._listed[engine.name] = await engine.listed()
        except Unreachable as problem:
            return problem
        return None

    async def _look_all_up(self, listed: Iterable[ListedModel]) -> None:
        unknown = [each.name for each in listed if self.known(each.name) is None]
        for outcome in await asyncio.gather(*map(self.look_up, unknown), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    def names_of(self, key: str) -> list[str]:
        """Every known name of a runner, as its engine writes it."""
        return sorted(self._known[full].name for full, runner in self._runners.items() if runner.key == key)

    def embedders(self) -> list[str]:
        """Every known name of a model that gives embeddings, as its engine writes it."""
        return sorted(one.name for one in self._known.values() if one.facts.gives_embeddings)

    # --- what makes it forget ---

    def changed(self) -> None:
        """Models came, went or were made anew, or a setting changed what they take: nothing kept counts any more."""
        self.epoch += 1
        self._asked = Joined()  # what is being asked now is answered to who asked
        for engine in self._engines:
            engine.forget()
        for kept in (self._known, self._runners, self._spellings, self._missing):
            kept.clear()

    def weigh(self) -> None:
        """More was learned of what runners need: work it out again."""
        self._build()

    # --- asking ---

    async def _ask(self, full: str) -> Model | None:
        away: Unreachable | None = None
        async with self._room:
            for engine in self._engines:
                try:
                    found = await engine.find(full)
                except Unreachable as problem:
                    away = away or problem
                    continue
                if found is not None:
                    return found
        if away is not None:  # it may have it
            raise away
        return None

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
        keys = {full: known.key for full, known in self._known.items()}
        sharing: dict[str, list[str]] = {}
        for full, key in keys.items():
            sharing.setdefault(key, []).append(full)
        self._runners = {full: self._runner(known, sharing[keys[full]]) for full, known in self._known.items()}
        self._spellings.clear()

    def _runner(self, known: Model, names: list[str]) -> Runner:
        """`names`: the full names of all that share it."""
        return known.runner(max(self._ordered(names), default=None), self._learned(known.key).memory)

    def _ordered(self, names: list[str]) -> Iterator[float]:
        for name, one in self._settings().models.models.items():
            if one.memory_gb is not None and full_name(name) in names:
                yield one.memory_gb
