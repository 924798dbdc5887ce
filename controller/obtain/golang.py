"""Building programs with Go: the way to an Ollama where no release can be downloaded, and to the tests' tools."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tarfile
from pathlib import Path

from controller.errors import ObtainFailed
from controller.obtain import debian
from controller.obtain.site import Site

GO = (1, 21)  # the first that fetches by itself the newer Go that a module asks for (Ollama: 1.26)
PLACES = "/usr/local/go/bin:/opt/homebrew/bin:/snap/bin"  # where Go is installed without being on PATH
OLLAMA = "github.com/ollama/ollama"
MINIAUDIO = "1.71"


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
    """Build Ollama into `folder`/bin: CPU inference, no GPU. Four minutes on two cores with nothing cached.

    A Go module carries no `vendor/` folders, so three header-only libraries that Ollama keeps there come from
    elsewhere: two from Debian's packages, one from the source distribution of a Python package.
    """
    go = program(site)
    debian.ensure(site, ["g++", "nlohmann-json3-dev", "libstb-dev"])
    headers = folder / "headers"
    _miniaudio(site, headers)
    include = os.pathsep.join(filter(None, [str(headers), site.environment.get("CPATH")]))
    site.say(f"building Ollama {version} with Go; this takes some minutes, once")
    site.run(
        [go, "install", "-ldflags", f"-X {OLLAMA}/version.Version={version}", f"{OLLAMA}@v{version}"],
        telling="building Ollama",
        folder=folder,
        GOBIN=str(folder / "bin"),
        CGO_ENABLED="1",
        CPATH=include,
    )
    shutil.rmtree(headers)


def _miniaudio(site: Site, folder: Path) -> None:
    """Fetch the one header into `folder`/miniaudio."""
    folder.mkdir()
    wanted = ["--no-deps", "--no-binary", "miniaudio", "--dest", str(folder), f"miniaudio=={MINIAUDIO}"]
    site.run([*_pip(site), "download", "--quiet", "--disable-pip-version-check", *wanted])
    with tarfile.open(next(folder.glob("miniaudio-*.tar.gz"))) as archive:
        header = next(name for name in archive.getnames() if name.endswith("/miniaudio/miniaudio.h"))
        content = archive.extractfile(header)
        assert content is not None  # it is a file: getnames listed it under its whole name
        (folder / "miniaudio").mkdir()
        (folder / "miniaudio" / "miniaudio.h").write_bytes(content.read())


def _pip(site: Site) -> list[str]:
    """A pip: this Python's, uv's, or the system's."""
    candidates = [[sys.executable, "-m", "pip"], [site.environment.get("UV", "uv"), "tool", "run", "pip"]]
    for pip in [*candidates, ["python3", "-m", "pip"]]:
        try:
            site.run([*pip, "--version"])
        except ObtainFailed:
            continue
        return pip
    raise ObtainFailed("pip is missing. Install it (on Debian: `apt-get install python3-pip`).")
