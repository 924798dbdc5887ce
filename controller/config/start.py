"""How to start: with what the YAML says, with the last good copy of it, without either, or not at all. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from controller.config.load import LoadedConfig
from controller.config.problem import Problem


@dataclass(frozen=True, slots=True)
class LastGood:
    """The copy that was kept when a configuration last ran."""

    loaded: LoadedConfig
    saved_at: float  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class StartPlan:
    """What to do.

    `run`: with `loaded`. `stale`: with `loaded`, an older copy, shown as such until the YAML holds again. `safe`: page,
    doctor and control socket only, on the defaults. `leave`: say `lines` and exit with code 2.
    """

    kind: Literal["run", "stale", "safe", "leave"]
    loaded: LoadedConfig | None
    lines: tuple[str, ...]  # what to say
    problems: tuple[str, ...] = ()  # why the YAML on disk is not what runs


def how_to_start(read: LoadedConfig | Sequence[Problem], last_good: LastGood | None, *, attended: bool) -> StartPlan:
    """`attended`: a person in a terminal waits for the answer. Nobody restarts that, so it may simply end; under a
    service manager an exit would only be the first of an endless row.
    """
    if isinstance(read, LoadedConfig):
        return StartPlan("run", read, read.warnings)
    problems = tuple(map(str, read))
    if attended:
        many = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        return StartPlan("leave", None, (*problems, f"{many} in the YAML; nothing was started."), problems)
    if last_good is None:
        said = "Nothing runs until the YAML is put right: there is no earlier copy of it to run with."
        return StartPlan("safe", None, (*problems, said), problems)
    saved = datetime.fromtimestamp(last_good.saved_at).astimezone().isoformat(" ", "minutes")
    said = f"Running with the last configuration that was good, of {saved}, until the YAML is put right."
    return StartPlan("stale", last_good.loaded, (*problems, said), problems)
