"""What a look at this machine shows of Ollama. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from controller.engines.engine import Accelerator


@dataclass(frozen=True, slots=True)
class Serving:
    """An `ollama serve` that runs on this machine and is not ours."""

    pid: int
    user: str
    ports: tuple[int, ...]  # empty when the system does not tell us
    app: bool = False  # started by the desktop app


@dataclass(frozen=True, slots=True)
class OllamaSeen:
    """All that the checks of Ollama go by, beside the facts of the machine."""

    elsewhere: bool  # it runs on another machine
    program: Path | None
    version: tuple[int, ...] | None
    others: tuple[Serving, ...]
    models_folder: Path
    models: int | None  # how many are installed; None when the folder cannot be read
    exposed: tuple[str, ...]  # addresses beyond loopback where an Ollama answers
    origins: str  # OLLAMA_ORIGINS as Ollama gets it
    unrunnable: str = ""  # why a program that is there cannot be run
    lacks: tuple[str, ...] = ()  # programs that belong beside it and are not there
    sizes: Mapping[str, int] = field(default_factory=dict)  # bytes of each installed model, by name
    models_away: str = ""  # why their folder cannot be used
    left_over: int = 0  # bytes in the models folder that no model needs
    accelerator: Accelerator | None = None  # as the log of ours tells
    made_for: frozenset[str] = frozenset()  # on a Mac: processors, as `uname -m` says; empty: unknown
    quarantined: bool = False  # on a Mac: it came by a browser, and nobody has opened it yet
