"""The data plane: an ASGI application, bare, since every layer above it would be paid for by every token.

A request passes a row of doors (path, listener, host, method, who, origin), each of which may refuse it; then its route
says how it is treated. What waits, sends and asks again is `answering/`; what copies the answer is `relay.py`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence

from controller.answering.refusals import LEAVING
from controller.answering.shared import Shared
from controller.auth.keyring import Keyring
from controller.auth.visitor import DIRECT, Arrival
from controller.config.schema import Config
from controller.machine.bridges import Bridges
from controller.proxy.aftermath import Aftermath
from controller.proxy.callers import Callers
from controller.proxy.cleartext import HttpsDoor
from controller.proxy.crowd import Places
from controller.proxy.doors import OPTIONS, PAGES, admit, preflight
from controller.proxy.exchange import App, ClientGone, Exchange, Receive, Scope, Send
from controller.proxy.headers import RequestIds
from controller.proxy.lists import Lists
from controller.proxy.noted import DEEDS, TURNED_AWAY
from controller.proxy.refusals import for_guest
from controller.proxy.relay import FAILED, break_off
from controller.proxy.routes import Match
from controller.proxy.rules import Rules, rules_of
from controller.proxy.tally import AccessRecord, Tally
from controller.proxy.treatments import InMemory, Treatments
from controller.refusal import Reason, Refused

_OPEN_AT_ONCE = (b"/healthz", b"/readyz")  # whoever asks
_STALLED = Refused(
    408,
    Reason.STALLED,
    "The rest of the request did not come. Please send it again.",
    headers=((b"connection", b"close"),),
)


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
        shared: Shared,
        *,
        settings: Callable[[], Config],
        pages: App,
        api: App,
        in_memory: InMemory,
        tally: Tally,
        access_log: Callable[[AccessRecord], None],
        noted: Callable[[AccessRecord], None] = _unkept,
        keyring: Keyring | None = None,
        https_doors: Callable[[], Sequence[HttpsDoor]] = tuple,
        known: asyncio.Event | None = None,
    ) -> None:
        """`api` is the management API's application: it finds who calls in `scope["seadragon.who"]`. Neither of
        the two that are told of requests may block: `access_log` hears of every one, `noted` of each that the audit
        wants to know of. Without a `keyring` nobody has a key, and nobody is signed in.
        `https_doors` are the listeners that speak https, where people are sent who must.
        Until `known` is set, which is once all rights are in memory, every request waits that may need one.
        """
        self.open = shared.open
        self._shared = shared
        self._settings = settings
        self._https_doors = https_doors
        self._pages = pages
        clock = self._clock = shared.clock
        self._access_log = access_log
        self._noted = noted
        self._keyring = keyring or Keyring()
        self._known = known or _set()
        self._callers = Callers(self._keyring, clock)
        self._lists = Lists()
        shared.on_moved.append(self._lists.moved)
        self._aftermath = Aftermath()
        self._treatments = Treatments(
            shared,
            in_memory,
            self._lists,
            tally,
            api=api,
            pages=pages,
            unready=lambda: self.unready,
            aftermath=self._aftermath,
        )
        self._bridges = Bridges(clock)
        self._ids = RequestIds(secrets.token_hex(4).encode())
        self._rules = self._ruled(settings())
        self.tally = tally

    # --- what the roof uses ---

    def listener(self, arrival: Arrival = DIRECT) -> App:
        """The application of one listener: trust is bound to where a connection comes in."""
        places = Places()

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                await self._serve(Exchange(scope, receive, send, arrival, places, self._callers, self._clock.now()))

        return serve

    @property
    def ready(self) -> bool:
        """What /readyz says: an engine answers, all rights are known, nothing drains, nobody waits for it."""
        return not self.unready

    @property
    def unready(self) -> str:
        """What /readyz says instead, to whoever asks: of why, no more than anybody may know. Empty: it is ready."""
        if self._keyring.addresses_off:
            return "not ready: it is not known who is kept out, so addresses are off"
        if self._keyring.unread:
            return "not ready: it is not known who has a key or an account"
        shared = self._shared
        good = shared.ready and self._known.is_set() and not shared.open.draining and not shared.counts.held
        return "" if good else "not ready"

    def models_changed(self) -> None:
        """Something changed the models behind our back: nothing kept is true any more."""
        self._lists.changed()

    def models_moved(self) -> None:
        """A model was loaded or unloaded."""
        self._lists.moved()

    def rights_changed(self, *_: str) -> None:
        """A key, a session, a person or an entry of the allow-list is new, different or gone. Refuses the next request
        of whoever lost a right, and ends what they have open.
        """
        self._keyring.changed()
        self.open.rights_changed()

    # --- a request ---

    async def _serve(self, exchange: Exchange) -> None:
        self.open.enter(exchange)
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
            if self.open.draining and not place.route.own:
                return LEAVING
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
            told = exchange.told or (_STALLED if exchange.stopped is Reason.STALLED else None)
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
        self.open.leave(exchange)
        seat = exchange.seat
        if exchange.asked and exchange.broken is not None:
            status, words = exchange.broken
            self._aftermath.owe(exchange.asked, Refused(status, exchange.reason, words), self._clock.now())
        exchange.close()
        self._treatments.leave_room(exchange)
        record = exchange.record(self._clock.now(), self._clock.wall())
        self.tally.count(exchange.dialect._value_, record)
        self._access_log(record)
        if seat is not None and exchange.who is not None:
            self._shared.used(seat.use(exchange.who, exchange.dialect._value_, record))
        if record.reason in TURNED_AWAY or (record.route, record.method) in DEEDS:
            self._noted(record)


def _as_heard(exchange: Exchange, refused: Refused) -> Refused:
    return for_guest(refused) if exchange.who is not None and exchange.who.guest else refused


def _shows_pages(exchange: Exchange) -> bool:
    """Whether a person with a browser is behind it."""
    html = b"text/html" in exchange.found.get(b"accept", b"")
    return html and exchange.route == "pages" and exchange.method == "GET"
