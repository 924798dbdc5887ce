"""Durations and sizes as people write them: `90s`, `1m30s`, `2h`, `32 MiB`, `4GB`. Stored as seconds and bytes."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?b)", re.IGNORECASE)


def seconds(value: object) -> object:
    """Seconds of a duration text; a plain number is seconds already.

    Raises ValueError, saying what is allowed, for a text that is not a duration.
    """
    if not isinstance(value, str):
        return value
    text = value.replace(" ", "")
    if not _DURATION.fullmatch(text):
        raise ValueError("a duration like 500ms, 90s, 1m30s or 2h, or a number of seconds")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def size(value: object) -> object:
    """Bytes of a size text; a plain number is bytes already.

    Raises ValueError, saying what is allowed, for a text that is not a size.
    """
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if match is None or match[2].lower() not in _BYTES:
        raise ValueError("a size like 512KiB, 32MiB or 4GB, or a number of bytes")
    return round(float(match[1]) * _BYTES[match[2].lower()])


Seconds = Annotated[float, BeforeValidator(seconds)]
Bytes = Annotated[int, BeforeValidator(size)]
