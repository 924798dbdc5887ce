"""How long it takes to be there: Seadragon after its start, and after somebody killed its Ollama."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.bench.load import BenchFailed, Figures
from tests.bench.servers import ROOT, running, wait_for
from tests.kit.ports import free_port

SETTLES = 3.0  # seconds after which all is imported that ever will be
NOBODY = "no-such-model"  # Ollama itself says 404, without a model: the answer can only come from a living one


def seadragon(port: int, folder: Path, ollama: dict[str, object]) -> list[str]:
    """The real `seadragon up` on a configuration of its own inside `folder`."""
    config = folder / "config"
    models_folder = folder / "models"
    for one in (config, models_folder):
        one.mkdir()
    line = {"running": 1000, "waiting": 1000, "whole": 10_000}  # the gateway is measured, not its patience
    server = {"listeners": [{"address": f"127.0.0.1:{port}"}], "line": line, "ollama": ollama}
    models = {"folder": str(models_folder), "parallel": 256}
    for name, content in (("server", server), ("models", models), ("access", {})):
        (config / f"{name}.yaml").write_text(json.dumps(content))  # JSON is YAML
    return _command("up", folder, "--config", str(config), "--logs", str(folder / "logs"))


def in_front_of(port: int, upstream: int, folder: Path) -> list[str]:
    """`seadragon up` as a gateway for an upstream that is there already."""
    return seadragon(port, folder, {"mode": "external", "url": f"http://127.0.0.1:{upstream}"})


def _command(verb: str, folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "controller", verb, "--data", str(folder / "data"), *more]


def _status(folder: Path) -> dict[str, Any]:
    told = subprocess.run(_command("status", folder, "--json"), capture_output=True, cwd=ROOT, timeout=30)
    if told.returncode != 0:
        raise BenchFailed(f"seadragon status failed: {told.stderr.decode(errors='replace')}")
    status: dict[str, Any] = json.loads(told.stdout)
    return status


def _accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _says(port: int, method: str, path: str, status: int, body: bytes | None = None, limit: float = 2) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=limit)
    try:
        connection.request(method, path, body)
        return connection.getresponse().status == status
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def ollama_alone(binary: str, folder: Path) -> Figures:
    """`own start`: seconds from starting `ollama serve` to its first answer, nobody in between."""
    port = free_port()
    environment = {"OLLAMA_HOST": f"127.0.0.1:{port}", "OLLAMA_MODELS": str(folder / "models"), "HOME": str(folder)}
    argv = ["env", *(f"{name}={value}" for name, value in environment.items()), binary, "serve"]
    begun = time.monotonic()
    with running(argv, folder / "ollama.log") as process:
        wait_for(lambda: _says(port, "GET", "/api/version", 200), process, folder / "ollama.log")
        return {"own start": time.monotonic() - begun}


@contextmanager
def _up(binary: str, folder: Path, port: int) -> Iterator[tuple[Figures, subprocess.Popen[bytes]]]:
    argv = seadragon(port, folder, {"mode": "spawn", "binary": binary})
    begun = time.monotonic()
    with running(argv, folder / "seadragon.log") as process:
        wait_for(lambda: _accepts(port), process, folder / "seadragon.log")
        listening = time.monotonic() - begun
        wait_for(lambda: _says(port, "GET", "/readyz", 200), process, folder / "seadragon.log")
        yield {"listening": listening, "ready": time.monotonic() - begun}, process


def seadragon_with_ollama(binary: str, folder: Path) -> Figures:
    """`listening`, `ready` and `answered again` in seconds, `idle memory` and `keeper memory` in MB.

    `answered again` is what a client sees: from `kill -9` of Ollama to the answer of a request that is sent as soon as
    Ollama is gone, and held by Seadragon until the new one answers it.
    """
    port = free_port()
    ask = json.dumps({"model": NOBODY, "prompt": "?"}).encode()
    with _up(binary, folder, port) as (figures, process):
        child = _status(folder)["children"]["ollama"]
        time.sleep(SETTLES)
        memory = {
            "idle memory": psutil.Process(process.pid).memory_info().rss / 1e6,
            "keeper memory": psutil.Process(child["keeper_pid"]).memory_info().rss / 1e6,
        }
        killed = time.monotonic()
        os.kill(child["pid"], signal.SIGKILL)
        wait_for(lambda: not _accepts(_port(child["url"])), process, folder / "seadragon.log")
        if not _says(port, "POST", "/api/generate", 404, ask, limit=60):
            raise BenchFailed("The request that waited for the new Ollama did not get its answer.")
        return figures | memory | {"answered again": time.monotonic() - killed}


def _port(url: str) -> int:
    return int(url.rstrip("/").rsplit(":", 1)[1])
