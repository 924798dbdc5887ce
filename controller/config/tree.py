"""The schema, walked: every leaf with its description, its impact, and what it allows in words.

Reload, messages, the examples' test and the reference page all read the schema through here, so none of them keeps a
list of fields of its own.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from controller.config.problem import Location
from controller.config.schema import Config
from controller.settings.impact import Impact
from controller.settings.units import Says
from controller.settings.values import Branch

ANY: Final = "*"
"""Stands in a leaf's path for the index in a list, or the name in a block, that the operator chooses."""

Way = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Leaf:
    """One setting: a field whose value is no further branch of the tree."""

    path: Way  # `("server", "children", "*", "command")`
    field: FieldInfo

    @property
    def impacts(self) -> tuple[Impact, ...]:
        """When a change takes effect: exactly one, which a test asserts."""
        return tuple(mark for mark in self.field.metadata if isinstance(mark, Impact))

    @property
    def impact(self) -> Impact:
        return self.impacts[0]

    @property
    def private(self) -> bool:
        """Whether its value may hold a secret: then it is never shown, logged or compared in words."""
        return not self.field.repr

    @property
    def is_path(self) -> bool:
        return Path in _members(self.field.annotation)

    @property
    def allowed(self) -> str:
        """What may stand there, in words."""
        return _words(self.field.annotation, self.field.metadata)

    @property
    def required(self) -> bool:
        return self.field.is_required()

    def write(self, value: object) -> str:
        """A value as people read it, its unit included."""
        return "(not shown)" if self.private else _written(value, self.field)


@cache
def leaves(branch: type[BaseModel] = Config, path: Way = ()) -> tuple[Leaf, ...]:
    """Every leaf below `branch`, in the order of the schema."""
    return tuple(_walk(branch, path))


@cache
def _by_path() -> dict[Way, Leaf]:
    return {leaf.path: leaf for leaf in leaves()}


def leaf_at(location: Location) -> Leaf | None:
    """The leaf that a location in the YAML is, or lies inside of; None for a branch or an unknown key."""
    way, _ = _follow(location)
    return _by_path().get(way)


def keys_at(location: Location) -> tuple[str, ...]:
    """The keys that the branch at `location` knows; none where the operator chooses them, or it is no branch."""
    _, branch = _follow(location)
    return tuple(branch.model_fields) if branch else ()


def _follow(location: Location) -> tuple[Way, type[BaseModel] | None]:
    """The schema's way to a location, as far as there is one, and the branch that is there."""
    way: Way = ()
    branch: type[BaseModel] | None = Config
    parts = iter(location)
    for part in parts:
        field = branch.model_fields.get(str(part)) if branch else None
        if field is None:
            return ((), None) if branch else (way, None)
        way, inner = (*way, str(part)), below(field)
        branch = inner[0] if inner else None
        if inner and inner[1]:
            if next(parts, None) is None:
                return way, None
            way = (*way, ANY)
    return way, branch


def below(field: FieldInfo) -> tuple[type[Branch], bool] | None:
    """The branch a field leads to and whether there are many of it (a list, or a block by name); None for a leaf."""
    for part in _members(field.annotation):
        if isinstance(part, type) and issubclass(part, Branch):
            return part, part is not field.annotation
    return None


def _walk(branch: type[BaseModel], path: Way) -> Iterator[Leaf]:
    for name, field in branch.model_fields.items():
        inner = below(field)
        if inner is None:
            yield Leaf((*path, name), field)
        else:
            yield from _walk(inner[0], (*path, name, ANY) if inner[1] else (*path, name))


def _members(annotation: object) -> Iterator[object]:
    """An annotation and everything it is made of."""
    yield annotation
    if get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from _members(part)


_PLAIN: Final[dict[object, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
}


def _words(annotation: object, marks: Sequence[object] = ()) -> str:
    says = next((mark for mark in marks if isinstance(mark, Says)), None)
    base, empty = (says.allowed, "") if says else _kind_words(annotation)
    if says and type(None) in get_args(annotation):
        empty = ", or empty"
    return base + _bounds(marks, says.write if says else str) + empty


def _kind_words(annotation: object) -> tuple[str, str]:
    """What a type allows, and what to add when it may be left empty."""
    kind, parts = get_origin(annotation), get_args(annotation)
    if kind is Annotated:
        flat = [part for mark in parts[1:] for part in (mark.metadata if isinstance(mark, FieldInfo) else [mark])]
        return _words(parts[0], flat), ""
    if kind is Literal:
        return ("one of " if len(parts) > 1 else "") + ", ".join(map(str, parts)), ""
    if kind in (Union, types.UnionType):
        chosen = [_kind_words(part)[0] for part in parts if part is not type(None)]
        return " or ".join(chosen), ", or empty" if type(None) in parts else ""
    if kind is tuple:
        return f"a list, each {_kind_words(parts[0])[0]}", ""
    return _PLAIN[annotation], ""


def _bounds(marks: Sequence[object], write: Callable[[object], str]) -> str:
    words = []
    for mark in marks:
        match mark:
            case Ge(ge=limit):
                words.append(f"at least {write(limit)}")
            case Gt(gt=limit):
                words.append(f"more than {write(limit)}")
            case Le(le=limit):
                words.append(f"at most {write(limit)}")
            case MinLen(min_length=1):
                words.append("not empty")
            case MaxLen(max_length=limit):
                words.append(f"at most {limit} characters")
            case _:
                pass
    return f" ({', '.join(words)})" if words else ""


def _written(value: object, field: FieldInfo) -> str:
    if value is None or value is PydanticUndefined:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(map(str, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_written(each, field)}" for name, each in value.items()) + "}"
    says = next((mark for mark in _marks(field) if isinstance(mark, Says)), None)
    return says.write(value) if says else str(value)


def _marks(field: FieldInfo) -> Iterator[object]:
    yield from field.metadata
    for part in _members(field.annotation):
        yield from getattr(part, "__metadata__", ())
