"""`seadragon config check`: what the YAML in a folder amounts to, in lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from controller.config.change import compare, differences
from controller.config.load import LoadedConfig, load
from controller.config.problem import ConfigInvalid
from controller.config.schema import Config


def check(folder: Path, environment: Mapping[str, str]) -> tuple[list[str], int]:
    """Lines to print and the exit code: 0 when the configuration would run, 1 when it would not."""
    try:
        loaded = load(folder, environment)
    except ConfigInvalid as invalid:
        lines = [str(problem) for problem in invalid.problems]
        return [*lines, f"{_many(len(lines), 'problem')}. What runs now is not touched by them."], 1
    return [*(f"warning: {line}" for line in loaded.warnings), _summary(loaded)], 0


def _summary(loaded: LoadedConfig) -> str:
    defaults = Config()
    own = [each.field for each in differences(defaults, loaded.config)]
    change = compare(defaults, loaded.config)
    own += [f"listener {address}" for address in change.listeners_added]
    own += [f"child {name}" for name in change.children_added]
    said = f"ok, {_many(len(loaded.texts), 'file')}, {_many(len(own), 'setting')} differ from the defaults"
    return f"{said}: {', '.join(own)}" if own else f"ok, {_many(len(loaded.texts), 'file')}, all as the defaults"


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
