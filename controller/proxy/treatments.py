"""How each kind of route is treated, once its request has passed the doors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Protocol

from controller.answering.question import Outgoing
from controller.answering.shared import Shared
from controller.answering.upstream import Answer
from controller.dialect import Headers
from controller.engines.settings import ANY_TITLE
from controller.proxy import bodies, own
from controller.proxy.adjust import Adjusted, named, told_header
from controller.proxy.aftermath import Aftermath
from controller.proxy.aside import Aside
from controller.proxy.exchange import App, Exchange
from controller.proxy.inference import Inference
from controller.proxy.lists import LARGEST, KeptAnswer, Key, Lists
from controller.proxy.peek import Peeked, peek
from controller.proxy.relay import relay, upload
from controller.proxy.room import Room
from controller.proxy.routes import ROUTES, Body, Kind, Listed, Match, is_digest, label
from controller.proxy.rules import Rules
from controller.proxy.sight import View, picked, unknown, view_of
from controller.proxy.tally import Tally
from controller.refusal import Reason, Refused
from controller.residency.meaning import Meanings

Treatment = Callable[[Exchange, Match, Rules], Awaitable["Refused | None"]]

_LARGEST_SHOWN = 64 * 2**20  # bytes of an answer that a guest is told a part of
_COPILOT = b"GitHubCopilotChat/"
_AS_WRITTEN = Meanings()
"""What is installed is changed by its own name: a redirection is none, and deleting by one would delete another."""
_LONGEST_ORDER = 64 * 1024  # bytes
_LONGEST_FORM = 16 * 1024  # bytes
_LIST = Match(next(route for route in ROUTES if route.path == "/v1/models"), "/v1/models")
_NOTHING = b'{"models":[]}'
_SWAPPING = Refused(
    503, Reason.HELD_OUT, "Models are being loaded and unloaded. Please ask again in a moment.", retry_after=5
)


class InMemory(Protocol):
    """What is in memory, as `residency/residents.py` knows it."""

    def alone(self, engine: str) -> asyncio.Lock:
        """Whoever holds it may ask this engine for what is in memory: it loads and unloads nothing meanwhile."""
        ...

    @property
    def moving(self) -> bool:
        """Whether something is being loaded or unloaded, or about to be."""
        ...

    @property
    def empty(self) -> bool:
        """Whether nothing is there that could answer."""
        ...


class Treatments:
    """One method for each kind; each answers the client, or returns why not."""

    def __init__(
        self,
        shared: Shared,
        in_memory: InMemory,
        lists: Lists,
        tally: Tally,
        *,
        api: App,
        pages: App,
        unready: Callable[[], str],
        aftermath: Aftermath,
    ) -> None:
        self._asking = shared.asking
        self._names = shared.names
        self._in_memory = in_memory
        self._swap_limit = shared.rhythm.swap
        self._lists = lists
        self._clock = shared.clock
        self._tally = tally
        self._api, self._pages = api, pages
        self._unready = unready
        self._room = Room()
        self._aside = Aside()
        infer = Inference(
            shared,
            lists,
            body=self._body,
            leave_room=self.leave_room,
            aftermath=aftermath,
            aside=self._aside,
        )
        self.by_kind: Mapping[Kind, Treatment] = {
            Kind.OPEN: self._open,
            Kind.METADATA: self._metadata,
            Kind.INFERENCE: infer,
            Kind.MANAGEMENT: self._manage,
            Kind.OFF: self._open,
            Kind.BENIGN: self._benign,
            Kind.API: self._manage_models,
        }

    def leave_room(self, exchange: Exchange) -> None:
        """The body of `exchange` is not needed any more."""
        bodies.leave(exchange, self._room)

    # --- metadata ---

    async def _metadata(self, exchange: Exchange, match: Match, rules: Rules) -> Refused | None:
        exchange.read = match.route.body is Body.NONE
        body = b"" if exchange.read else await self._body(exchange, match, rules)
        if isinstance(body, Refused):
            return body
        if match.route.listed is None:
            return await self._counted(exchange, body)
        listed, view = match.route.listed, view_of(match.route.path, exchange.who, rules.clamps.meanings)
        if body or match.parameter:
            judged = await self._judged(exchange, match, body, rules.clamps.meanings)
            if isinstance(judged, Refused):
                return judged
            body, name = judged.body, judged.model
            if match.parameter and "/" in name:  # no such path is known: no slash is looked for in a name
                match, listed, view = _LIST, Listed.TAGS, lambda whole: picked(whole, name)
            elif match.parameter:
                match = replace(match, target=match.target.removesuffix(match.parameter) + name)
        return await self._listed(exchange, match, rules, listed, body, view)

    async def _judged(self, exchange: Exchange, match: Match, body: bytes, meanings: Meanings) -> Adjusted | Refused:
        """The body as it goes upstream, and the models that it or the path names: 404 for one that does not exist for
        its caller.
        """
        judged = await self._aside.do(len(body), lambda: _named(match, body, meanings))
        if isinstance(judged, Refused):
            return judged
        asked, found = judged
        if isinstance(found, Refused):
            exchange.model = label(asked.model)
            return found
        exchange.model = label(found.model)
        if exchange.who is not None:
            for name in (found.model, *found.others):
                if name and not exchange.who.sees(name):
                    return unknown(name)
        if found.told:
            exchange.extra.append((b"x-seadragon-adjusted", told_header(found.told)))
        return found

    async def _listed(
        self, exchange: Exchange, match: Match, rules: Rules, listed: Listed, body: bytes, view: View | None
    ) -> Refused | None:
        key: Key = (match.target, body, exchange.found.get(b"user-agent", b"").startswith(_COPILOT))
        kept = self._lists.fresh(key, listed, self._clock.now())
        if kept is None and not self._asking.ready:
            kept = self._lists.stale(key) or self._away(listed)
        if kept is None and listed is Listed.PS and self._in_memory.moving:
            kept = self._lists.stale(key) or self._nothing()
        if kept is not None:
            return await self._tell(exchange, view, kept)
        epoch = self._lists.epoch(listed)
        ask = self._ask_memory if listed is Listed.PS else self._ask
        answer = await ask(exchange, match, rules, body)
        if isinstance(answer, Refused):
            kept = self._lists.stale(key) or self._away(listed)
            if kept is None:
                return answer
            return await self._tell(exchange, view, kept)
        if view is not None:
            return await self._viewed(exchange, match, view, answer, key, epoch)
        pieces: list[bytes] = []
        fits = answer.length is None or answer.length <= LARGEST
        await relay(exchange, answer, None, self._clock.now(), kept=pieces if fits else None)
        if answer.status == 200 and fits and not answer.broken:
            self._lists.keep(key, self._kept(answer, b"".join(pieces), epoch))
        return None

    async def _ask(self, exchange: Exchange, match: Match, rules: Rules, body: bytes) -> Answer | Refused:
        return await self._asking.ask(exchange, outgoing(exchange, match), body, rules.bounds.hold)

    async def _ask_memory(self, exchange: Exchange, match: Match, rules: Rules, body: bytes) -> Answer | Refused:
        """Nothing is loaded or unloaded until the answer has a head, since the engine has done its reading then: it
        goes through a map without a lock, and dies of "concurrent map iteration and map write" (v0.24.0, routes.go).
        """
        try:
            async with asyncio.timeout(self._swap_limit), self._in_memory.alone(self._asking.engine.name):
                return await self._ask(exchange, match, rules, body)
        except TimeoutError:
            if exchange.answer is not None:
                exchange.answer.drop()
                exchange.answer = None
            return _SWAPPING

    def _nothing(self) -> KeptAnswer | None:
        return KeptAnswer(own.headers(own.JSON, _NOTHING), _NOTHING, 0.0, 0) if self._in_memory.empty else None

    async def _viewed(
        self, exchange: Exchange, match: Match, view: View, answer: Answer, key: Key, epoch: int
    ) -> Refused | None:
        """For one who is not shown an answer as it comes: it is needed whole before anything can be sent."""
        one = match.route.listed is Listed.SHOW
        if one and answer.status != 200:
            await relay(exchange, answer, None, self._clock.now())
            return None
        data = await answer.whole(_LARGEST_SHOWN if one else LARGEST)
        if data is None or answer.status != 200:
            answer.drop()
            return Refused(
                502, Reason.BROKEN, f"{ANY_TITLE} did not tell of its models. Please try again.", retry_after=5
            )
        kept = self._kept(answer, data, epoch)
        self._lists.keep(key, kept)
        return await self._show(exchange, view, kept)

    def _kept(self, answer: Answer, data: bytes, epoch: int) -> KeptAnswer:
        kind = [(name, value) for name, value in answer.headers if name == b"content-type"]
        headers: Headers = [*kind, (b"content-length", b"%d" % len(data))]
        return KeptAnswer(headers, data, self._clock.now(), epoch)

    async def _tell(self, exchange: Exchange, view: View | None, kept: KeptAnswer) -> Refused | None:
        self._tally.listed_hits += 1
        return await self._show(exchange, view, kept)

    async def _show(self, exchange: Exchange, view: View | None, kept: KeptAnswer) -> Refused | None:
        headers, data = kept.headers, kept.body
        if view is not None:
            seen = view(data)
            if seen is None:
                return unknown(exchange.model)
            data = seen
            headers = [(b"content-type", own.JSON), (b"content-length", b"%d" % len(data))]
        await exchange.reply(200, headers, data, self._clock.now())
        return None

    def _away(self, listed: Listed) -> KeptAnswer | None:
        if listed is not Listed.VERSION:
            return None
        data = own.version()
        return KeptAnswer(own.headers(own.JSON, data), data, 0.0, 0)

    async def _counted(self, exchange: Exchange, body: bytes) -> Refused | None:
        data = await self._aside.do(len(body), lambda: own.count_tokens(body))
        if isinstance(data, Refused):
            return data
        await exchange.reply(200, own.headers(own.JSON, data), data, self._clock.now())
        return None

    # --- management ---

    async def _manage(self, exchange: Exchange, match: Match, rules: Rules) -> Refused | None:
        """Never sent twice, so the engine must be there before the body is read."""
        waited = await self._asking.wait(rules.bounds.hold)
        if waited is not None:
            return waited
        if match.route.body is Body.STREAMED:
            return await self._blob(exchange, match, rules)
        body = await self._body(exchange, match, rules)
        if isinstance(body, Refused):
            return body
        names = await self._judged(exchange, match, body, _AS_WRITTEN)
        return names if isinstance(names, Refused) else await self._changed(exchange, match, rules, names.body)

    async def _changed(self, exchange: Exchange, match: Match, rules: Rules, body: bytes) -> Refused | None:
        answer = await self._asking.ask(exchange, outgoing(exchange, match), body, rules.bounds.hold)
        if isinstance(answer, Refused):
            return answer
        self._forget()
        try:
            await relay(exchange, answer, match.route.ending, self._clock.now())
        finally:
            self._forget()
        return None

    def _forget(self) -> None:
        self._lists.changed()
        self._names.changed()

    async def _blob(self, exchange: Exchange, match: Match, rules: Rules) -> Refused | None:
        if not is_digest(match.parameter):
            return Refused(400, Reason.BAD, "The digest must be sha256: and 64 hexadecimal digits.")
        if exchange.found.get(b"content-encoding", b"identity") != b"identity":
            return Refused(415, Reason.ENCODING, "A blob is sent as it is, without a Content-Encoding.")
        if (refused := bodies.coded(exchange)) is not None:
            return refused
        if exchange.method == "HEAD":
            exchange.read = True
            answer = await self._asking.ask(exchange, outgoing(exchange, match), b"", rules.bounds.hold)
        else:
            answer = await self._uploaded(exchange, match, rules.bounds.hold)
        if isinstance(answer, Refused):
            return answer
        await relay(exchange, answer, None, self._clock.now())
        return None

    async def _uploaded(self, exchange: Exchange, match: Match, hold: float) -> Answer | Refused:
        declared = exchange.found.get(b"content-length")
        length = b"transfer-encoding: chunked\r\n" if declared is None else b"content-length: %b\r\n" % declared
        return await self._asking.send_on(
            exchange,
            outgoing(exchange, match),
            length,
            hold,
            lambda connection, answer, head: upload(exchange, connection, answer, head),
        )

    # --- ours ---

    async def _manage_models(self, exchange: Exchange, match: Match, rules: Rules) -> Refused | None:
        """The management API answers; it is told who asks, and gets what is asked at its own path."""
        body = b""
        if exchange.method == "POST":
            read = await bodies.read(exchange, _LONGEST_ORDER, self._room, rules.bounds.hold)
            if isinstance(read, Refused):
                return read
            body = read
        exchange.scope["path"], exchange.scope["raw_path"] = match.target, match.target.encode()
        await exchange.hand_over(self._api, self._clock.now, body)
        return None

    async def page(self, exchange: Exchange, rules: Rules) -> Refused | None:
        """A page for people. What is sent to one is taken in before, as patiently as what is sent to the API."""
        looks = exchange.method in ("GET", "HEAD")
        body = b"" if looks else await bodies.read(exchange, _LONGEST_FORM, self._room, rules.bounds.hold)
        if isinstance(body, Refused):
            return body
        await exchange.hand_over(self._pages, self._clock.now, body)
        return None

    async def _open(self, exchange: Exchange, match: Match, rules: Rules) -> None:
        status, data = 200, own.RUNNING
        if match.target == "/healthz":
            data = b"ok"
        elif match.target == "/readyz":
            why = self._unready()
            status, data = (503, why.encode()) if why else (200, b"ready")
        await exchange.reply(status, own.headers(own.TEXT, data), data, self._clock.now())

    async def _benign(self, exchange: Exchange, match: Match, rules: Rules) -> None:
        status, data = own.benign(match.target)
        await exchange.reply(status, own.headers(own.JSON, data), data, self._clock.now())

    async def _body(self, exchange: Exchange, match: Match, rules: Rules) -> bytes | Refused:
        packed = bodies.packing(exchange.found.get(b"content-encoding", b""))
        if isinstance(packed, Refused):
            return packed
        limit = rules.decoded if match.route.body is Body.JSON else rules.body
        body = await bodies.read(exchange, rules.body, self._room, rules.bounds.hold, limit if packed else 0)
        if not packed or isinstance(body, Refused):
            return body
        return await bodies.unfolded(exchange, body, packed, limit, self._room, rules.bounds.hold)


def _named(match: Match, body: bytes, meanings: Meanings) -> tuple[Peeked, Adjusted | Refused] | Refused:
    """The models that a body or a path names, and how it goes on. Takes a while for a body that is long."""
    asked = Peeked({"model": match.parameter}) if match.parameter else peek(body, "", match.route.names)
    return asked if isinstance(asked, Refused) else (asked, named(body, asked, meanings))


def outgoing(exchange: Exchange, match: Match) -> Outgoing:
    """A request as it goes upstream where no model answers: at the pace of its client."""
    method = "GET" if exchange.method == "HEAD" and match.route.listed else exchange.method
    return Outgoing(
        match.target, exchange.found, exchange.id, method, exchange.query, match.route.replayable, paced=True
    )
