"""The files of `static/`, read once: a request can only get what was there at the start, whatever its path says."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".png": "image/png",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    body: bytes
    type: str
    digest: str


class Statics:
    """All of them. `url` carries the digest, so that a browser may keep the file for ever."""

    def __init__(self, folder: Path) -> None:
        self._assets = {
            path.relative_to(folder).as_posix(): _read(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix in TYPES
        }
        self.edition = hashlib.sha256("".join(asset.digest for asset in self._assets.values()).encode()).hexdigest()[
            :12
        ]

    def url(self, name: str) -> str:
        """Where a page finds it. Raises KeyError for a file that is not there."""
        return f"/static/{name}?v={self._assets[name].digest}"

    def text(self, name: str) -> str:
        """What it says. Raises KeyError for a file that is not there."""
        return self._assets[name].body.decode()

    def answer(self, request: Request, name: str) -> Response | None:
        """The file, "not modified" for who has it already, or None."""
        asset = self._assets.get(name)
        if asset is None:
            return None
        tag = f'"{asset.digest}"'
        lasting = request.query_params.get("v") == asset.digest
        headers = {"ETag": tag, "Cache-Control": "public, max-age=31536000, immutable" if lasting else "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(asset.body, media_type=asset.type, headers=headers)


def _read(path: Path) -> Asset:
    body = path.read_bytes()
    return Asset(body, TYPES[path.suffix], hashlib.sha256(body).hexdigest()[:16])
