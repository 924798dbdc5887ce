"""Looking at addresses and ports: whose they are, and who answers there. Changes nothing."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil

from controller.config.schema import Config
from controller.doctor.findings import ListenerSeen

CONNECTING = 0.5  # seconds a connection on this machine may take


def listeners(config: Config, running: dict[str, object] | None) -> dict[str, bool]:
    """Every address that matters, and whether the running controller has it. What it has beats what the YAML says."""
    listeners = running.get("listeners") if running else None
    held = [str(each.get("address")) for each in listeners] if isinstance(listeners, list) else []
    awaited = running.get("awaited") if running else None
    absent = [str(each.get("address")) for each in awaited] if isinstance(awaited, list) else []
    known = {**dict.fromkeys(held, True), **dict.fromkeys(absent, False)}
    return known or {listener.address: False for listener in config.server.listeners}


def listener(address: str, *, ours: bool) -> ListenerSeen:
    """If it is not ours, it is tried: nothing shows better that an address can be had."""
    if ours:
        return ListenerSeen(address, "ours")
    host, port = host_port(address)
    if not port:
        return ListenerSeen(address, "free")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
            trial.listen(1)
    except OSError as error:
        holder = _holder(port) if error.errno == errno.EADDRINUSE else ""
        return ListenerSeen(address, "taken" if holder else "refused", holder or (error.strerror or str(error)))
    return ListenerSeen(address, "free")


def host_port(address: str) -> tuple[str, int]:
    """("", 0) for a UNIX socket."""
    if address.startswith("unix:"):
        return "", 0
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _holder(port: int) -> str:
    """Who listens there, as far as the system tells."""
    for process in psutil.process_iter(["pid", "name", "username"]):
        with contextlib.suppress(psutil.Error):
            for each in process.net_connections("tcp"):
                if each.status == psutil.CONN_LISTEN and each.laddr.port == port:
                    return f"{process.info['name']}, process {process.pid} of {process.info['username']}, has it"
    return "another program has it"


def exposed(ports: Iterable[int]) -> Iterator[str]:
    """This machine's addresses that others use, wherever one of `ports` answers there."""
    tried = [(host, port) for host in outer_addresses() for port in sorted(ports)]
    with ThreadPoolExecutor(16) as pool:
        for (host, port), answers in zip(tried, pool.map(lambda at: _answers(*at), tried), strict=True):
            if answers:
                yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def outer_addresses() -> Iterator[str]:
    """This machine's addresses that others can use."""
    for addresses in psutil.net_if_addrs().values():
        for each in addresses:
            inner = each.address.startswith(("127.", "fe80:")) or each.address == "::1"
            if each.family in (socket.AF_INET, socket.AF_INET6) and not inner:
                yield each.address


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), CONNECTING):
            return True
    except OSError:
        return False
