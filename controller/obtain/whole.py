"""Whether an Ollama that was found is whole: since 0.30 it needs two programs of llama.cpp beside it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from controller.engines.ollama.inside import inside_of, numbers_of
from controller.errors import ObtainFailed
from controller.obtain.site import Site

SERVER = "llama-server"  # the one without which no GGUF model is loaded
NOWHERE = "127.0.0.1:1"


def version(site: Site, program: Path) -> str | None:
    """What an Ollama says its version is; None when it does not."""
    try:
        said = site.run([str(program), "--version"], OLLAMA_HOST=NOWHERE)  # a server would be named before the program
    except ObtainFailed:
        return None
    return told_version(said)


def told_version(said: str) -> str | None:
    """The version in what `ollama --version` prints: a server that it found is named first."""
    found = re.findall(r"version is (\d+\.\d+\.\d+\S*)", said)
    return found[-1] if found else None


def missing(program: Path, version: str, platform: str = sys.platform) -> tuple[str, ...]:
    """Those of the programs it works with (`Inside.programs`) that the Ollama `program` would not find.

    It starts looking from where its links lead. Where they lead to a script, or to a program of another name, it is
    somebody's wrapper, and what that starts is not known: then nothing is missing.
    """
    real = Path(os.path.realpath(program))
    if numbers_of(version) is None or real.name != "ollama" or _is_script(real):
        return ()
    return tuple(
        name for name in inside_of(version).programs if not any((p / name).exists() for p in _places(real, platform))
    )


def _places(program: Path, platform: str) -> Iterator[Path]:
    """As in its llm/llama_binary.go and ml/path.go."""
    folder = program.parent
    yield folder.parent / "lib" / "ollama"
    yield folder / "lib" / "ollama"
    if platform == "darwin":
        yield folder


def _is_script(program: Path) -> bool:
    try:
        with program.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return True
