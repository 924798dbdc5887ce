"""A mistake in the YAML, located: where it is, what was found there, and what is allowed instead."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from controller.errors import SeadragonError

Location = tuple[str | int, ...]
"""Way to a value: `("server", "listeners", 0, "address")`. The first part is the file's name without `.yaml`."""

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,40}")
_LONGEST_SHOWN = 60  # characters; a tunnel token pasted in the wrong place is longer and must not reach a log


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `line` and `column` count from 1."""

    file: Path
    line: int
    column: int
    field: str
    found: str
    allowed: str
    outside: bool = False  # the YAML is well-formed and something else is missing: it may heal without another save

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}"
        return f"{where} {self.field}: found {self.found}; allowed: {self.allowed}"


class ConfigInvalid(SeadragonError):
    """One or more located mistakes in the YAML. Nothing that runs was changed."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def dotted(location: Location) -> str:
    """A location as people read it: `server.listeners[0].address`."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{shown(part)}]"
    return text


def shown(value: object) -> str:
    """What was found, short enough for a line and never long enough to be a secret."""
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "a block of settings" if value else "an empty block"
    text = str(value)
    return f"a text of {len(text)} characters" if len(text) > _LONGEST_SHOWN else ascii(text)
