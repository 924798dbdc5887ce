"""The outside world behind a tunnel, twice: real cloudflared on the local edge, and a stand-in that forwards alike.

Tests take the fixture `outside` and so run on both; where cloudflared cannot be built, the first is skipped and told.
"""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx
import yaml

from tests.fakes import cloudflared as fake
from tests.kit import web
from tests.kit.ports import free_port
from tests.tunnel.local_edge import Edge, end, eventually
from tests.tunnel.programs import Programs

HOST = "seadragon.test"  # the public name
VISITOR = "Lab-Client-IP"  # request header by which a test says who the visitor is; it never reaches the origin


class Outside(Protocol):
    """What a test needs of the world behind the tunnel."""

    @property
    def front(self) -> str:
        """Where the public comes in."""
        ...

    def settings(self) -> dict[str, object]:
        """The `tunnel` part of server.yaml that connects to it."""
        ...

    def cut(self) -> None:
        """An outage begins."""
        ...

    def mend(self) -> None:
        """The outage is over."""
        ...


def named(folder: Path, program: Path) -> dict[str, object]:
    """Settings of a named tunnel with made-up credentials: nobody here looks at them."""
    tunnel, secret = str(uuid.uuid4()), base64.b64encode(bytes(32)).decode()
    credentials = folder / "credentials.json"
    credentials.write_text(json.dumps({"AccountTag": "tests", "TunnelSecret": secret, "TunnelID": tunnel}))
    credentials.chmod(0o600)
    return {
        "mode": "named",
        "binary": str(program),
        "tunnel_id": tunnel,
        "credentials_file": str(credentials),
        "hostnames": [HOST],
        "protocol": "http2",
        "grace": 1,
    }


@dataclass
class RealOutside:
    """Real cloudflared, on the local edge."""

    programs: Programs
    edge: Edge
    folder: Path

    @property
    def front(self) -> str:
        return self.edge.front

    def settings(self) -> dict[str, object]:
        """Two addresses of one edge: with a single one cloudflared would look names up."""
        port = self.edge.ports["listen"]
        where = {"edge": [f"127.0.0.1:{port}", f"localhost:{port}"], "edge_ca": str(self.edge.certificate)}
        return named(self.folder, self.programs.cloudflared) | where

    def cut(self) -> None:
        self.edge.stop()

    def mend(self) -> None:
        self.edge.start()


@dataclass
class StandIn:
    """The fake cloudflared, which is its own edge."""

    folder: Path
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self._knobs = self.folder / "cloudflared-knobs.json"
        self.mend()

    @property
    def front(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def settings(self) -> dict[str, object]:
        return named(self.folder, fake.program(self.folder)) | {
            "environment": {"FAKE_CLOUDFLARED_KNOBS": str(self._knobs)}
        }

    def cut(self) -> None:
        self._turn(outage=True)

    def mend(self) -> None:
        self._turn(outage=False)

    def _turn(self, **knobs: object) -> None:
        fresh = self._knobs.with_suffix(".new")
        fresh.write_text(json.dumps({"front": self.port, **knobs}))
        fresh.rename(self._knobs)


@dataclass(frozen=True)
class Line:
    """A connected tunnel that no controller runs."""

    front: str
    cloudflared: subprocess.Popen[bytes]
    metrics: str

    def ready(self) -> bool:
        """What cloudflared says of its connections."""
        with contextlib.suppress(httpx.TransportError), web.client() as client:
            return client.get(f"{self.metrics}/ready").status_code == httpx.codes.OK
        return False


@contextlib.contextmanager
def line(outside: Outside, folder: Path, origin: str) -> Iterator[Line]:
    """Run cloudflared from `outside` to `origin` (http://host:port or unix:/path) until the block ends."""
    wish = outside.settings()
    port, log = free_port(), folder / "cloudflared.log"
    argv = [str(wish["binary"]), *arguments(wish, _ingress(folder, wish, origin), port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=_environment(wish.get("environment"))
        )
    this = Line(outside.front, process, f"http://127.0.0.1:{port}")
    try:
        eventually(lambda: this.ready() or process.poll() is not None, lambda: log.read_text(errors="replace"))
        assert process.poll() is None, log.read_text(errors="replace")
        yield this
    finally:
        end(process)


def arguments(wish: Mapping[str, object], ingress: Path, metrics_port: int) -> list[str]:
    """What cloudflared is told."""
    edges = wish.get("edge", [])
    assert isinstance(edges, list)
    certificate = [f"--cacert={wish['edge_ca']}"] if "edge_ca" in wish else []
    return [
        "tunnel",
        f"--config={ingress}",
        "--no-autoupdate",
        f"--metrics=127.0.0.1:{metrics_port}",
        *certificate,
        *(f"--edge={address}" for address in edges),
        "--protocol=http2",
        "--grace-period=1s",
        "run",
    ]


def _ingress(folder: Path, wish: Mapping[str, object], origin: str) -> Path:
    path = folder / "ingress.yml"
    rules = [{"hostname": HOST, "service": origin}, {"service": "http_status:404"}]
    content = {"tunnel": wish["tunnel_id"], "credentials-file": wish["credentials_file"], "ingress": rules}
    path.write_text(yaml.safe_dump(content))
    return path


def _environment(more: object) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **(more if isinstance(more, dict) else {})}
