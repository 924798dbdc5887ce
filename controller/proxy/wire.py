"""uvicorn's connection to a client, where the head of an answer travels with the first bytes of its body.

uvicorn writes them one after the other, and uvloop sends each write at once: two packets, two wake-ups of the client,
and a seventh of all that a small request costs here. A head whose body is not there yet goes out by itself, in the same
turn of the loop.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD = b"HTTP/1.1 "


class ClientConnection(HttpToolsProtocol):
    """One connection of a listener."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        super().connection_made(transport)
        self.transport = HeadWithBody(transport, self.loop)


class HeadWithBody(asyncio.Transport):
    """A transport that keeps the head of an answer until the next write, or until the loop turns."""

    def __init__(self, real: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._real = real
        self._loop = loop
        self._head = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._head:
            self._real.write(self._head + data)
            self._head = b""
        elif data[:9] == _HEAD:  # or a body that happens to begin so: nothing but the moment changes
            self._head = bytes(data)
            self._loop.call_soon(self._flush)
        else:
            self._real.write(data)

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head and not self._real.is_closing():
            self._real.write(head)

    def close(self) -> None:
        self._flush()
        self._real.close()

    def abort(self) -> None:
        self._head = b""
        self._real.abort()

    def is_closing(self) -> bool:
        return self._real.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._real.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._real.pause_reading()

    def resume_reading(self) -> None:
        self._real.resume_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._real.set_protocol(protocol)
