"""Where the `ollama` program is. The supervisor asks at every start; this only looks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from controller.obtain.cache import cache_folder

OLLAMA_VERSION = "0.24.0"  # what is downloaded or built where none is found; whatever is found will do
MACOS_PLACES = (
    Path("/Applications/Ollama.app/Contents/Resources/ollama"),
    Path("/opt/homebrew/bin/ollama"),
    Path("/usr/local/bin/ollama"),
)


def own_ollama(environment: Mapping[str, str]) -> Path:
    """Where set-up puts an Ollama of its own."""
    return cache_folder(environment) / f"ollama-{OLLAMA_VERSION}" / "bin" / "ollama"


def ollama_places(environment: Mapping[str, str], platform: str = sys.platform) -> Iterator[Path]:
    """Where an `ollama` may be, best first: PATH, the Mac's app and Homebrew, our own."""
    yield from (Path(folder, "ollama") for folder in environment.get("PATH", os.defpath).split(os.pathsep) if folder)
    if platform == "darwin":
        yield from MACOS_PLACES
    yield own_ollama(environment)


def runnable(path: Path) -> bool:
    """Whether this is a file that may be executed."""
    return path.is_file() and os.access(path, os.X_OK)


def find_ollama(
    configured: Path | None,
    environment: Mapping[str, str],
    platform: str = sys.platform,
    runnable: Callable[[Path], bool] = runnable,
) -> Path | None:
    """The program to run, or None. A configured path is the only one looked at: it was meant."""
    places = [configured] if configured else ollama_places(environment, platform)
    return next((place for place in places if runnable(place)), None)
