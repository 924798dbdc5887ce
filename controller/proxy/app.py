"""The data plane: an ASGI application, bare, since every layer above it would be paid for by every token.

A request passes a row of doors (path, listener, host, method, who, origin), each of which may refuse it; then its route
says how it is treated. What waits, sends and asks again is `asking.py`; what copies the answer is `relay.py`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence

from controller.answering.turns import InMemory, Names, Turns
from controller.answering.upstream import Pool
from controller.auth.keyring import Keyring
from controller.auth.visitor import DIRECT, Arrival
from controller.bridges import Bridges
from controller.clock import Clock
from controller.config.schema import Config
from controller.proxy.aftermath import Aftermath
from controller.proxy.asking import Asking
from controller.proxy.callers import Callers
from controller.proxy.cleartext import HttpsDoor
from controller.proxy.crowd import Places
from controller.proxy.doors import OPTIONS, PAGES, admit, preflight
from controller.proxy.exchange import App, ClientGone, Exchange, Receive, Scope, Send
from controller.proxy.fillers import Rhythm
from controller.proxy.headers import RequestIds
from controller.proxy.lists import Lists
from controller.proxy.noted import DEEDS, TURNED_AWAY
from controller.proxy.refusals import CUT_SHORT, for_guest
from controller.proxy.relay import FAILED, LEAVING, break_off
from controller.proxy.routes import Match
from controller.proxy.rules import Rules, rules_of
from controller.proxy.tally import AccessRecord, Tally
from controller.proxy.treatments import Treatments
from controller.readiness import Readiness
from controller.refusal import Reason, Refused
from controller.scheduling.ticket import End, Ticket
from controller.usage import Use

_OPEN_AT_ONCE = (b"/healthz", b"/readyz")  # whoever asks
_LOOK = 0.1  # seconds between two looks at whether Ollama is quiet
_CUT = Refused(503, Reason.CUT, LEAVING, retry_after=5)
_STALLED = Refused(
    408,
    Reason.STALLED,
    "The rest of the request did not come. Please send it again.",
    headers=((b"connection", b"close"),),
)
_TOLD = {each.reason: each for each in (_CUT, _STALLED)}
_LEAVING = Refused(503, Reason.DRAINING, "The server is restarting. Please try again in a moment.", retry_after=5)


_FOR_ALL = frozenset((Reason.DENIED, Reason.PLAIN, Reason.HOST, Reason.ADDRESS))
"""Refusals of pages that hold whoever signs in."""


def _unkept(value: object) -> None:
    """Where nobody keeps it."""


def _set() -> asyncio.Event:
    """What has happened already."""
    event = asyncio.Event()
    event.set()
    return event


class DataPlane:
    """Everything that serves the API. Build it once; take an application for each listener."""

    def __init__(
        self,
        *,
        readiness: Readiness,
        settings: Callable[[], Config],
        pages: App,
        api: App,
        turns: Turns,
        names: Names,
        in_memory: InMemory,
        clock: Clock,
        tally: Tally,
        access_log: Callable[[AccessRecord], None],
        used: Callable[[Use], None] = _unkept,
        noted: Callable[[AccessRecord], None] = _unkept,
        rhythm: Rhythm | None = None,
        keyring: Keyring | None = None,
        https_doors: Callable[[], Sequence[HttpsDoor]] = tuple,
        known: asyncio.Event | None = None,
    ) -> None:
        """`api` is the management API's application: it finds who calls in `scope["seadragon.who"]`. None of the three
        that are told of requests may block: `access_log` hears of every one, `used` of each that stood in the line,
        `noted` of each that the audit wants to know of. Without a `keyring` nobody has a key, and nobody is signed in.
        `https_doors` are the listeners that speak https, where people are sent who must.
        Until `known` is set, which is once all rights are in memory, every request waits that may need one.
        """
        self._readiness = readiness
        self._settings = settings
        self._https_doors = https_doors
        self._pages = pages
        self._clock = clock
        self._access_log = access_log
        self._used = used
        self._noted = noted
        self._keyring = keyring or Keyring()
        self._known = known or _set()
        self._callers = Callers(self._keyring, clock)
        self._pool = Pool()
        self._asking = Asking(readiness, self._pool, clock, tally)
        self._lists = Lists()
        self._rhythm = rhythm or Rhythm()
        self._aftermath = Aftermath()
        self._treatments = Treatments(
            self._asking,
            turns,
            names,
            in_memory,
            self._lists,
            clock,
            tally,
            self._rhythm,
            api=api,
            pages=pages,
            unready=lambda: self.unready,
            aftermath=self._aftermath,
        )
        self._bridges = Bridges(clock)
        self._ids = RequestIds(secrets.token_hex(4).encode())
        self._rules = self._ruled(settings())
        self._open: set[Exchange] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self.tally = tally
        self.draining = False

    # --- what the roof uses ---

    def listener(self, arrival: Arrival = DIRECT) -> App:
        """The application of one listener: trust is bound to where a connection comes in."""
        places = Places()

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                await self._serve(Exchange(scope, receive, send, arrival, places, self._clock.now()))

        return serve

    @property
    def in_flight(self) -> int:
        """Requests that are being served now, held ones too."""
        return len(self._open)

    @property
    def busy(self) -> bool:
        """Whether somebody waits for an answer of Ollama's, or is being given one."""
        return self.tally.held > 0 or any(each.seat is not None or each.answer is not None for each in self._open)

    @property
    def ready(self) -> bool:
        """What /readyz says: Ollama answers, all rights are known, nothing drains, nobody waits for it."""
        return not self.unready

    @property
    def unready(self) -> str:
        """What /readyz says instead, to whoever asks: of why, no more than anybody may know. Empty: it is ready."""
        if self._keyring.addresses_off:
            return "not ready: it is not known who is kept out, so addresses are off"
        if self._keyring.unread:
            return "not ready: it is not known who has a key or an account"
        good = self._asking.ready and self._known.is_set() and not self.draining and not self.tally.held
        return "" if good else "not ready"

    def models_changed(self) -> None:
        """Something changed the models behind our back: nothing kept is true any more."""
        self._lists.changed()

    def models_moved(self) -> None:
        """A model was loaded or unloaded."""
        self._lists.moved()

    def cut_short(self, ticket: Ticket, as_: End) -> None:
        """The operator ends what `ticket` was granted for, with a reason its client shows."""
        told = CUT_SHORT[as_]
        for exchange in self._open:
            if exchange.seat is not None and exchange.seat.ticket is ticket:
                exchange.stop(told.reason, told)

    def rights_changed(self, *_: str) -> None:
        """A key, a session, a person or an entry of the allow-list is new, different or gone. Refuses the next request
        of whoever lost a right, and ends what they have open, but for an order that is being carried out: it may be
        the one that changed the rights.
        """
        self._keyring.changed()
        for exchange in list(self._open):
            self._still_let_in(exchange)

    def _still_let_in(self, exchange: Exchange) -> None:
        if exchange.carries_out(self._clock.now()):
            return  # the sweep comes back to it
        ended = self._callers.ended(exchange)
        if ended is not None:
            exchange.stop(ended.reason, ended)

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
            self._sweeping = asyncio.get_running_loop().call_later(self._rhythm.sweep, self._sweep)
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
        if not self._known.is_set() and exchange.scope["raw_path"] not in _OPEN_AT_ONCE:
            await self._known.wait()  # nobody is told that a good key is none, nor let in who is kept out
        config = self._settings()
        if config is not self._rules.config:
            self._rules = self._ruled(config)
        rules = self._rules
        place = admit(exchange, rules, self._callers)
        exchange.id = self._ids.of(exchange.found.get(b"x-request-id"))
        exchange.extra.append((b"x-request-id", exchange.id))
        if isinstance(place, Match):
            if self.draining and not place.route.own:
                return _LEAVING
            return await self._treatments.by_kind[place.route.kind](exchange, place, rules)
        if place is OPTIONS:
            await exchange.reply(204, preflight(exchange), b"", self._clock.now())
            return None
        if place is PAGES:
            return await self._treatments.page(exchange, rules)
        assert isinstance(place, Refused)
        return place

    def _ruled(self, config: Config) -> Rules:
        self._keyring.use(config.access)
        return rules_of(config, self._https_doors, self._bridges.has)

    async def _refuse(self, exchange: Exchange, refused: Refused) -> None:
        """Say no in the caller's dialect; to a person with a browser, as a page."""
        refused = _as_heard(exchange, refused)
        if exchange.status:  # fillers have gone out
            return await self._tell(exchange, refused)
        if refused.leads_on or refused.reason is Reason.FULL or not _shows_pages(exchange):
            return await exchange.refuse(refused, self._clock.now())
        exchange.reason = refused.reason
        if refused.retry_after is not None:
            exchange.extra.append((b"retry-after", b"%d" % refused.retry_after))
        exchange.scope["seadragon.refused"] = refused.status, refused.text
        exchange.scope["seadragon.may_sign_in"] = refused.reason not in _FOR_ALL
        await exchange.hand_over(self._pages, self._clock.now)

    async def _stopped(self, exchange: Exchange) -> None:
        """The request was given up from outside its task."""
        exchange.task.uncancel()
        exchange.reason = exchange.stopped
        if exchange.stopped is Reason.UNREAD:
            await exchange.reset()
        else:
            told = exchange.told or _TOLD.get(exchange.stopped)
            if told is not None:
                await self._tell(exchange, told)

    async def _tell(self, exchange: Exchange, refused: Refused) -> None:
        """Say no, also in the middle of an answer."""
        refused = _as_heard(exchange, refused)
        if exchange.status:
            await break_off(exchange, refused.text, refused.status)
            exchange.reason = refused.reason
        else:
            await exchange.refuse(refused, self._clock.now())

    def _end(self, exchange: Exchange) -> None:
        self._open.discard(exchange)
        self._ended.set()
        seat = exchange.seat
        if exchange.asked and exchange.broken is not None:
            status, words = exchange.broken
            self._aftermath.owe(exchange.asked, Refused(status, exchange.reason, words), self._clock.now())
        exchange.forget()
        self._treatments.leave_room(exchange)
        record = exchange.record(self._clock.now(), self._clock.wall())
        self.tally.count(exchange.dialect._value_, record)
        self._access_log(record)
        if seat is not None:
            self._used(seat.use(record))
        if record.reason in TURNED_AWAY or (record.route, record.method) in DEEDS:
            self._noted(record)

    def _sweep(self) -> None:
        """Look after the clients of all requests that are not over within a moment."""
        self._sweeping = None
        if not self._open:
            return
        self._sweeping = asyncio.get_running_loop().call_later(self._rhythm.sweep, self._sweep)
        now = self._clock.now()
        settled = now - self._rhythm.sweep / 2
        for exchange in self._open:
            if exchange.started < settled:
                self._look_after(exchange, now)

    def _look_after(self, exchange: Exchange, now: float) -> None:
        self._still_let_in(exchange)
        elapsed = self._rhythm.sweep
        stalled = exchange.stalled(elapsed)
        late = exchange.seat.look(now, elapsed) if exchange.seat is not None else None
        if stalled:
            exchange.stop(stalled)
        elif late is not None:
            exchange.stop(late.reason, late)
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


def _as_heard(exchange: Exchange, refused: Refused) -> Refused:
    return for_guest(refused) if exchange.who is not None and exchange.who.guest else refused


def _shows_pages(exchange: Exchange) -> bool:
    """Whether a person with a browser is behind it."""
    html = b"text/html" in exchange.found.get(b"accept", b"")
    return html and exchange.route == "pages" and exchange.method == "GET"
