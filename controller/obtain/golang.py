"""Building programs with Go: the way to an Ollama where no release can be downloaded, and to the tests' tools."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from pathlib import Path

from controller.errors import ObtainFailed
from controller.obtain import debian, llama, python, release
from controller.obtain.site import Site

GO = (1, 21)  # the first that fetches by itself the newer Go that a module asks for (Ollama: 1.26)
PLACES = "/usr/local/go/bin:/opt/homebrew/bin:/snap/bin"  # where Go is installed without being on PATH
OLLAMA = "github.com/ollama/ollama"
LAST_ALONE = "0.24.0"  # the last version that needs nothing of llama.cpp's beside it
MINIAUDIO = ("1.71", "ff51e2887bb673e2e757752b586b3dc924d59aa5fbcae9bbc45f4a111bd3262b")  # version, SHA-256


def program(site: Site) -> str:
    """The `go` to build with. Raises ObtainFailed with what to install."""
    go = site.which("go") or shutil.which("go", path=PLACES)
    if go is None:
        raise ObtainFailed("Go is missing. Install Go 1.26 (https://go.dev/dl, or `brew install go`).")
    found = re.search(r"go(\d+)\.(\d+)", site.run([go, "version"]))
    if found is None or (int(found[1]), int(found[2])) < GO:
        raise ObtainFailed(f"{go} is older than 1.21. Install Go 1.26 (https://go.dev/dl, or `brew install go`).")
    return go


def source(site: Site, module: str, version: str, folder: Path) -> Path:
    """Where Go keeps a module's source, downloaded if need be; `folder` is any that belongs to no module."""
    argv = [program(site), "mod", "download", "-json", f"{module}@{version}"]
    try:
        return Path(json.loads(site.run(argv, folder=folder))["Dir"])
    except ObtainFailed as failure:
        told = re.search(r'"Error": "(.*)"', str(failure))
        reason = re.sub(r"(\\[nt])+", " ", told[1]) if told else str(failure)
        raise ObtainFailed(f"the source of {module} is not to be had here ({reason})") from failure


def build_ollama(site: Site, version: str, folder: Path) -> None:
    """Build Ollama into `folder`/bin, for the processor alone: a minute on two cores, before 0.30 four.

    Before 0.30 it brings llama.cpp along, but a Go module carries no `vendor/` folders: three header-only libraries
    that Ollama keeps there come from elsewhere, two from Debian's packages, one from a Python package's source.
    """
    go = program(site)
    alone = version not in llama.SOURCES
    debian.ensure(site, ["g++", "nlohmann-json3-dev", "libstb-dev"] if alone else llama.PACKAGES)
    with tempfile.TemporaryDirectory(prefix="seadragon-headers-") as headers:
        if alone:
            _miniaudio(site, Path(headers))
        include = os.pathsep.join(filter(None, [headers, site.environment.get("CPATH")]))
        site.say(f"building Ollama {version} with Go; this takes a minute or more, once")
        site.run(
            [go, "install", "-ldflags", f"-X {OLLAMA}/version.Version={version}", f"{OLLAMA}@v{version}"],
            telling="building Ollama",
            folder=folder,
            GOBIN=str(folder / "bin"),
            CGO_ENABLED="1",
            CPATH=include,
        )
    llama.put(site, version, folder)


def _miniaudio(site: Site, folder: Path) -> None:
    """Fetch the one header into `folder`/miniaudio."""
    with tempfile.TemporaryDirectory(prefix="seadragon-miniaudio-") as scratch:
        package = python.download(site, "miniaudio", *MINIAUDIO, Path(scratch))
        release.unpack(package, Path(scratch))
        header = next(Path(scratch).glob("*/miniaudio/miniaudio.h"))
        (folder / "miniaudio").mkdir()
        header.rename(folder / "miniaudio" / header.name)
