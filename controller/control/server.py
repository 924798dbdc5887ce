"""The answering side: the verbs, on a socket. Whoever may open it is the operator."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from controller.control import LONGEST, Request, Tell
from controller.control.verbs import VERBS
from controller.desk import Desk
from controller.errors import SeadragonError
from controller.machine.socketpath import private_folder
from controller.plain import fault_words

ASKING = 10.0  # seconds a connection may take to say what it wants
AT_A_TIME = 32  # connections


def parsed(text: bytes) -> Request:
    """The request, empty when it is not a JSON object."""
    try:
        request = json.loads(text)
    except ValueError:
        return {}
    return request if isinstance(request, dict) else {}


async def carry_out(desk: Desk, request: Request, tell: Tell) -> dict[str, object]:
    """The last message in answer to one request: `answer`, or `problem` and its `kind`."""
    name = request.get("verb")
    verb = VERBS.get(name) if isinstance(name, str) else None
    if verb is None:
        return {"problem": f"Not a verb I know. I know: {', '.join(VERBS)}.", "kind": "unknown"}
    try:
        return {"answer": await verb(desk, request, tell)}
    except SeadragonError as error:
        return {"problem": str(error), "kind": type(error).__name__}
    except OSError as error:
        return {"problem": f"It failed: {fault_words(error)}.", "kind": "failed"}
    except Exception as error:  # an order that fails for a reason nobody foresaw must not end the controller
        desk.journal.say("controller", f"The order {name} failed: {error!r}", level="error")
        return {"problem": f"It failed: {error!r}. The log has more: seadragon logs", "kind": "failed"}


def peer_uid(connection: socket.socket) -> int | None:
    """Who is on the other end, as the kernel says; None where it does not say."""
    if sys.platform == "linux":
        return int(struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1])
    if sys.platform == "darwin":  # struct xucred of sys/ucred.h; to be proved on a Mac
        local, peer_credentials = 0, 1
        return int(struct.unpack("=II", connection.getsockopt(local, peer_credentials, 76)[:8])[1])
    return None


class Counter:
    """Where orders are taken: a socket file, and who speaks to us there. Hold the controller's lock."""

    def __init__(self, desk: Desk, path: Path) -> None:
        self._desk, self._path = desk, path
        self._talking: set[asyncio.Task[object]] = set()
        self._server: asyncio.Server | None = None
        self._file: os.stat_result | None = None

    async def open(self) -> None:
        """Listen. Raises PermissionError when the folder is not ours alone, and OSError."""
        listening = _bound(self._path)
        self._file = self._path.lstat()
        self._server = await asyncio.start_unix_server(self._talk, sock=listening, limit=LONGEST)

    async def keep(self) -> bool:
        """Listen anew if the socket file was deleted; who is spoken to is not interrupted. Whether it was. Raises
        OSError.
        """
        if self._ours():
            return False
        before = self._server
        await self.open()
        if before is not None:
            before.close()
        return True

    async def close(self) -> None:
        """Every connection ends. Whatever lies there now that is not ours stays."""
        if self._server is not None:
            self._server.close()
        for task in self._talking:
            task.cancel()
        await asyncio.gather(*self._talking, return_exceptions=True)
        if self._ours():
            self._path.unlink(missing_ok=True)

    def _ours(self) -> bool:
        with contextlib.suppress(OSError):
            return self._file is not None and os.path.samestat(self._path.lstat(), self._file)
        return False

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with _entered(self._talking), contextlib.closing(writer):
            # It hung up, or never said what it wants; or we end, which asyncio's streams would report as an error.
            with contextlib.suppress(OSError, TimeoutError, ValueError, asyncio.CancelledError):
                if len(self._talking) <= AT_A_TIME and _is_ours(writer.get_extra_info("socket")):
                    await _converse(self._desk, reader, writer)


@asynccontextmanager
async def serve(desk: Desk, path: Path) -> AsyncIterator[Counter]:
    """Take orders at `path` for as long as the block lasts; then every connection ends. Hold the controller's lock.

    Raises PermissionError when the folder of `path` is not ours alone.
    """
    counter = Counter(desk, path)
    try:
        await counter.open()
        yield counter
    finally:
        await counter.close()


async def _converse(desk: Desk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request, its reply, the end; the end also when the other side hangs up."""

    async def tell(line: object) -> None:
        await send({"line": line})

    async def send(message: dict[str, object]) -> None:
        writer.write(json.dumps(message, default=str).encode() + b"\n")
        await writer.drain()

    async def reply() -> None:
        await send(await carry_out(desk, request, tell))

    async with asyncio.timeout(ASKING):
        request = parsed(await reader.readline())
    tasks = [asyncio.ensure_future(reply())]
    if request.get("follow"):  # has no end of its own; a half-closed connection still wants every other reply
        tasks.append(asyncio.ensure_future(_hang_up(reader)))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _hang_up(reader: asyncio.StreamReader) -> None:
    while await reader.read(LONGEST):
        pass


def _is_ours(connection: socket.socket) -> bool:
    return peer_uid(connection) in (None, 0, os.getuid())


@contextmanager
def _entered(tasks: set[asyncio.Task[object]]) -> Iterator[None]:
    task = asyncio.current_task()
    assert task is not None
    tasks.add(task)
    try:
        yield
    finally:
        tasks.discard(task)


def _bound(path: Path) -> socket.socket:
    private_folder(path.parent)
    path.unlink(missing_ok=True)  # left by a controller that was killed: ours is the lock
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        path.chmod(0o600)
    except OSError:
        listening.close()
        raise
    return listening
