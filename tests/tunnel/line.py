"""Running the edge, and real cloudflared between it and an origin."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.kit.real import free_port
from tests.tunnel.programs import Programs

PATIENCE = 60.0  # seconds for anything to come up, on a machine that is busy with other tests
STOP_LIMIT = 20.0


def eventually(condition: Callable[[], bool], told: Callable[[], str]) -> None:
    """Wait until `condition` holds (there is nothing to be awaited across processes); fails with what `told` says."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.02)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to leave, and make it."""
    process.terminate()
    try:
        process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@dataclass
class Edge:
    """The stand-in for Cloudflare's edge. It may be stopped and started again: same ports, same certificate."""

    program: Path
    folder: Path
    idle: float = 100.0  # seconds
    ports: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("listen", "front", "control"), 0))
    process: subprocess.Popen[bytes] | None = None

    @property
    def certificate(self) -> Path:
        """What cloudflared must trust."""
        return self.folder / "edge-ca.pem"

    @property
    def front(self) -> str:
        """The public address: what is asked here goes through the tunnel."""
        return f"http://127.0.0.1:{self.ports['front']}"

    def start(self) -> None:
        """Open the ports; the first time they are picked."""
        log = self.folder / "edge.log"
        addresses = [f"-{name}=127.0.0.1:{port}" for name, port in self.ports.items()]
        with log.open("wb") as output:
            argv = [str(self.program), *addresses, f"-ca={self.certificate}", f"-idle={self.idle}s"]
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        eventually(lambda: "edge is up" in log.read_text(), log.read_text)
        self.ports = dict(zip(self.ports, map(int, re.findall(r"127\.0\.0\.1:(\d+)", log.read_text())), strict=True))

    def stop(self) -> None:
        """An outage."""
        if self.process:
            end(self.process)
            self.process = None

    def connections(self) -> int:
        """How many connections of cloudflared are registered."""
        answer: dict[str, int] = self._control("GET", "").json()
        return answer["connections"]

    def refuse(self, on: bool) -> None:
        """Turn every registration down, or no longer."""
        self._control("POST", f"refuse?on={str(on).lower()}")

    def drop(self) -> None:
        """Cut every connection of cloudflared."""
        self._control("POST", "drop")

    def delay(self, seconds: float) -> None:
        """Let each request wait before it enters the tunnel."""
        self._control("POST", f"delay?for={seconds}s")

    def _control(self, method: str, path: str) -> httpx.Response:
        url = f"http://127.0.0.1:{self.ports['control']}/{path}"
        with httpx.Client(trust_env=False) as client:
            return client.request(method, url).raise_for_status()


@dataclass(frozen=True)
class Line:
    """A connected tunnel."""

    edge: Edge
    cloudflared: subprocess.Popen[bytes]
    metrics: str

    @property
    def front(self) -> str:
        """The public address."""
        return self.edge.front

    def ready(self) -> bool:
        """What cloudflared says of its connections."""
        with contextlib.suppress(httpx.TransportError), httpx.Client(trust_env=False) as client:
            return client.get(f"{self.metrics}/ready").status_code == httpx.codes.OK
        return False


@contextlib.contextmanager
def edge(programs: Programs, folder: Path, idle: float = 100.0) -> Iterator[Edge]:
    """Run the edge until the block ends."""
    this = Edge(programs.edge, folder, idle)
    try:
        this.start()
        yield this
    finally:
        this.stop()


@contextlib.contextmanager
def line(programs: Programs, at: Edge, origin: str) -> Iterator[Line]:
    """Run cloudflared from `at` to `origin` (http://host:port or unix:/path) until the block ends."""
    port = free_port()
    log = at.folder / "cloudflared.log"
    argv = [str(programs.cloudflared), *arguments(at, settings(at.folder, origin), port)]
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    this = Line(at, process, f"http://127.0.0.1:{port}")
    try:
        eventually(this.ready, lambda: log.read_text(errors="replace"))
        yield this
    finally:
        end(process)


def settings(folder: Path, origin: str) -> Path:
    """Write a named tunnel's settings, and made-up credentials: this edge takes any."""
    tunnel, secret = str(uuid.uuid4()), base64.b64encode(bytes(32)).decode()
    credentials = folder / "credentials.json"
    credentials.write_text(json.dumps({"AccountTag": "tests", "TunnelSecret": secret, "TunnelID": tunnel}))
    credentials.chmod(0o600)
    path = folder / "cloudflared.yml"
    path.write_text(
        json.dumps({"tunnel": tunnel, "credentials-file": str(credentials), "ingress": [{"service": origin}]})
    )
    return path


def arguments(at: Edge, settings: Path, metrics_port: int) -> list[str]:
    """What cloudflared is told. Two addresses of one edge: with a single one it would look names up."""
    where = at.ports["listen"]
    return [
        "tunnel",
        f"--config={settings}",
        "--no-autoupdate",
        f"--metrics=127.0.0.1:{metrics_port}",
        f"--cacert={at.certificate}",
        f"--edge=127.0.0.1:{where}",
        f"--edge=localhost:{where}",
        "--protocol=http2",
        "--grace-period=1s",
        "run",
    ]
