"""The aliases of models.yaml, kept as models of those names in Ollama, so that every dialect sees the same options.

Each carries a mark: a line among its licences, which /api/show tells and which stays with the model whatever becomes of
our own data. What has no mark with its own name is not ours, and is neither overwritten nor deleted; a copy of an alias
under another name, or a model built on one, has its licences too, and is not ours either.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from controller.config.schema import Config
from controller.engines.ollama.settings import Alias
from controller.errors import Declined
from controller.events import Journal, Level
from controller.spelling import full_name

SOURCE: Final = "models"
_MARK: Final = "Made by Seadragon from models.yaml as {name}; it is remade when that changes. [{print}]"
_PRINT_LENGTH: Final = 16  # hexadecimal digits
_MARKED: Final = re.compile(r"^Made by Seadragon from models\.yaml as (\S+); .* \[([0-9a-f]{16})\]$", re.MULTILINE)


class Makes(Protocol):
    """What is asked of Ollama; `OllamaClient` is the real one. All raise Unreachable, Declined for a refusal."""

    async def show(self, model: str) -> dict[str, Any]: ...

    async def tags(self) -> list[dict[str, Any]]: ...

    async def create(self, model: str, base: str, **further: object) -> None: ...

    async def delete(self, model: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Model:
    """One model on disk."""

    name: str  # as it is stored
    digest: str  # of its manifest: another one when anything about it is


@dataclass(frozen=True, slots=True)
class _WantedAlias:
    """One alias as it is configured."""

    full: str
    name: str  # as it is written
    alias: Alias

    @property
    def base(self) -> str | None:
        return full_name(self.alias.base)

    def fingerprint(self, base: _Model) -> str:
        """Another one when the alias would come out differently."""
        facts = [self.full, base.digest, sorted(self.alias.options.items()), self.alias.system or ""]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:_PRINT_LENGTH]

    def layers(self, base: _Model) -> dict[str, object]:
        """What /api/create lays over the base, whose template, licences and other parameters stay."""
        mark = _MARK.format(name=self.full, print=self.fingerprint(base))
        layers: dict[str, object] = {"parameters": _parameters(self.alias), "license": [mark]}
        return layers | {"system": self.alias.system} if self.alias.system else layers


class Aliases:
    """Brings Ollama's models in line with the configuration."""

    def __init__(self, ollama: Makes, settings: Callable[[], Config], journal: Journal) -> None:
        self._ollama = ollama
        self._settings = settings
        self._journal = journal
        self._marks: dict[str, Mapping[str, str]] = {}  # by digest
        self._told: dict[str, str] = {}  # full name to what stands in its way: told once
        self._settling = asyncio.Lock()

    async def settle(self) -> list[str]:
        """Make, remake and delete until what is there is what is configured; return the names that were touched.

        For whenever Ollama gets ready, the configuration was reloaded, or models changed. What stands in one alias's
        way is told, and stops no other. Raises Unreachable when Ollama does not answer.
        """
        async with self._settling:
            wanted = {each.full: each for each in self._wanted()}
            found = await self._found()
            touched = await self._delete(found, wanted)
            for each in _bases_first(wanted):
                if await self._settle(each, found):
                    touched.append(each.name)
                    found = await self._found()
            self._told = {full: words for full, words in self._told.items() if full in wanted}
            return touched

    def _wanted(self) -> Iterator[_WantedAlias]:
        for name, alias in self._settings().models.aliases.items():
            if full := full_name(name):
                yield _WantedAlias(full, name, alias)

    async def _found(self) -> dict[str, _Model]:
        """The models on disk, by full name, with their marks read."""
        found = {}
        for each in await self._ollama.tags():
            if full := full_name(str(each["name"])):
                found[full] = _Model(str(each["name"]), str(each.get("digest") or full))
        present = {model.digest for model in found.values()}
        self._marks = {digest: marks for digest, marks in self._marks.items() if digest in present}
        for model in found.values():
            await self._read_marks(model)
        return found

    async def _read_marks(self, model: _Model) -> None:
        if model.digest in self._marks:
            return
        try:
            licences = str((await self._ollama.show(model.name)).get("license", ""))
        except Declined:  # gone meanwhile, or broken: nothing is known of it, so it is not ours
            return
        self._marks[model.digest] = dict(_MARKED.findall(licences))

    def _mark(self, full: str, found: Mapping[str, _Model]) -> str | None:
        """The fingerprint that a model of ours carries; None for one that is not ours."""
        return self._marks.get(found[full].digest, {}).get(full)

    async def _delete(self, found: dict[str, _Model], wanted: Mapping[str, _WantedAlias]) -> list[str]:
        gone = [full for full in found if full not in wanted and self._mark(full, found) is not None]
        deleted = []
        for full in gone:
            name = found[full].name
            try:
                await self._ollama.delete(name)
            except Declined as answer:
                self._tell(full, f"The alias {name} is not configured any more and could not be deleted: {answer}")
                continue
            del found[full]
            deleted.append(name)
            self._journal.say(SOURCE, f"The alias {name} is not configured any more: it was deleted.")
        return deleted

    async def _settle(self, wanted: _WantedAlias, found: Mapping[str, _Model]) -> bool:
        """Whether it was made."""
        name, base = wanted.name, found.get(wanted.base or "")
        mark = self._mark(wanted.full, found) if wanted.full in found else ""
        if mark is None:
            self._tell(
                wanted.full,
                f"The alias {name} is not made: a model of that name is there that Seadragon did not make, and it is "
                f"left alone. Give the alias another name in models.yaml, or delete the model (`ollama rm {name}`).",
            )
            return False
        if base is None:
            words = f"The alias {name} waits for its base: there is no model {wanted.alias.base}. Pull it, or correct "
            self._tell(wanted.full, f"{words}models.aliases in models.yaml.", "warning")
            return False
        if mark == wanted.fingerprint(base):
            self._told.pop(wanted.full, None)
            return False
        return await self._make(wanted, base, anew=bool(mark))

    async def _make(self, wanted: _WantedAlias, base: _Model, *, anew: bool) -> bool:
        try:
            await self._ollama.create(wanted.name, base.name, **wanted.layers(base))
        except Declined as answer:
            self._tell(wanted.full, f"The alias {wanted.name} could not be made: {answer.words or answer}")
            return False
        self._told.pop(wanted.full, None)
        done = "was made anew" if anew else "was made"
        self._journal.say(SOURCE, f"The alias {wanted.name} {done} from {base.name}.")
        return True

    def _tell(self, full: str, words: str, level: Level = "error") -> None:
        if self._told.get(full) != words:
            self._told[full] = words
            self._journal.say(SOURCE, words, level=level)


def _parameters(alias: Alias) -> dict[str, object]:
    """Ollama wants a list of stops, and fails at the first request when it got one alone."""
    return {
        name: [value] if name == "stop" and isinstance(value, str) else value for name, value in alias.options.items()
    }


def _bases_first(wanted: Mapping[str, _WantedAlias]) -> list[_WantedAlias]:
    """An alias may have an alias for its base. (Circles are a mistake that `rules.py` finds.)"""
    ordered: dict[str, _WantedAlias] = {}

    def take(full: str, above: frozenset[str]) -> None:
        base = wanted[full].base
        if base is not None and base in wanted and base not in above:
            take(base, above | {full})
        ordered.setdefault(full, wanted[full])

    for full in wanted:
        take(full, frozenset({full}))
    return list(ordered.values())
