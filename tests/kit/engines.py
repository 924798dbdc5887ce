"""Engines as the roof builds them, for parts that are tried without it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from controller.clock import Clock, SystemClock
from controller.config.schema import Config
from controller.engines.ollama.client import OllamaClient
from controller.engines.ollama.inside import NEWEST, Inside, KnownInside
from controller.engines.ollama.loading import LoadPace
from controller.engines.ollama.ollama import Ollama
from controller.events import Journal
from controller.readiness import Readiness

NOWHERE = OllamaClient(lambda: None)
"""An Ollama that does not run."""


def an_ollama(
    client: OllamaClient = NOWHERE,
    pid: Callable[[], int | None] = lambda: None,
    settings: Callable[[], Config] = Config,
    *,
    clock: Clock | None = None,
    journal: Journal | None = None,
    inside: Inside = NEWEST,
    readiness: Readiness | None = None,
    known: KnownInside | None = None,
    pace: LoadPace | None = None,
) -> Ollama:
    """It is as `inside` says, or as is `known`, on a machine with 64 GiB."""
    clock = clock or SystemClock()
    known = known or KnownInside()
    if inside is not NEWEST:
        known.learn(inside)
    return Ollama(
        client,
        pid,
        known,
        readiness or Readiness("Ollama"),
        settings,
        clock,
        journal or Journal(clock),
        log=Path(os.devnull),
        ram=lambda: 2**36,
        pace=pace,
    )
