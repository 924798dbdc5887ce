"""Ollama by Homebrew, which many a Mac has."""

from __future__ import annotations

from pathlib import Path

from controller.errors import ObtainFailed
from controller.obtain import whole
from controller.obtain.find import HOMEBREW, find_ollama, runnable
from controller.obtain.site import Site

INTEL = Path("/usr/local")  # where Homebrew lives on an Intel Mac, and whatever came from one with Migration Assistant
NATIVELY = ("/usr/bin/arch", "-arm64")  # it refuses to work under Rosetta


def program(site: Site) -> str:
    """The `brew` whose programs fit this Mac. It is on nobody's PATH before a line in a shell's start-up file.

    Raises ObtainFailed.
    """
    places = [site.which("brew"), *(str(folder / "brew") for folder in HOMEBREW)]
    found = [brew for brew in places if brew and runnable(Path(brew))]
    fit = [brew for brew in found if not (site.silicon and Path(brew).parents[1] == INTEL)]
    if fit:
        return fit[0]
    if found:
        raise ObtainFailed(f"{found[0]} is Homebrew for Intel Macs: an Ollama of its would not find the GPU")
    raise ObtainFailed("Homebrew is not installed (https://brew.sh)")


def install_ollama(site: Site) -> Path:
    """Install Ollama. Raises ObtainFailed, also when what came is not whole."""
    brew = [program(site), "install", "ollama"]
    site.run([*(NATIVELY if site.silicon else ()), *brew], telling="Homebrew is installing Ollama", NONINTERACTIVE="1")
    found = find_ollama(None, site)
    if found is None:
        raise ObtainFailed("Homebrew installed it, and yet it is in none of Homebrew's folders")
    version = whole.version(site, found)
    if version and (names := whole.missing(found, version, site.platform)):
        raise ObtainFailed(f"Homebrew's Ollama {version} came without {' and '.join(names)}")
    return found
