"""What each engine adds to the YAML: a section of server.yaml, and its part of models.yaml. A row for each engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from controller.engines.ollama.settings import OLLAMA, OllamaModels, OllamaSettings
from controller.settings.section import EngineSection
from controller.settings.values import Branch


class EngineSections(Branch):
    """server.yaml: a section for each engine, under its name."""

    ollama: OllamaSettings = OllamaSettings()

    @property
    def engines(self) -> Mapping[str, EngineSection]:
        """Every section by its engine's name."""
        return {OLLAMA: self.ollama}


class EngineModels(OllamaModels):
    """models.yaml: what engines are told of models, all of them beside each other."""


TITLES: Final[Mapping[str, str]] = {name: section.title for name, section in EngineSections().engines.items()}
"""What people call each engine, by its name."""
ANY_TITLE: Final = " or ".join(TITLES.values())
"""For a sentence that does not know which engine it is about."""
FETCHING: Final[Mapping[str, Callable[[str, str | None], str]]] = {
    name: section.fetching for name, section in EngineSections().engines.items()
}
"""By an engine's name: the command that fetches a model, for its name and the engine's URL (None: unknown)."""
