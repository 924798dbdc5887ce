"""The data plane: an ASGI application, bare, since every layer above it would be paid for by every token.

A request passes a row of doors (path, listener, host, method, who, origin), each of which may refuse it; then its route
says how it is treated. What waits, sends and asks again is `asking.py`; what copies the answer is `relay.py`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Literal

from controller.auth.access import Principal
from controller.clock import Clock
from controller.config.schema import Config
from controller.proxy.asking import Asking, Suspect, no_suspicion
from controller.proxy.dialects import Headers, Reason, Refused
from controller.proxy.doors import OPTIONS, PAGES, admit, preflight
from controller.proxy.exchange import App, ClientGone, Exchange, Message, Receive, Scope, Send
from controller.proxy.headers import RequestIds
from controller.proxy.lists import Lists
from controller.proxy.relay import FAILED, LEAVING, break_off
from controller.proxy.routes import Match
from controller.proxy.rules import rules_of
from controller.proxy.tally import AccessRecord, Tally
from controller.proxy.treatments import Treatments
from controller.proxy.upstream import Pool
from controller.readiness import Readiness

ListenerKind = Literal["direct", "tunnel"]

SWEEP = 0.5  # seconds between two looks at what is open: one timer for all requests, instead of one for each
_LOOK = 0.1  # seconds between two looks at whether Ollama is quiet
_LEFT = (Reason.GONE, Reason.UNREAD)
_CUT = Refused(503, Reason.CUT, LEAVING, retry_after=5)
_STALLED = Refused(
    408,
    Reason.STALLED,
    "The rest of the request did not come. Please send it again.",
    headers=((b"connection", b"close"),),
)
_TOLD = {each.reason: each for each in (_CUT, _STALLED)}
_LEAVING = Refused(503, Reason.DRAINING, "The server is restarting. Please try again in a moment.", retry_after=5)


class DataPlane:
    """Everything that serves the API. Build it once; take an application for each listener."""

    def __init__(
        self,
        *,
        readiness: Readiness,
        settings: Callable[[], Config],
        pages: App,
        clock: Clock,
        tally: Tally,
        access_log: Callable[[AccessRecord], None],
        suspect: Suspect = no_suspicion,
        unproven_after: float = 2.0,
        through_tunnel: Principal | None = None,
    ) -> None:
        """`access_log` must not block: it is called for every request. `through_tunnel` opens the tunnel's listener as
        that principal: for tests only, until there are accounts.
        """
        self._readiness = readiness
        self._settings = settings
        self._pages = pages
        self._clock = clock
        self._access_log = access_log
        self._through_tunnel = through_tunnel
        self._pool = Pool()
        self._asking = Asking(readiness, self._pool, clock, tally, suspect=suspect, unproven_after=unproven_after)
        self._lists = Lists()
        self._treatments = Treatments(self._asking, self._lists, clock, tally, lambda: self.ready).by_kind
        self._ids = RequestIds(secrets.token_hex(4).encode())
        self._rules = rules_of(settings())
        self._open: set[Exchange] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self.tally = tally
        self.draining = False

    # --- what the roof uses ---

    def listener(self, kind: ListenerKind) -> App:
        """The application of one listener: trust is bound to where a connection comes in."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                await self._serve(Exchange(scope, receive, send, kind, self._clock.now()))

        return serve

    @property
    def in_flight(self) -> int:
        """Requests that are being served now, held ones too."""
        return len(self._open)

    @property
    def ready(self) -> bool:
        """What /readyz says: Ollama answers, nothing drains, nobody waits for it."""
        return self._asking.ready and not self.draining and not self.tally.held

    def doubt_all(self) -> None:
        """An Ollama was adopted: no slot of it is proven any more."""
        self._asking.unproven.doubt_all()

    def models_changed(self) -> None:
        """Something changed the models behind our back: nothing kept is true any more."""
        self._lists.changed()

    async def drained(self, limit: float) -> bool:
        """Refuse what arrives from now on, and wait at most `limit` seconds until everything is answered.

        Returns whether it is. `draining = False` lets requests in again.
        """
        self.draining = True
        return await self._until(lambda: not self._open, limit)

    async def quiet(self, limit: float) -> bool:
        """Wait at most `limit` seconds until Ollama works on nothing; what arrives may come in and be held."""
        return await self._until(lambda: not any(each.under_way for each in self._open), limit)

    async def cut(self) -> None:
        """End what is still open, each with a reason its client shows, and return when it has ended."""
        for exchange in list(self._open):
            exchange.stop(Reason.CUT)
        await self._until(lambda: not self._open, 5.0)

    async def close(self) -> None:
        """Close all connections to Ollama."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        await self._pool.close()

    # --- a request ---

    async def _serve(self, exchange: Exchange) -> None:
        self._open.add(exchange)
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(SWEEP, self._sweep)
        try:
            refused = await self._answer(exchange)
            if refused is not None:
                await self._refuse(exchange, refused)
        except ClientGone:
            exchange.reason = Reason.GONE
        except asyncio.CancelledError:
            if not exchange.stopped:
                raise
            await self._stopped(exchange)
        except Exception:  # ours: the client is told in its dialect, the log gets the traceback from uvicorn
            await self._tell(exchange, Refused(500, Reason.FAILED, FAILED))
            raise
        finally:
            self._end(exchange)

    async def _answer(self, exchange: Exchange) -> Refused | None:
        config = self._settings()
        if config is not self._rules.config:
            self._rules = rules_of(config)
        rules = self._rules
        place = admit(exchange, rules, self._through_tunnel)
        exchange.id = self._ids.of(exchange.found.get(b"x-request-id"))
        exchange.extra.append((b"x-request-id", exchange.id))
        if isinstance(place, Match):
            if self.draining and not place.route.own:
                return _LEAVING
            return await self._treatments[place.route.kind](exchange, place, rules)
        if place is OPTIONS:
            await exchange.reply(204, preflight(exchange), b"", self._clock.now())
            return None
        if place is PAGES:
            await self._hand_over(exchange)
            return None
        assert isinstance(place, Refused)
        return place

    async def _refuse(self, exchange: Exchange, refused: Refused) -> None:
        """Say no in the caller's dialect; to a person with a browser, as a page."""
        if not (
            exchange.route == "pages"
            and exchange.method == "GET"
            and b"text/html" in exchange.found.get(b"accept", b"")
        ):
            return await exchange.refuse(refused, self._clock.now())
        exchange.reason = refused.reason
        exchange.scope["seadragon.refused"] = refused.status, refused.text
        await self._hand_over(exchange)

    async def _hand_over(self, exchange: Exchange) -> None:
        """The pages answer; what they say is noted on its way."""

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status, exchange.first_byte = message["status"], self._clock.now() - exchange.started
                headers: Headers = list(message.get("headers", ()))
                message = {**message, "headers": headers + exchange.extra}
            else:
                exchange.bytes_out += len(message.get("body", b""))
            await exchange.send(message)

        exchange.receiving = True  # from here on the pages listen to the client
        await self._pages(exchange.scope, exchange.receive, send)

    async def _stopped(self, exchange: Exchange) -> None:
        """The request was given up from outside its task."""
        exchange.task.uncancel()
        exchange.reason = exchange.stopped
        if exchange.stopped is Reason.UNREAD:
            await exchange.reset()
        elif exchange.stopped in _TOLD:
            await self._tell(exchange, _TOLD[exchange.stopped])

    async def _tell(self, exchange: Exchange, refused: Refused) -> None:
        """Say no, also in the middle of an answer."""
        if exchange.status:
            await break_off(exchange, refused.text)
            exchange.reason = refused.reason
        else:
            await exchange.refuse(refused, self._clock.now())

    def _end(self, exchange: Exchange) -> None:
        self._open.discard(exchange)
        self._ended.set()
        if exchange.reason in _LEFT and exchange.attempts and exchange.model:
            self._asking.unproven.doubt(exchange.model)
        exchange.forget()
        record = exchange.record(self._clock.now(), self._clock.wall())
        self.tally.count(exchange.dialect._value_, record)
        self._access_log(record)

    def _sweep(self) -> None:
        """Look after the clients of all requests that are not over within a moment."""
        self._sweeping = None
        if not self._open:
            return
        self._sweeping = asyncio.get_running_loop().call_later(SWEEP, self._sweep)
        settled = self._clock.now() - SWEEP / 2
        for exchange in self._open:
            if exchange.started < settled:
                self._look_after(exchange)

    def _look_after(self, exchange: Exchange) -> None:
        stalled = exchange.stalled(SWEEP)
        if stalled:
            exchange.stop(stalled)
        elif exchange.watch is None:
            exchange.look_out()

    async def _until(self, done: Callable[[], bool], limit: float) -> bool:
        deadline = asyncio.get_running_loop().time() + limit
        while not done():
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return False
            self._ended.clear()
            try:  # an answer may be complete long before its client has read it, and nobody tells: look
                async with asyncio.timeout(min(left, _LOOK)):
                    await self._ended.wait()
            except TimeoutError:
                pass
        return True
