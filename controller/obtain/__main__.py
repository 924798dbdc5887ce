"""Steps of set-up, one at a time: `python -m controller.obtain ollama | own-ollama [VERSION…] | packages NAME…`.

`ollama` is for running: any that is found will do, or none. `own-ollama` is for the tests: known versions, built here,
whatever else is installed (on a Mac, any). `packages` are Debian's. What cannot be had is told, with exit code 1.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from controller.errors import ObtainFailed
from controller.obtain import debian, golang, homebrew, llama, release, whole
from controller.obtain.cache import once
from controller.obtain.find import OLLAMA_VERSION, built, find_ollama, own_ollama
from controller.obtain.processors import foreign
from controller.obtain.site import Site

NAMED = {  # what each step may be told
    "own-ollama": (golang.LAST_ALONE, *llama.SOURCES),
    "packages": tuple(debian.SIGNS),
}
AGAIN = "Update it (brew update && brew upgrade ollama), or install it whole from https://ollama.com/download."
BY_HAND = "Or install it yourself from https://ollama.com/download; Seadragon picks it up as soon as it is there."


def ollama(site: Site) -> Path:
    """Find an Ollama, or get one. Raises ObtainFailed that tells every way that was tried, and what to do.

    Where there is only one that is no good choice, another is got as well, and used if it can be had.
    """
    found = find_ollama(None, site)
    lack = _lack(site, found)
    if found and not lack:
        _tell_what_is_missing(site, found)
        return found
    failures = []
    for name, way in WAYS[site.platform].items():
        site.say(f"{lack}; trying {name}")
        try:
            return way(site)
        except ObtainFailed as failure:
            failures.append(f"- {name}: {failure}")
    if found:
        site.say("\n".join(["another Ollama could not be got, so this one has to do:", *failures]))
        return found
    raise ObtainFailed("\n".join(["Ollama is missing, and could not be got:", *failures, BY_HAND]))


def _lack(site: Site, found: Path | None) -> str:
    """Why another Ollama is to be got; empty when this one will do."""
    if found is None:
        return "no Ollama here yet"
    if foreign(found, site.platform, site.machine):
        return f"{found} is made for another processor, and would not find the GPU"
    older = found in built("ollama", site.environment) and found != own_ollama(site.environment)
    return "only an older Ollama here yet" if older else ""


def _tell_what_is_missing(site: Site, program: Path) -> None:
    version = whole.version(site, program)
    if version and (names := whole.missing(program, version, site.platform)):
        without = "no GGUF model can be loaded" if whole.SERVER in names else "`seadragon demo` will not work"
        site.say(f"{program} is Ollama {version}, but has no {' and no '.join(names)} beside it: {without}.")
        site.say(AGAIN)


def from_release(site: Site) -> Path:
    """Download the official release, with its GPU libraries."""
    return _into_cache(site, _whole_release)


def from_source(site: Site, version: str = OLLAMA_VERSION) -> Path:
    """Build a known version."""
    return _into_cache(site, golang.build_ollama, version)


WAYS: dict[str, dict[str, Callable[[Site], Path]]] = {
    "darwin": {"Homebrew": homebrew.install_ollama, "the official release": from_release},
    "linux": {"the official release": from_release, "a build with Go": from_source},
}


def _whole_release(site: Site, version: str, folder: Path) -> None:
    release.download(site, version, folder)
    if names := whole.missing(folder / "bin" / "ollama", version, site.platform):
        raise ObtainFailed(f"release {version} came without {' and '.join(names)}")


def _into_cache(site: Site, fill: Callable[[Site, str, Path], None], version: str = OLLAMA_VERSION) -> Path:
    program = own_ollama(site.environment, version)
    with once(program.parent.parent) as folder:
        if folder is not None:
            fill(site, version, folder)
    return program


def main(arguments: Sequence[str]) -> int:
    """Run one step; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m controller.obtain", description=__doc__)
    parser.add_argument("step", choices=["ollama", *NAMED])
    parser.add_argument("names", nargs="*", metavar="NAME")
    chosen = parser.parse_args(arguments)
    named = NAMED.get(chosen.step, ())
    if unknown := set(chosen.names) - set(named):
        parser.error(f"unknown: {' '.join(sorted(unknown))} (known: {' '.join(named) or 'no names'})")
    os.umask(os.umask(0o022) | 0o022)  # programs that we will run are nobody else's to change
    site = Site()
    try:
        if chosen.step == "packages":
            debian.ensure(site, chosen.names)
        elif chosen.step == "own-ollama" and site.platform != "darwin":
            for version in chosen.names or [OLLAMA_VERSION]:
                site.say(f"Ollama: {from_source(site, version)}")
        else:
            site.say(f"Ollama: {ollama(site)}")
    except ObtainFailed as failure:
        site.say(str(failure))
        return 1
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
    sys.exit(130)
