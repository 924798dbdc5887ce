"""TCP ports of this machine: a free one, whether one is taken, and by whom."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Protocol
from urllib.parse import urlsplit

import psutil

HERE = "127.0.0.1"  # the literal: `localhost` may be ::1, where somebody else listens
REACHED_BY_LOOPBACK = (HERE, "0.0.0.0", "::", f"::ffff:{HERE}")  # noqa: S104  # nosec B104  # compared, not bound
CONNECT_LIMIT = 1.0  # seconds; on loopback a listener accepts at once or has its hands full, and then the port is taken


class _Connection(Protocol):
    """What psutil tells of a socket."""

    @property
    def status(self) -> str: ...

    @property
    def laddr(self) -> tuple[Any, ...]: ...


@dataclass(frozen=True, slots=True)
class PortHolder:
    """Who listens on a port. `pid` is None when the kernel does not tell us: a process of another user."""

    pid: int | None
    user: str = ""
    program: str = ""

    @property
    def words(self) -> str:
        """The holder as a person would look for it."""
        if self.pid is None:
            return "a program of another user"
        return f"{self.program or 'a program'}, pid {self.pid}" + (f", of user {self.user}" if self.user else "")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has just now."""
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        port: int = probe.getsockname()[1]
        return port


async def taken(port: int) -> bool:
    """Whether a listener of ours on 127.0.0.1 would meet somebody: on that address, or on all of them.

    Both questions are needed: macOS lets a second program bind 127.0.0.1 beside a wildcard listener, and a bound socket
    that does not listen yet refuses connections.
    """
    return not _can_bind(port) or await accepts(port)


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # or closed connections of before count as taken
        try:
            probe.bind((HERE, port))
        except OSError as problem:
            if problem.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
        return True


async def accepts(port: int) -> bool:
    """Whether somebody takes connections there. Nothing is sent. Raises OSError when we have no socket to ask with."""
    try:
        async with asyncio.timeout(CONNECT_LIMIT):
            _, writer = await asyncio.open_connection(HERE, port)
    except TimeoutError:
        return True
    except ConnectionError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def holders(port: int) -> list[PortHolder]:
    """Everybody whom a connection to 127.0.0.1:`port` could reach. Blocking (8 ms on Linux): for a thread."""
    return [_describe(pid) for pid in sorted(_listeners(port), key=lambda pid: pid or 0)]


def _listeners(port: int) -> set[int | None]:
    try:
        return {each.pid for each in psutil.net_connections("tcp") if _listens(each, port)}
    except psutil.AccessDenied:  # macOS tells the whole table to root only: what we may see is our own user's processes
        return {pid for pid in psutil.pids() if _process_listens(pid, port)}


def _process_listens(pid: int, port: int) -> bool:
    try:
        return any(_listens(each, port) for each in psutil.Process(pid).net_connections("tcp"))
    except psutil.Error:  # gone, or another user's
        return False


def _listens(connection: _Connection, port: int) -> bool:
    address = connection.laddr
    return connection.status == psutil.CONN_LISTEN and address[1:] == (port,) and address[0] in REACHED_BY_LOOPBACK


def _describe(pid: int | None) -> PortHolder:
    if pid is None:
        return PortHolder(None)
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            return PortHolder(pid, process.username(), process.name())
    except (psutil.Error, KeyError):  # gone meanwhile, or a user without a name
        return PortHolder(pid)


def is_here(url: str) -> bool:
    """Whether a URL leads to this machine itself."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
