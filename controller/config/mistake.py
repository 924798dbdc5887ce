"""What a check has found: a mistake that no single value shows, and where it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from controller.config.problem import Location
from controller.config.schema import Config


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something wrong at `location`. `at` is where to point when the value itself is not in the YAML; `key` says that
    the key is wrong, not the value.
    """

    location: Location
    found: str
    allowed: str
    at: Location | None = None
    key: bool = False


Check = Callable[[Config], Iterator[Mistake]]
