"""The answering side: a table of verbs over the `Desk`. Whoever may open the socket is the operator."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path

from controller import openfiles
from controller.control import LONGEST, Request, Tell, orders, rights
from controller.control.awaiting import Verb, needs_ollama, ollama_there
from controller.desk import Desk
from controller.errors import SeadragonError
from controller.logtail import Tail
from controller.plain import fault_words
from controller.socketpath import private_folder

ASKING = 10.0  # seconds a connection may take to say what it wants
LOOK = 0.2  # seconds between two looks at a log file that is followed
AT_A_TIME = 32  # connections


def status(desk: Desk) -> dict[str, object]:
    """The document `seadragon status --json` prints. Members are only ever added to it."""
    return {
        "pid": os.getpid(),
        "version": desk.version,
        "phase": desk.phase,
        "ready": desk.ready,
        "started_at": desk.started_at,
        "uptime": max(0.0, time.time() - desk.started_at),
        "listeners": desk.listeners,
        "awaited": desk.awaited,
        "children": {child.name: child.to_json() for child in desk.children()},
        "line": {name: value for name, value in desk.queue().items() if name != "tickets"},
        "memory": desk.memory(),
        "config": {"stale": bool(desk.config_problems), "problems": desk.config_problems},
        "rights": {"troubles": desk.office.shown.troubles},
        "storage": {"trouble": desk.storage_trouble},
        "data": str(desk.data),
        "logs": str(desk.logs),
    }


async def _status(desk: Desk, request: Request, tell: Tell) -> object:
    return status(desk)


async def _facts(desk: Desk, request: Request, tell: Tell) -> object:
    """What only the running controller can say of itself: the doctor compares it with what it finds."""
    search = os.environ.get("PATH", "")
    return {**status(desk), "files": openfiles.now(), "search": search, "python": platform.python_version()}


async def _ollama(desk: Desk, request: Request, tell: Tell) -> object:
    """As `status`, once Ollama is there."""
    await ollama_there(desk, tell)
    return status(desk)


async def _start(desk: Desk, request: Request, tell: Tell) -> object:
    name = _name(desk, request)
    await desk.start_child(name)
    return _child(desk, name)


async def _stop(desk: Desk, request: Request, tell: Tell) -> object:
    name = _name(desk, request)
    await desk.stop_child(name)
    return _child(desk, name)


async def _restart(desk: Desk, request: Request, tell: Tell) -> object:
    """One child if it is named; else the controller itself, which leaves its children to the next one."""
    if request.get("name") is None:
        return await _leave(desk, tell, keep_children=True)
    name = _name(desk, request)
    await desk.restart_child(name)
    return _child(desk, name)


async def _down(desk: Desk, request: Request, tell: Tell) -> object:
    return await _leave(desk, tell, keep_children=False)


async def _leave(desk: Desk, tell: Tell, *, keep_children: bool) -> object:
    """Tell what happens until the process ends, and the connection with it.

    An answer comes only when it does not leave after all: a service manager would not let it.
    """
    with desk.journal.subscribe() as events:
        desk.leave(keep_children=keep_children)
        while desk.phase in ("draining", "stopping"):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    event = await events.get()
                await tell(asdict(event))
    return {"stays": True}


async def _reload(desk: Desk, request: Request, tell: Tell) -> object:
    return await desk.reload()


async def _backup(desk: Desk, request: Request, tell: Tell) -> object:
    file = request.get("file")
    return str(await desk.back_up(Path(file) if isinstance(file, str) else None))


async def _logs(desk: Desk, request: Request, tell: Tell) -> object:
    name = request.get("name")
    path = desk.logs / ("controller.jsonl" if name in (None, "controller") else f"{_name(desk, request)}.log")
    follow = request.get("follow") is True
    with Tail(path, _count(request)) as tail:
        while (lines := await asyncio.to_thread(tail.read)) or follow:
            for line in lines:
                await tell(line)
            if not lines:
                await asyncio.sleep(LOOK)  # a file cannot be awaited
    return None


async def _events(desk: Desk, request: Request, tell: Tell) -> object:
    with desk.journal.subscribe() as events:
        for event in desk.journal.last(_count(request)):
            await tell(asdict(event))
        while request.get("follow") is True:
            await tell(asdict(await events.get()))
    return None


VERBS: dict[str, Verb] = {
    "status": _status,
    "facts": _facts,
    "ollama": _ollama,
    "start": _start,
    "stop": _stop,
    "restart": _restart,
    "down": _down,
    "reload": _reload,
    "backup": _backup,
    "logs": _logs,
    "events": _events,
    "models": needs_ollama(orders.models),
    "queue": orders.queue,
    "memory": orders.memory,
    "order": needs_ollama(orders.order),
    "pause": needs_ollama(orders.pause),
    "resume": needs_ollama(orders.resume),
    "cancel": orders.cancel,
    "office": rights.office,
    "usage": rights.usage,
    "audit": rights.audit,
    "verify": rights.verify,
}


def _name(desk: Desk, request: Request) -> str:
    """The child that is meant. Raises SeadragonError, naming the children there are."""
    names = [child.name for child in desk.children()]
    name = request.get("name")
    if not isinstance(name, str) or name not in names:
        raise SeadragonError(f"There is no child called {name!r}. There is: {', '.join(names) or 'none'}.")
    return name


def _child(desk: Desk, name: str) -> dict[str, object]:
    return next(child.to_json() for child in desk.children() if child.name == name)


def _count(request: Request) -> int:
    count = request.get("count", 20)
    return max(0, min(count, 100_000)) if isinstance(count, int) else 20


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
        answer = await verb(desk, request, tell)
        rights.note(desk, request, "done")
        return {"answer": answer}
    except SeadragonError as error:
        rights.note(desk, request, "failed")
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
