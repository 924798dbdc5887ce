"""The addresses clients connect to: one uvicorn server each, so that a reload can open, drain and close each.

Trust belongs to the listener: the ASGI application behind each one is told which kind it serves, never a header.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import uvicorn

from controller.auth.access import plain_address
from controller.certificate import Certificate
from controller.config.listening import LimitSettings, Listener
from controller.errors import SeadragonError
from controller.proxy.cleartext import HttpsDoor, by_https
from controller.proxy.crowd import Crowd
from controller.proxy.wire import HEAD_LIMIT, Settings, Wire
from controller.tls import CertificateFault, ServedCertificate

Application = Callable[[Any, Any, Any], Awaitable[None]]
"""ASGI: scope, receive, send. Of ours, the scope says in `seadragon.https` whether the visitor came by https, and in
`seadragon.plain_cookies` whether a cookie may do without it here.
"""

KEEP_ALIVE = (
    125  # seconds; longer than the 90 s for which cloudflared keeps an idle connection, so it never meets ours closing
)
BACKLOG = 2048
LOST = 60.0  # seconds for what goes on over connections to a socket that was deleted


_REFUSALS = {
    errno.EADDRINUSE: ("another program uses it", "Stop that one (`seadragon doctor` names it), or do this: "),
    errno.EACCES: ("this user may not", "Ports below 1024 are for root. "),
    errno.EADDRNOTAVAIL: ("this machine does not have that address now", ""),
}


class ListenFailed(SeadragonError):
    """A listener could not be opened. `why` is a clause, without what to do."""

    def __init__(self, words: str, why: str) -> None:
        super().__init__(words)
        self.why = why


@dataclass(slots=True)
class Unopened:
    """A listener that could not be opened so far, and is tried again."""

    listener: Listener
    limits: LimitSettings
    failure: ListenFailed

    def to_json(self) -> dict[str, str]:
        """The listener as `status --json` prints it."""
        return {"address": self.listener.address, "kind": self.listener.kind, "why": self.failure.why}


def split(address: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[ipv6]:port`."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def url_of(address: str, certificate: Certificate | None = None) -> str:
    """What a client uses as its base URL: by a name that the certificate holds for, if there is one."""
    if address.startswith("unix:"):
        return address
    host, port = split(address)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # nosec B104  # compared, not bound
    if certificate is not None and not certificate.holds_for(host):
        host = next((name for name in certificate.names if not name.startswith("*")), host)
    return f"http{'s' if certificate else ''}://{f'[{host}]' if ':' in host else host}:{port}"


def bind(address: str) -> socket.socket:
    """A bound, non-blocking socket. Raises ListenFailed, saying why and what to do."""
    try:
        return _bind_unix(Path(address[5:])) if address.startswith("unix:") else _bind_tcp(*split(address))
    except OSError as error:
        why, remedy = _REFUSALS.get(error.errno or 0, (error.strerror or str(error), ""))
        words = (
            f"Cannot listen on {address}: {why}. {remedy}Choose another address: `listeners` in server.yaml, or --port."
        )
        raise ListenFailed(words, why) from error


def _bind_tcp(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(where)
        opened.listen(BACKLOG)  # at once: a second controller on this port must fail now, not when it serves
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    return opened


def _bind_unix(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()  # ours: the controller lock is held, so nobody listens on it any more
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.bind(os.fspath(path))
        path.chmod(0o600)
        opened.listen(BACKLOG)
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    return opened


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: signals belong to the roof, once for all listeners."""

    def __init__(self, config: uvicorn.Config, https: ssl.SSLContext | None) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._https = https

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's own, which gives a handshake a whole minute; until it is done nobody counts the connection."""
        await self.lifespan.startup()
        limit = HEAD_LIMIT if self._https else None
        self.servers = [
            await asyncio.get_running_loop().create_server(
                self._connection, sock=each, backlog=BACKLOG, ssl=self._https, ssl_handshake_timeout=limit
            )
            for each in sockets or []
        ]
        self.started = True
        self.listening.set()

    def _connection(self) -> asyncio.Protocol:
        return Wire(self.config, self.server_state, self.lifespan.state)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@dataclass
class OpenListener:
    """One listener that is open, and how to close it."""

    listener: Listener
    limits: LimitSettings
    server: _Server
    serving: asyncio.Task[None]
    shown: ServedCertificate | None = None  # its certificate, when it speaks https
    file: tuple[int, int] | None = None  # of a UNIX socket: which one is ours

    @property
    def lost(self) -> bool:
        """Whether somebody has deleted its socket: nobody finds it any more."""
        return _socket_file(self.listener.address) != self.file

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)

    def to_json(self) -> dict[str, object]:
        """The listener as `status --json` prints it."""
        address = self.listener.address
        return {
            "address": address,
            "url": url_of(address, self.shown.certificate if self.shown else None),
            "kind": self.listener.kind,
            "connections": self.connections,
        }

    def retire(self, seconds: float) -> None:
        """Accept nothing new from now on, and give answers in flight at most `seconds`; `serving` ends with the last.

        The address is free at once: its successor need not wait for the old answers.
        """
        for accepting in self.server.servers:
            accepting.close()
        self.server.config.timeout_graceful_shutdown = max(1, round(seconds))
        self.server.should_exit = True


@dataclass(frozen=True, slots=True)
class Renewed:
    """What came of a certificate that changed on disk, in words; `good`: it is in use."""

    good: bool
    text: str


def _renewal(one: OpenListener, shown: ServedCertificate) -> Renewed | None:
    address, tls = one.listener.address, one.listener.tls
    try:
        return Renewed(True, f"{address} shows its renewed certificate.") if shown.renew() else None
    except CertificateFault as fault:
        file = tls.cert if fault.part == "cert" else tls.key
        return Renewed(False, f"{address} goes on with its old certificate: {file} is {fault}.")


class Listeners:
    """All open listeners. `application` makes the ASGI application behind one."""

    def __init__(self, application: Callable[[Listener], Application]) -> None:
        self._application = application
        self._open: dict[str, OpenListener] = {}
        self._retired: set[asyncio.Task[None]] = set()
        self._awaited: dict[str, Unopened] = {}

    def __iter__(self) -> Iterator[OpenListener]:
        return iter(list(self._open.values()))

    @property
    def awaited(self) -> list[Unopened]:
        """Those that could not be opened so far."""
        return list(self._awaited.values())

    def is_open(self, address: str) -> bool:
        """Whether we listen there: if not, whoever is sent there may meet another program."""
        return address in self._open

    async def become(
        self, wanted: Iterable[Listener], limits: LimitSettings, drain: float, *, patient: bool = False
    ) -> None:
        """Open, close and reopen until all of `wanted` listen, and nobody else. One that cannot be opened stops none of
        the others: it is `awaited`.

        A listener whose own settings changed is closed and opened again; the others do not notice. What closes gets
        `drain` seconds for its answers in flight, in the background. Renewed certificates are taken over by `renew`.
        When none at all could be opened it raises ListenFailed, and those before stay; unless it is `patient`.
        """
        goal = {listener.address: listener for listener in wanted}
        same = {one.listener for one in self if _share(one.limits) == _share(limits)}
        fresh, failed = _prepared(each for each in goal.values() if each.address not in self._open)
        if failed and not patient and not (fresh or any(address in self._open for address in goal)):
            raise next(iter(failed.values()))
        for one in self:
            if goal.get(one.listener.address) not in same:
                self._retire(one, drain)
        again, more = _prepared(each for each in goal.values() if each.address not in {*self._open, *fresh, *failed})
        for address, (opened, shown) in (fresh | again).items():
            await self._serve(goal[address], opened, limits, shown)
        failed |= more
        self._awaited = {address: Unopened(goal[address], limits, failed[address]) for address in failed}
        self._open = {address: self._open[address] for address in goal if address in self._open}  # as they are written

    async def look_again(self) -> list[str]:
        """Open those of the awaited that can be by now, and tell which. A UNIX socket that was deleted is made anew."""
        for lost in [one for one in self if one.lost]:
            self._retire(lost, LOST)
            self._awaited[lost.listener.address] = Unopened(lost.listener, lost.limits, ListenFailed("", "it is lost"))
        found = []
        for address, one in list(self._awaited.items()):
            fresh, failed = _prepared([one.listener])
            for failure in failed.values():
                one.failure = failure
            for opened, shown in fresh.values():
                await self._serve(one.listener, opened, one.limits, shown)
                del self._awaited[address]
                found.append(address)
        return found

    async def close(self, seconds: float) -> None:
        """Close all, giving answers in flight at most `seconds`; returns when the last has ended."""
        for one in self:
            self._retire(one, seconds)
        await asyncio.gather(*self._retired)

    def _retire(self, one: OpenListener, seconds: float) -> None:
        one.retire(seconds)
        del self._open[one.listener.address]
        self._retired.add(one.serving)
        one.serving.add_done_callback(self._retired.discard)

    def renew(self) -> list[Renewed]:
        """Take over certificates that were renewed on disk: for new connections, while the old ones go on."""
        found = (_renewal(one, one.shown) for one in self if one.shown is not None)
        return [each for each in found if each is not None]

    @property
    def https_doors(self) -> list[HttpsDoor]:
        """The listeners that speak https, for those who must be sent there."""
        return [
            HttpsDoor(one.shown.certificate, split(one.listener.address)[1])
            for one in self
            if one.shown is not None and one.listener.kind == "direct"
        ]

    async def _serve(
        self, listener: Listener, opened: socket.socket, limits: LimitSettings, shown: ServedCertificate | None
    ) -> None:
        settings = Settings(
            _told(self._application(listener), listener),
            interface="asgi3",
            loop="none",
            http=Wire,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # else X-Forwarded-For is believed from 127.0.0.1, which cloudflared is too
            server_header=False,
            limit_concurrency=limits.connections,
            timeout_keep_alive=KEEP_ALIVE,
            backlog=BACKLOG,
        )
        if not listener.place.path:
            settings.crowd = Crowd(limits.per_address, map(ip_network, listener.trusted))
        server = _Server(settings, shown.context if shown else None)
        serving = asyncio.create_task(server.serve([opened]), name=f"listener {listener.address}")
        file = _socket_file(listener.address)
        self._open[listener.address] = OpenListener(listener, limits, server, serving, shown, file)
        await server.listening.wait()


def _prepared(
    listeners: Iterable[Listener],
) -> tuple[dict[str, tuple[socket.socket, ServedCertificate | None]], dict[str, ListenFailed]]:
    """By address: what each is to be served with, or why it cannot be."""
    fresh: dict[str, tuple[socket.socket, ServedCertificate | None]] = {}
    failed: dict[str, ListenFailed] = {}
    for listener in listeners:
        try:
            shown = _shown(listener)
            fresh[listener.address] = bind(listener.address), shown
        except ListenFailed as failure:
            failed[listener.address] = failure
    return fresh, failed


def _socket_file(address: str) -> tuple[int, int] | None:
    """Which file a UNIX socket is now; None for none."""
    if address.startswith("unix:"):
        with contextlib.suppress(OSError):
            seen = os.lstat(address[5:])
            return seen.st_dev, seen.st_ino
    return None


def _share(limits: LimitSettings) -> tuple[int, int]:
    """What a listener is opened with."""
    return limits.connections, limits.per_address


def _shown(listener: Listener) -> ServedCertificate | None:
    """Raises ListenFailed."""
    cert, key = listener.tls.cert, listener.tls.key
    if cert is None or key is None:
        return None
    try:
        return ServedCertificate(cert, key)
    except CertificateFault as fault:
        file = cert if fault.part == "cert" else key
        why = f"it cannot speak https: {file} is {fault}"
        raise ListenFailed(f"{listener.address} cannot speak https: {file} is {fault}.", why) from None


def _told(application: Application, listener: Listener) -> Application:
    """`application`, which finds in its scope what this listener alone knows: how the visitor came."""
    kind, plain_cookies = listener.kind, listener.plain_cookies
    trusted = [ip_network(each) for each in listener.trusted]

    def known(scope: Any) -> bool:
        address = plain_address(scope["client"][0]) if scope.get("client") else None
        return address is not None and any(address in network for network in trusted)

    def serve(scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        if scope["type"] == "http":
            believed = kind != "proxy" or listener.place.path or known(scope)
            https = by_https(kind, scope["scheme"], scope["headers"], trusted=bool(believed))
            if https:
                scope["scheme"] = "https"  # so that whatever makes links or asks for HSTS need not know of us
            scope["seadragon.https"] = https
            scope["seadragon.plain_cookies"] = plain_cookies and not https
        return application(scope, receive, send)

    return serve
