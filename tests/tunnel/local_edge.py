"""Running the stand-in for Cloudflare's edge."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.kit import web
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
        with web.client() as client:
            return client.request(method, url).raise_for_status()


@contextlib.contextmanager
def edge(programs: Programs, folder: Path, idle: float = 100.0) -> Iterator[Edge]:
    """Run the edge until the block ends."""
    this = Edge(programs.edge, folder, idle)
    try:
        this.start()
        yield this
    finally:
        this.stop()
