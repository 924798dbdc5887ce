"""A real Ollama with the kit's models in it, on a private port, with a home of its own."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

import controller.demo.speaker
import tests.kit.embedder
import tests.kit.models
import tests.kit.seer
from controller.demo import gguf
from controller.obtain import cache, find, whole
from controller.obtain.site import Site
from tests.kit import web
from tests.kit.models import LIBRARY, TinyModel
from tests.kit.ports import free_port

START_LIMIT = 60.0  # seconds; it takes one, unless the machine is very busy
STOP_LIMIT = 20.0
WANTED = os.environ.get("SEADRAGON_TEST_OLLAMA") or find.OLLAMA_VERSION  # whoever changes it builds it first


@dataclass(frozen=True)
class RealOllama:
    """A running `ollama serve`."""

    url: str
    models: Path  # OLLAMA_MODELS
    log: Path  # what it says
    process: subprocess.Popen[bytes]

    def add(self, model: TinyModel) -> None:
        """Make one more model in it."""
        with tempfile.TemporaryDirectory(prefix="seadragon-kit-") as folder:
            model.create(self.url, Path(folder))

    def client(self, limit: float = 60.0) -> httpx.Client:
        """A plain HTTP client pointed at it, with `limit` seconds for each step; close it."""
        return web.client(base_url=self.url, timeout=limit)


def program() -> Path:
    """The Ollama tests run against: set-up's own, whose version is known; on a Mac, where none is built, any.

    Raises LookupError where set-up is due.
    """
    own = find.own_ollama(os.environ, WANTED)
    path = find.find_ollama(None if sys.platform == "darwin" else own, Site())
    if path is None:
        raise LookupError(f"{own} is missing: `make test` builds it.")
    return path


@functools.cache
def version() -> str:
    """The version of `program`."""
    if sys.platform != "darwin":
        return WANTED
    found = whole.version(Site(), program())
    assert found is not None
    return found


def environment(home: Path, models: Path, port: int) -> dict[str, str]:
    """What a quiet Ollama of the tests' own is started with: nothing is inherited, nothing is fetched."""
    return {
        "PATH": os.defpath,
        "HOME": str(home),
        "OLLAMA_HOST": f"127.0.0.1:{port}",
        "OLLAMA_MODELS": str(models),
        "OLLAMA_NOPRUNE": "1",
        "OLLAMA_NO_CLOUD": "1",
        "OLLAMA_CONTEXT_LENGTH": "8192",
    }


@contextlib.contextmanager
def serve(home: Path, models: Path, **variables: str) -> Iterator[RealOllama]:
    """Run `ollama serve` on the models in `models` until the block ends; its runners go with it."""
    port = free_port()
    home.mkdir(parents=True, exist_ok=True)
    log = home / "ollama.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(program()), "serve"],
            env=environment(home, models, port) | variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _await_answer(process, f"http://127.0.0.1:{port}", log)
        yield RealOllama(f"http://127.0.0.1:{port}", models, log, process)
    finally:
        _end(process)


def _await_answer(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if web.get(f"{url}/api/version").is_success:
                return
        time.sleep(0.02)
    raise AssertionError(f"ollama serve did not answer:\n{log.read_text(errors='replace')[-4000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)  # a runner that outlived a killed server


def library_folder(variables: Mapping[str, str] = os.environ) -> Path:
    """A models folder with the whole LIBRARY in it, made once for each kit and Ollama, which keep them differently.

    Only to copy.
    """
    target = cache.cache_folder(variables) / f"kit-models-{_kit_version()}-{version()}"
    with cache.once(target) as folder:
        if folder is not None:
            with tempfile.TemporaryDirectory(prefix="seadragon-kit-") as home, serve(Path(home), folder) as ollama:
                for model in LIBRARY:
                    ollama.add(model)
    return target


def copy_library(to: Path) -> Path:
    """A models folder of the caller's own, with the whole LIBRARY in it."""
    return Path(shutil.copytree(library_folder(), to))


def _kit_version() -> str:
    modules = (gguf, controller.demo.speaker, tests.kit.models, tests.kit.seer, tests.kit.embedder)
    return hashlib.sha256(b"".join(Path(str(module.__file__)).read_bytes() for module in modules)).hexdigest()[:12]
