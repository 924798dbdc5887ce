"""What each engine adds to the YAML: a section of server.yaml, and its part of models.yaml. A row for each engine."""

from __future__ import annotations

from controller.config.values import Branch
from controller.engines.ollama.settings import OllamaModels, OllamaSettings


class EngineSections(Branch):
    """server.yaml: a section for each engine, under its name."""

    ollama: OllamaSettings = OllamaSettings()


class EngineModels(OllamaModels):
    """models.yaml: what engines are told of models, all of them beside each other."""
