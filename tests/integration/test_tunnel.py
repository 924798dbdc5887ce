"""Requests go through a tunnel, stream, survive an outage; with real cloudflared, and with its stand-in."""

from __future__ import annotations

import http.server
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit import web
from tests.tunnel.local_edge import Edge, eventually
from tests.tunnel.outside import HOST, VISITOR, Outside, RealOutside, line
from tests.tunnel.programs import Programs


class Origin(http.server.BaseHTTPRequestHandler):
    """Says one line at once, and the other when it is let; or answers with the headers it saw."""

    server: UnixServer

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.end_headers()
        if self.path == "/headers":
            self.wfile.write(str(self.headers).encode())
            return
        self.wfile.write(b'{"n":1}\n')
        self.wfile.flush()
        assert self.server.go_on.wait(60)
        self.wfile.write(b'{"n":2}\n')

    def address_string(self) -> str:
        return "a socket"

    def log_message(self, format: str, *arguments: object) -> None:
        """Silent."""


class UnixServer(socketserver.ThreadingUnixStreamServer):
    """An HTTP server on a UNIX socket, as the tunnel's listener is."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self.go_on = threading.Event()
        super().__init__(str(path), Origin)


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[UnixServer]:
    """An origin on `tmp_path`/origin.sock."""
    with UnixServer(tmp_path / "origin.sock") as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_request_goes_through_the_tunnel_and_its_answer_streams(
    outside: Outside, origin: UnixServer, tmp_path: Path
) -> None:
    with (
        line(outside, tmp_path, f"unix:{tmp_path}/origin.sock") as tunnel,
        web.client(base_url=tunnel.front, headers={"Host": HOST}, timeout=60) as client,
    ):
        with client.stream("GET", "/") as answer:
            lines = answer.iter_lines()
            assert next(lines) == '{"n":1}'
            origin.go_on.set()  # only now: the first line did not wait for the second
            assert list(lines) == ['{"n":2}']
        seen = client.get("/headers", headers={VISITOR: "203.0.113.9"}).text.lower()
    assert "cf-connecting-ip: 203.0.113.9" in seen
    assert "x-forwarded-proto: https" in seen
    assert "cf-warp-tag-id: " in seen
    assert VISITOR.lower() not in seen


def test_an_outage_ends_without_a_new_cloudflared(outside: Outside, origin: UnixServer, tmp_path: Path) -> None:
    with line(outside, tmp_path, f"unix:{tmp_path}/origin.sock") as tunnel:
        outside.cut()
        eventually(lambda: not tunnel.ready(), lambda: "cloudflared did not notice")
        outside.mend()
        eventually(tunnel.ready, lambda: "cloudflared did not come back")
        assert tunnel.cloudflared.poll() is None
        assert web.get(f"{tunnel.front}/headers", headers={"Host": HOST}).status_code == 200


def test_the_edge_turns_a_tunnel_down_when_it_is_told_to(
    tunnel_programs: Programs, local_edge: Edge, origin: UnixServer, tmp_path: Path
) -> None:
    outside = RealOutside(tunnel_programs, local_edge, tmp_path)
    with line(outside, tmp_path, f"unix:{tmp_path}/origin.sock") as tunnel:
        local_edge.refuse(True)
        local_edge.drop()
        eventually(lambda: local_edge.connections() == 0, lambda: "connections were not dropped")
        assert web.get(tunnel.front).status_code == 530
        local_edge.refuse(False)
        eventually(lambda: local_edge.connections() > 0, lambda: "cloudflared did not register again")
