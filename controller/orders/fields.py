"""What an order is told: each field with what it may be. Checked here for whoever sends plain JSON; the API makes its
schemas of the same, the command line its options, a page its inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from controller.errors import SeadragonError

FieldKind = Literal["text", "texts", "number", "whole", "flag"]
_KINDS: Final[Mapping[FieldKind, str]] = {
    "text": "a text",
    "texts": "a list of texts",
    "number": "a number",
    "whole": "a whole number",
    "flag": "true or false",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One thing an order is told. `typed` is how the command line takes it: `NAME` (an argument), `--lane LANE` (an
    option), "" not at all; `turns`: that option takes no value, and means this one.
    """

    name: str
    kind: FieldKind = "text"
    help: str = ""
    needed: bool = False
    usual: object = None  # what holds when it is left out; None: the order's own business
    least: float | None = None  # of a number
    above: float | None = None
    most: float | None = None
    longest: int = 512  # characters of a text, or of each of several
    choices: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    typed: str = ""
    turns: str = ""
    span: bool = False  # a number of seconds, which people write as 2h or 30d
    clears: bool = False  # null is a value of its own: as everywhere
    empty: bool = False  # a text that may be empty
    model: bool = False  # a model's name: what does not exist for who orders is unknown
    wire: str = ""  # what the API calls it; "": as here

    @property
    def told(self) -> str:
        """What the API calls it."""
        return self.wire or self.name


MOST_TEXTS: Final = 64  # in a list


def read(order: str, fields: Sequence[Field], given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` as the order takes it: null is left out where it means nothing. Raises SeadragonError for a field too
    many, for one that is missing and for what cannot be.
    """
    known = {field.name: field for field in fields}
    if unknown := [name for name in given if name not in known]:
        takes = f"It takes: {', '.join(known)}." if known else "It takes nothing."
        raise SeadragonError(f"This is not how `{order}` is ordered: it knows no `{unknown[0]}`. {takes}")
    kept = {name: value for name, value in given.items() if value is not None or known[name].clears}
    for field in fields:
        if field.name in kept:
            if kept[field.name] is not None:
                _check(field, kept[field.name])
        elif field.needed:
            raise SeadragonError(f"This is not how `{order}` is ordered: `{field.name}` is missing. {_must(field)}")
        elif field.usual is not None:
            kept[field.name] = field.usual
    return kept


def _check(field: Field, value: object) -> None:
    """Raises SeadragonError."""
    if field.choices and isinstance(value, str) and value not in field.choices:
        raise SeadragonError(f"`{field.name}` cannot be {value!r}. It may be: {', '.join(field.choices)}.")
    if field.kind == "text" and isinstance(value, str) and len(value) > field.longest:
        raise SeadragonError(f"`{field.name}` is too long: it may have {field.longest} characters.")
    if not _FITS[field.kind](field, value):
        raise SeadragonError(_must(field))


def _must(field: Field) -> str:
    """`` `lane` must be a number from 0 to 1000. ``"""
    if field.choices:
        return f"`{field.name}` must be one of: {', '.join(field.choices)}."
    least, most = ("" if end is None else f"{end:g}" for end in (field.least, field.most))
    between = f" from {least} to {most}" if least and most else f" from {least} on" if least else ""
    return f"`{field.name}` must be {'a name' if field.model else _KINDS[field.kind]}{between}."


def _is_text(field: Field, value: object) -> bool:
    return isinstance(value, str) and len(value) <= field.longest and (bool(value) or field.empty)


def _is_texts(field: Field, value: Any) -> bool:
    texts = isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)
    return texts and len(value) <= MOST_TEXTS and all(len(each) <= field.longest for each in value)


def _is_number(field: Field, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if isinstance(value, float) and not math.isfinite(value):
        return False
    least, above, most = field.least, field.above, field.most
    return (least is None or value >= least) and (above is None or value > above) and (most is None or value <= most)


def _is_whole(field: Field, value: object) -> bool:
    return isinstance(value, int) and _is_number(field, value)


_FITS: Final[Mapping[FieldKind, Callable[[Field, object], bool]]] = {
    "text": _is_text,
    "texts": _is_texts,
    "number": _is_number,
    "whole": _is_whole,
    "flag": lambda field, value: isinstance(value, bool),
}
