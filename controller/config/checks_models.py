"""What must fit each other among the settings of models, memory and the line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from controller.config.mistake import Check, Mistake
from controller.config.problem import shown
from controller.config.schema import Config
from controller.spelling import full_name


def _budget_of_something(config: Config) -> Iterator[Mistake]:
    if config.server.memory.budget == 0:
        yield Mistake(("server", "memory", "budget"), "0", "auto, or a size above 0: no model could ever be loaded")


def _models_apart(config: Config) -> Iterator[Mistake]:
    yield from apart("models", config.models.models)


def apart(block: str, names: Iterable[str]) -> Iterator[Mistake]:
    """The keys of a block of models.yaml are models, each one once: two spellings of one name would be two settings."""
    seen: dict[str, str] = {}
    for name in names:
        full, at = full_name(name), ("models", block, name)
        if full is None:
            yield Mistake(at, shown(name), "the name of a model on this machine, none of the cloud's", key=True)
        elif full in seen:
            yield Mistake(at, f"{name}, which is {seen[full]} in another spelling", "each model once", key=True)
        else:
            seen[full] = name


INSIDE: Final[tuple[Check, ...]] = (_budget_of_something, _models_apart)


def warnings(config: Config) -> Iterator[str]:
    """What is allowed and still worth a word."""
    yield from _impatient(config)


def _impatient(config: Config) -> Iterator[str]:
    """Waits that are over before the rules of the line let anybody through to another model."""
    line = config.server.line
    waits = {"times": line.times.wait} | {
        f"lanes.{lane}": times.wait or line.times.wait for lane, times in line.lanes.items()
    }
    for where, wait in waits.items():
        if wait <= max(line.min_stay, line.patience):
            yield (
                f"server.line.{where}.wait: {wait:g} s is not longer than min_stay and patience, so who needs a model "
                "that is not loaded gives up before it can be."
            )
