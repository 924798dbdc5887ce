"""What each engine demands of the YAML, beside what `settings.py` says of single values. A row for each engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.config.mistake import Check
from controller.config.schema import Config
from controller.engines.ollama import rules as ollama
from controller.engines.ollama.settings import OLLAMA

Taken = Callable[[str, str], str | None]
"""For a variable's name and value: where the operator says it instead; None when it may be set."""


@dataclass(frozen=True, slots=True)
class EngineRules:
    """Of one engine."""

    engine: str  # its name, and its section in server.yaml
    environment: Callable[[Config], Mapping[str, str]]  # variables of the operator's for its process
    inside: tuple[Check, ...]  # values that must fit each other
    outside: tuple[Check, ...]  # files and programs: left out for a last good copy
    warnings: Callable[[Config], Iterator[str]]  # what is allowed and still worth a word
    taken: Taken  # what its `environment` may not set
    folder: Callable[[Config, Path], Path]  # where its models lie, for a user with this home


RULES: Final = (
    EngineRules(
        OLLAMA,
        lambda config: config.server.ollama.environment,
        ollama.INSIDE,
        ollama.OUTSIDE,
        ollama.warnings,
        ollama.taken,
        lambda config, home: config.models.folder or home / ".ollama" / "models",
    ),
)


def folders_of(config: Config, home: Path) -> list[Path]:
    """Where each engine's models lie, for a user with this home."""
    return [rules.folder(config, home) for rules in RULES]
