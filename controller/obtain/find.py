"""Where a program is: `ollama`, `cloudflared`. The supervisor asks at every start; this only looks."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from controller.obtain.cache import cache_folder
from controller.obtain.processors import foreign
from controller.obtain.site import Site

Fault = Literal["missing", "dangling", "shut", "no_file", "not_executable"]
"""There is nothing; a link to nothing; a folder on the way that we may not enter; a folder, say; a file without x."""

OLLAMA_VERSION = "0.32.0"  # what is downloaded or built where none is found; whatever is found will do
OLLAMA_APP = Path("/Applications/Ollama.app/Contents/Resources")
HOMEBREW = (Path("/opt/homebrew/bin"), Path("/usr/local/bin"))


def own_ollama(environment: Mapping[str, str], version: str = OLLAMA_VERSION) -> Path:
    """Where set-up puts an Ollama of its own."""
    return cache_folder(environment) / f"ollama-{version}" / "bin" / "ollama"


def places(name: str, environment: Mapping[str, str], platform: str = sys.platform) -> Iterator[Path]:
    """Where people have their programs, best first: PATH, the Mac's Ollama.app, Homebrew."""
    folders = [Path(folder) for folder in environment.get("PATH", os.defpath).split(os.pathsep) if folder]
    of_the_mac = (OLLAMA_APP, *HOMEBREW) if platform == "darwin" else ()
    return (folder / name for folder in (*folders, *of_the_mac))


def built(name: str, environment: Mapping[str, str]) -> list[Path]:
    """What set-up has put into the cache: the Ollama that is known best, then the newest version first."""
    found: list[Path] = []
    with contextlib.suppress(PermissionError):  # somebody else's cache
        found = list(cache_folder(environment).glob(f"{name}-*/bin/{name}"))
    pinned = own_ollama(environment)  # newer ones, which the tests may have built there, are not for running
    return sorted(found, key=lambda path: (path == pinned, _version(path.parent.parent.name)), reverse=True)


def runnable(path: Path) -> bool:
    """Whether this is a file that may be executed. (`Path.is_file` raises for a folder we may not look into.)"""
    return os.path.isfile(path) and os.access(path, os.X_OK)


def fault_of(program: Path) -> Fault | None:
    """Why this cannot be run, if so; what only the attempt can show is not looked for."""
    try:
        mode = os.stat(program).st_mode
    except PermissionError:
        return "shut"
    except (OSError, ValueError):  # ValueError: a zero character in the name
        return "dangling" if os.path.islink(program) else "missing"
    if not stat.S_ISREG(mode):
        return "no_file"
    return None if os.access(program, os.X_OK) else "not_executable"


def unrunnable(name: str, environment: Mapping[str, str], platform: str = sys.platform) -> Path | None:
    """The first file of that name, where programs are looked for, that cannot be run: what to tell of when none can."""
    candidates = [*places(name, environment, platform), *built(name, environment)]
    return next((each for each in candidates if fault_of(each) in ("not_executable", "dangling")), None)


def find_program(
    name: str,
    configured: Path | None,
    environment: Mapping[str, str],
    platform: str = sys.platform,
    runnable: Callable[[Path], bool] = runnable,
    machine: str | None = None,
) -> Path | None:
    """The program to run, or None. A configured path is the only one looked at: it was meant.

    On a Mac, one that was made for another processor is the last choice, wherever it lies.
    """
    if configured is not None:
        candidates = [configured.expanduser()]
    else:
        candidates = [*places(name, environment, platform), *built(name, environment)]
    found = [candidate for candidate in candidates if runnable(candidate)]
    fit = (each for each in found if not foreign(each, platform, machine))
    return next(fit, found[0] if found else None)


def find_ollama(configured: Path | None, site: Site) -> Path | None:
    """The `ollama` to run there, or None."""
    return find_program("ollama", configured, site.environment, site.platform, machine=site.machine)


def _version(folder: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", folder)]
