"""A place that releases are downloaded from, over real HTTP."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import threading
from collections.abc import Iterator


class Releases(http.server.ThreadingHTTPServer):
    """Serves the files it is given, some of them cut short."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: set[str] = set()
        super().__init__(("127.0.0.1", 0), Shelf)

    @property
    def url(self) -> str:
        """Its base."""
        return f"http://127.0.0.1:{self.server_port}"

    def publish(self, name: str, content: bytes, digest: str = "") -> None:
        """Put a file of release 1.2.3 there, and its checksum into the list."""
        self.files[f"/v1.2.3/{name}"] = content
        line = f"{digest or hashlib.sha256(content).hexdigest()}  ./{name}\n".encode()
        self.files["/v1.2.3/sha256sum.txt"] = self.files.get("/v1.2.3/sha256sum.txt", b"") + line


class Shelf(http.server.BaseHTTPRequestHandler):
    """One request."""

    server: Releases

    def do_GET(self) -> None:
        content = self.server.files.get(self.path)
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write((content or b"")[: 10 if self.path in self.server.cut else None])

    def log_message(self, format: str, *arguments: object) -> None:
        """Silent."""


@contextlib.contextmanager
def published() -> Iterator[Releases]:
    """It serves as long as the block lasts."""
    with Releases() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
