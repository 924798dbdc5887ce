"""Durations and sizes as people write them: `90s`, `1m30s`, `2h`, `32 MiB`, `4GB`. Stored as seconds and bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "y": 365 * 86400.0}
_BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_BYTES["tib"] = 2**40
_LONGEST = 15  # digits: beyond them a float is no longer exact, and nobody means it
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d|y))+")
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|y)")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?i?b)?", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_WRITTEN = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))

DURATION = "a duration such as 500ms, 90s, 1m30s or 2h, or a number of seconds"
SIZE = "a size such as 512KiB, 32MiB or 4GB, or a number of bytes"
TIME = "a time of day such as 03:30"


def seconds(value: object) -> object:
    """Seconds of a duration text; a plain number is seconds already.

    Raises ValueError, saying what is allowed, for a text that is not a duration.
    """
    if not isinstance(value, str):
        return value
    text = re.sub(r"\s", "", value)
    if len(text) > 2 * _LONGEST:
        raise ValueError(DURATION)
    if _NUMBER.fullmatch(text):
        return float(text)
    if not _DURATION.fullmatch(text):
        raise ValueError(DURATION)
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def size(value: object) -> object:
    """Bytes of a size text; a plain number is bytes already.

    Raises ValueError, saying what is allowed, for a text that is not a size.
    """
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    unit = (match[2] or "b").lower() if match else ""
    if match is None or unit not in _BYTES or len(match[1]) > _LONGEST:
        raise ValueError(SIZE)
    return round(float(match[1]) * _BYTES[unit])


def time_of_day(text: str) -> str:
    """`03:30`: hours and minutes, two digits each. Raises ValueError, saying what is allowed, for anything else."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ValueError(TIME)
    return f"{int(match[1]):02}:{match[2]}"


def write_seconds(value: object) -> str:
    """`90 s`, `0.5 s`."""
    return f"{value:.12g} s" if isinstance(value, int | float) else str(value)


def write_size(value: object) -> str:
    """`32 MiB`: the largest unit that says it exactly."""
    if not isinstance(value, int):
        return str(value)
    for unit, name in _WRITTEN:
        if value and value % unit == 0:
            return f"{value // unit} {name}"
    return f"{value} bytes"


@dataclass(frozen=True, slots=True)
class Says:
    """Stands in an annotation: what values of this type are allowed, in words, and how one is written for people."""

    allowed: str
    write: Callable[[object], str] = str


Seconds = Annotated[float, BeforeValidator(seconds), Says(DURATION, write_seconds)]
Bytes = Annotated[int, BeforeValidator(size), Says(SIZE, write_size)]
TimeOfDay = Annotated[str, AfterValidator(time_of_day), Says(TIME)]
