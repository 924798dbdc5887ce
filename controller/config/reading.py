"""One reading of the YAML: from the three documents to a `Config`, noting every mistake on the way."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from controller.config.document import Data, Document, Spot
from controller.config.mistake import Mistake
from controller.config.problem import Location, Problem, dotted, shown
from controller.config.renames import Rename, apply_renames
from controller.config.schema import Config
from controller.config.tree import ANY, keys_at, leaf_at, leaves
from controller.files import PRIVATE_FILE, private_file_fault

_OF_A_KEY = "[key]"  # where pydantic says that a name is wrong, not what it stands for


class YamlReading:
    """One reading of the three files: their data as it grows into a `Config`, and the problems met on the way."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder.absolute()
        self._environment = environment
        self._values: dict[Location, Spot] = {}
        self._keys: dict[Location, Spot] = {}
        self._blamed: set[Location] = set()
        self._data: dict[str, Data] = {}
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self.secrets: list[Path] = []

    def take(self, read: Document, root: str) -> None:
        self._values |= {(root,): Spot(read.file, 1, 1)} | read.values
        self._keys |= read.keys
        self._data[root] = read.data
        self.problems += read.problems
        if read.problems and read.data is None:
            self._blamed.add((root,))

    def rename(self, renames: Iterable[Rename]) -> None:
        """Take values under their old names for values under the new ones."""
        for rename, both in apply_renames(self._data, renames):
            if both:
                self.complain(rename.old, "the old name beside the new one", f"only {dotted(rename.new)}", key=True)
                continue
            spot = self._spot(rename.old, key=True)
            self.warnings.append(
                f"{spot.file}:{spot.line}:{spot.column} {dotted(rename.old)} is now called {dotted(rename.new)}. "
                "It still works; please rename it."
            )
            for spots in (self._values, self._keys):
                spots |= {rename.new + way[len(rename.old) :]: spots[way] for way in spots if rename.holds(way)}

    def fill_in(self) -> None:
        """Put full paths and secrets where the YAML names them."""
        for leaf in leaves():
            for location, holder, key in _places(self._data, leaf.path):
                value = holder[key]
                if leaf.is_path and isinstance(value, str):
                    holder[key] = self._full(value)
                elif leaf.private and isinstance(value, dict):
                    holder[key] = {name: self._secret((*location, name), each) for name, each in value.items()}

    def build(self) -> Config:
        """The tree, with defaults in the place of whatever is wrong, so that the rest can still be looked at."""
        while True:
            try:
                return Config.model_validate(self._data)
            except ValidationError as error:
                details = error.errors(include_url=False)
                for detail in details:
                    self._explain(detail)
                self._prune({self._held(detail["loc"]) for detail in details})

    def check(self, config: Config, findings: Iterator[Mistake], *, outside: bool) -> None:
        """Take over what the checks found, but for what follows from a mistake that is told already."""
        for each in findings:
            if not any(each.location[: len(blamed)] == blamed for blamed in self._blamed):
                self.complain(each.location, each.found, each.allowed, at=each.at, key=each.key, outside=outside)

    def complain(
        self,
        location: Location,
        found: str,
        allowed: str,
        *,
        at: Location | None = None,
        key: bool = False,
        outside: bool = False,
    ) -> None:
        """Note a problem with the setting at `location`. `at` is where to point when it is not in the YAML at all."""
        spot = self._spot(at if at and location not in self._values else location, key=key)
        self.problems.append(Problem(spot.file, spot.line, spot.column, dotted(location), found, allowed, outside))
        self._blamed.add(location)

    def _explain(self, detail: ErrorDetails) -> None:
        """One problem for one value, however many members of a union pydantic has tried on it."""
        location: Location = detail["loc"]
        unknown = detail["type"] == "extra_forbidden"
        name = location[-1] == _OF_A_KEY
        if name:
            location = location[:-1]
            found, allowed = shown(location[-1]), _allowed(location, detail)
        elif unknown:
            found, allowed = f"the unknown key {shown(location[-1])}", _known(location)
        elif detail["type"] == "missing":
            found, allowed = "nothing", _allowed(location, detail)
        else:
            location = self._written(location)
            found, allowed = self._found(location), _allowed(location, detail)
        if not any(blamed[: len(location)] == location for blamed in self._blamed):
            self.complain(location, found, allowed, key=unknown or name)

    def _found(self, location: Location) -> str:
        leaf = leaf_at(location)
        return "a value that is not shown" if leaf and leaf.private else shown(self._values[location].raw)

    def _written(self, location: Location) -> Location:
        """The longest part of a location that stands in the YAML."""
        while location not in self._values and len(location) > 1:
            location = location[:-1]
        return location

    def _spot(self, location: Location, *, key: bool = False) -> Spot:
        """Where to point: at a value, or with `key` at its key. What is missing is missing at the key above it."""
        where = location
        while where not in self._values:
            where = where[:-1]
        key = key or where != location
        return self._keys.get(where, self._values[where]) if key else self._values[where]

    def _held(self, location: Location) -> tuple[str, ...]:
        """The way to the innermost block or value that holds `location`. A list counts as one value."""
        way: tuple[str, ...] = ()
        holder: Data = self._data
        for part in location:
            if not (isinstance(holder, dict) and isinstance(part, str) and part in holder):
                break
            way, holder = (*way, part), holder[part]
        return way

    def _prune(self, ways: Iterable[tuple[str, ...]]) -> None:
        for *above, last in sorted(ways, key=len, reverse=True):
            holder: Any = self._data
            for part in above:
                holder = holder[part]
            del holder[last]

    def _full(self, text: str) -> str:
        return os.path.join(self._folder, os.path.expanduser(text))

    def _secret(self, location: Location, value: Data) -> Data:
        if not isinstance(value, dict):
            return value
        match value:
            case {"file": str(text), **rest} if not rest:
                return self._from_file(location, Path(self._full(text)))
            case {"from": str(name), **rest} if not rest:
                if name in self._environment:
                    return self._environment[name]
                allowed = f"{shown(name)} set in the environment Seadragon is started with"
                self.complain(location, "a variable that is not set", allowed, outside=True)
            case _:
                self.complain(location, "a block of settings", "a value, {file: path} or {from: NAME}")
        return ""

    def _from_file(self, location: Location, path: Path) -> str:
        self.secrets.append(path)
        fault, secret = private_file_fault(path), ""
        if fault is None:
            try:
                secret = path.read_text("utf-8-sig").strip()  # some editors begin a file with a mark that nobody sees
            except (OSError, UnicodeDecodeError):
                fault = "a file that is not readable text"
            else:
                fault = None if secret else "an empty file"
        if fault is not None:
            self.complain(location, f"{fault}: {shown(str(path))}", PRIVATE_FILE, outside=True)
        return secret


def _allowed(location: Location, detail: ErrorDetails) -> str:
    reason = detail.get("ctx", {}).get("error")
    if isinstance(reason, ValueError):  # our own validators say what is allowed
        return str(reason)
    leaf = leaf_at(location)
    return leaf.allowed if leaf else _block(location)


def _known(location: Location) -> str:
    known = keys_at(location[:-1])
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    return (f"did you mean {close[0]}? " if close else "") + "known here: " + ", ".join(known)


def _block(location: Location) -> str:
    """What may stand where the schema has a branch, or many of it."""
    known = keys_at(location)
    return f"a block of settings: {', '.join(known)}" if known else _many(location)


def _many(location: Location) -> str:
    example = keys_at((*location, 0))
    return f"a list or block of entries, each with {', '.join(example)}" if example else "a block of settings"


def _places(data: Data, path: tuple[str, ...]) -> Iterator[tuple[Location, dict[str, Data], str]]:
    """Where a leaf stands in the data: its location, and the block and key to change it through."""
    spots: list[tuple[Location, Data]] = [((), data)]
    for part in path[:-1]:
        spots = [((*location, key), inner) for location, each in spots for key, inner in _inner(each, part)]
    for location, each in spots:
        if isinstance(each, dict) and path[-1] in each:
            yield (*location, path[-1]), each, path[-1]


def _inner(data: Data, part: str) -> Iterator[tuple[str | int, Data]]:
    if isinstance(data, dict):
        yield from data.items() if part == ANY else [(part, data[part])] if part in data else []
    elif isinstance(data, list) and part == ANY:
        yield from enumerate(data)
