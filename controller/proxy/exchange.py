"""One request on its way through: what is known of it, and the ways to answer, end or give it up."""

from __future__ import annotations

import asyncio
import select
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from controller.answering.call import Call
from controller.auth.policy import Right
from controller.auth.visitor import Arrival, neighbourhood
from controller.config.listening import LimitSettings
from controller.dialect import Dialect, Headers
from controller.proxy.crowd import Full, Places
from controller.proxy.dialects import error_body, refusal_headers
from controller.proxy.framing import Framing
from controller.proxy.patience import LARGE, RATE, SENDING, TAKING, Patience
from controller.proxy.tally import AccessRecord
from controller.refusal import Reason, Refused

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CLIENT_LEFT = 499
"""The status in log and metrics of a request whose client left before it got one (nginx's number)."""


def hang_up_event(known: object = select) -> int:
    """What poll(2) is to look for. A Mac has no POLLRDHUP, and tells of a hang-up (POLLHUP) only who asks for one."""
    return int(getattr(known, "POLLRDHUP", select.POLLHUP))


HUNG_UP = hang_up_event()
_EARLY = 2**20  # bytes of a body that are kept while it is not wanted yet
CARRYING_OUT = 30.0  # seconds that an order may take whose asker has lost the right meanwhile: he had it as he asked


class ClientGone(Exception):
    """The client closed its connection."""


class Rights(Protocol):
    """Who knows what somebody may do."""

    def ended(self, exchange: Exchange) -> Refused | None:
        """Whether what let an open request in is gone: why it has to end."""
        ...


class Exchange(Call):
    """A request, from its first line to its last byte. Owned by the task that serves it."""

    __slots__ = (
        "address",
        "arrival",
        "asked",
        "bytes_in",
        "broken",
        "bytes_out",
        "callers",
        "dialect",
        "early",
        "extra",
        "first_byte",
        "found",
        "framing",
        "handed",
        "id",
        "listener",
        "listening",
        "method",
        "model",
        "needs",
        "patience",
        "peer",
        "place",
        "places",
        "proven",
        "proxied",
        "query",
        "read",
        "reason",
        "receive",
        "receiving",
        "room",
        "route",
        "scope",
        "send",
        "status",
        "unsent",
        "watch",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        arrival: Arrival,
        places: Places,
        callers: Rights,
        now: float,
    ) -> None:
        super().__init__(now)
        client = scope.get("client")
        self.scope, self.receive, self.send = scope, receive, send
        self.arrival = arrival
        self.places = places  # of its listener
        self.callers = callers
        self.place: bool | None = None  # whether the one it has is a page's; None: it has none
        self.listener: str = arrival.kind
        self.method: str = scope["method"]
        self.query: bytes = scope["query_string"]
        self.peer: str = client[0] if client else ""
        self.address = ""  # from where it counts as coming; "": nobody can tell
        self.proxied = b""  # a header that only a proxy or tunnel adds, where there should be none
        self.proven = False  # whether the address is the visitor's own
        self.found: dict[bytes, bytes] = {}  # headers that matter
        self.id = b""
        self.dialect = Dialect.NATIVE
        self.needs = Right.ANYONE  # the right it was let in by
        self.route = "unlisted"
        self.model = ""
        self.extra: Headers = []  # headers of ours on every answer
        self.framing: Framing | None = None
        self.asked = b""  # of a document that began before there was an answer: by what it is known again
        self.broken: tuple[int, str] | None = None  # … that was reset: the status and words it is still owed
        self.handed: float | None = None  # since when another application has all of it
        self.status = 0  # 0 until the answer has begun
        self.reason = Reason.NONE
        self.first_byte: float | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.read = False  # the body is in: from now on only a hang-up can come
        self.receiving = False  # the task itself is taking the body in
        self.listening = False  # … and waits for the client's next piece
        self.patience: tuple[Patience, Patience] | None = None
        self.early: list[Message] = []  # pieces of the body that came while the request was held
        self.room = 0  # bytes that its body takes of the room for all
        self.watch: asyncio.Task[None] | None = None
        self.unsent = b""  # the piece of the answer that its client has no room for yet

    @property
    def caller(self) -> str:
        """Whose share it takes: a principal's, or that of a visitor nobody knows."""
        return self.who.identity if self.who is not None else f"visitor:{neighbourhood(self.address)}"

    def carries_out(self, now: float) -> bool:
        """Whether another application may be at what was asked for, and has not answered yet. To sign out takes the
        right to have signed out away: what was allowed when it began is done, told and noted all the same.
        """
        return self.handed is not None and not self.status and now - self.handed < CARRYING_OUT

    def take_place(self, limits: LimitSettings, *, page: bool) -> Full | None:
        """Count as open on its listener, until it is over; why not."""
        full = self.places.enter(self._visitor, limits, page=page)
        if full is None:
            self.place = page
        return full

    @property
    def _visitor(self) -> str:
        """Whom a tunnel or a proxy named; who comes by a connection of their own is counted by that."""
        return "" if self.listener == "direct" else self.address

    # --- reading ---

    async def piece(self) -> tuple[bytes, bool]:
        """The next piece of the body, and whether more follows. Raises ClientGone."""
        if not self.receiving:
            self.receiving = True
            if self.watch is not None:
                self.watch.cancel()
                self.watch = None
        if self.early:
            message = self.early.pop(0)
        else:
            self.listening = True
            try:
                message = await self.receive()
            finally:
                self.listening = False
        if message["type"] == "http.disconnect":
            raise ClientGone
        data: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        self.bytes_in += len(data)
        if not more:
            self.read, self.receiving = True, False
        return data, more

    # --- answering ---

    async def start(self, status: int, headers: Headers, now: float) -> None:
        """Begin the answer."""
        self.status, self.first_byte = status, now - self.started
        await self.send({"type": "http.response.start", "status": status, "headers": headers + self.extra})

    async def body(self, data: bytes, *, more: bool) -> None:
        """A piece of the answer."""
        self.unsent = data
        await self.send({"type": "http.response.body", "body": data, "more_body": more})
        self.unsent = b""
        self.bytes_out += len(data)

    async def reply(self, status: int, headers: Headers, data: bytes, now: float) -> None:
        """A whole answer of our own. HEAD gets its headers only."""
        await self.start(status, headers, now)
        await self.body(b"" if self.method == "HEAD" else data, more=False)

    async def refuse(self, refused: Refused, now: float) -> None:
        """Say no, in the caller's dialect."""
        self.reason = refused.reason
        data = error_body(self.dialect, refused.status, refused.text, self.id.decode("ascii"))
        headers = refusal_headers(refused, len(data))
        if b"expect" in self.found and not self.read:
            headers.append((b"connection", b"close"))  # nobody knows whether the body will follow
        await self.reply(refused.status, headers, data, now)

    async def hand_over(self, app: App, now: Callable[[], float], body: bytes = b"") -> None:
        """Another application answers; what it says is noted on its way. `body`: what was sent, all that it gets.

        It finds who calls (a Principal, or None) in `seadragon.who` of the scope, their address in `seadragon.peer`,
        and the request's id in `seadragon.request`.
        """
        waiting = deque([body])

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status, self.first_byte = message["status"], now() - self.started
                headers: Headers = list(message.get("headers", ()))
                message = {**message, "headers": headers + self.extra}
            else:
                self.bytes_out += len(message.get("body", b""))
            await self.send(message)

        async def receive() -> Message:
            if waiting:
                return {"type": "http.request", "body": waiting.popleft(), "more_body": False}
            return await self.receive()

        self.scope["seadragon.who"] = self.who
        self.scope["seadragon.peer"], self.scope["seadragon.request"] = self.address, self.id.decode("ascii")
        self.receiving = True  # from here on that application listens to the client
        self.handed = now()
        await app(self.scope, receive, send)

    async def reset(self) -> None:
        """Drop the client's connection, so that what it has cannot pass for a whole answer."""
        transport = self._transport()
        self.stopped = self.stopped or Reason.BROKEN  # it is we who hang up now: nobody is to take it for the client
        if self.watch is not None:
            self.watch.cancel()
        if transport is not None:
            transport.abort()
            while (await self.receive())["type"] != "http.disconnect":
                pass

    def _transport(self) -> asyncio.Transport | None:
        """ASGI has no word for a connection; uvicorn's `send` belongs to the cycle that holds it."""
        return getattr(getattr(self.send, "__self__", None), "transport", None)

    # --- giving up ---

    def right_ended(self, now: float) -> Refused | None:
        """Whether what let it in is gone; not while what it orders is being carried out."""
        return None if self.carries_out(now) else self.callers.ended(self)

    def given_up(self, elapsed: float) -> Reason:
        """Whether the client has stopped, and how, if it let us wait for the last `elapsed` seconds."""
        if self.patience is None:
            self.patience = Patience(SENDING), Patience(TAKING)
        sending, taking = self.patience
        if sending.lost(elapsed if self.listening else 0.0, self.bytes_in, LARGE if self.room else RATE):
            return Reason.STALLED
        transport = self._transport()
        untaken = transport.get_write_buffer_size() if transport is not None and not transport.is_closing() else 0
        return Reason.UNREAD if taking.lost(elapsed if untaken else 0.0, self.bytes_out - untaken) else Reason.NONE

    def look_out(self) -> None:
        """See whether the client has left, and where that is possible notice it at once from now on.

        Reading shows it, unless the body is not to be read: upstream may not take more, or the client waits for a 100.
        """
        if self.watch is not None:
            return
        if self.receiving or (b"expect" in self.found and not self.read):
            if self._hung_up():
                self.stop(Reason.GONE)
        else:
            self.watch = asyncio.get_running_loop().create_task(self._watch())

    def _hung_up(self) -> bool:
        """Ask the kernel, which knows it before all is read."""
        transport = self._transport()
        if transport is None or transport.is_closing():
            return transport is not None
        poll = select.poll()
        poll.register(transport.get_extra_info("socket").fileno(), HUNG_UP)
        return bool(poll.poll(0))

    def close(self) -> None:
        """The exchange is over."""
        if self.place is not None:
            self.places.leave(self._visitor, page=self.place)
        if self.watch is not None:
            self.watch.cancel()
        super().close()

    async def _watch(self) -> None:
        """Only by reading can a hang-up be seen, so a body that is not wanted yet is kept, up to a limit."""
        size = 0
        while size <= _EARLY:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                return self.stop(Reason.GONE)
            if not self.read:
                self.early.append(message)
                self.read = not message.get("more_body")
                size += len(message.get("body", b""))

    # --- remembering ---

    def record(self, now: float, wall: float) -> AccessRecord:
        """What the access log says of it."""
        return AccessRecord(
            wall,
            self.id.decode("ascii"),
            self.who.label if self.who is not None else "",
            self.address or self.peer,
            self.listener,
            self.method,
            self.route,
            self.model,
            self.status or CLIENT_LEFT,
            self.reason._value_,  # `.value` costs ten times as much
            self.first_byte,
            now - self.started,
            self.bytes_in,
            self.bytes_out,
            self.attempts,
        )
