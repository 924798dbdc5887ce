"""How each kind of route is treated, once its request has passed the doors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from controller.clock import Clock
from controller.proxy import bodies, own
from controller.proxy.aftermath import Aftermath
from controller.proxy.asking import Asking
from controller.proxy.dialects import Headers, Reason, Refused
from controller.proxy.exchange import App, Exchange
from controller.proxy.fillers import Rhythm
from controller.proxy.inference import Inference
from controller.proxy.lists import LARGEST, Kept, Key, Lists
from controller.proxy.peek import Peeked, peek, texts
from controller.proxy.relay import relay
from controller.proxy.room import Room
from controller.proxy.routes import Body, Kind, Listed, Match, is_digest, is_name, label
from controller.proxy.rules import Rules
from controller.proxy.sight import SHOW, narrow, narrowed, unknown
from controller.proxy.tally import Tally
from controller.proxy.turns import InMemory, Names, Turns
from controller.proxy.upstream import Answer

Treatment = Callable[[Exchange, Match, Rules], Awaitable["Refused | None"]]

_LARGEST_SHOWN = 64 * 2**20  # bytes of an answer that a guest is told a part of
_COPILOT = b"GitHubCopilotChat/"
_NAMING = ("model", "name", "source", "destination", "from")
"""Members that name models, of all routes together."""
_LONGEST_ORDER = 64 * 1024  # bytes
_NOTHING = b'{"models":[]}'
_SWAPPING = Refused(
    503, Reason.HELD_OUT, "Models are being loaded and unloaded. Please ask again in a moment.", retry_after=5
)


class Treatments:
    """One method for each kind; each answers the client, or returns why not."""

    def __init__(
        self,
        asking: Asking,
        turns: Turns,
        names: Names,
        in_memory: InMemory,
        lists: Lists,
        clock: Clock,
        tally: Tally,
        rhythm: Rhythm,
        *,
        api: App,
        unready: Callable[[], str],
        aftermath: Aftermath,
    ) -> None:
        self._asking = asking
        self._names = names
        self._in_memory = in_memory
        self._swap_limit = rhythm.swap
        self._lists = lists
        self._clock = clock
        self._tally = tally
        self._api = api
        self._unready = unready
        self._room = Room()
        infer = Inference(
            asking,
            turns,
            names,
            lists,
            clock,
            tally,
            rhythm,
            body=self._body,
            leave_room=self.leave_room,
            aftermath=aftermath,
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
        if exchange.room:
            self._room.give(exchange.room)
            exchange.room = 0

    # --- metadata ---

    async def _metadata(self, exchange: Exchange, match: Match, rules: Rules) -> Refused | None:
        exchange.read = match.route.body is Body.NONE
        body = b"" if exchange.read else await self._body(exchange, match, rules)
        if isinstance(body, Refused):
            return body
        if match.route.listed is None:
            return await self._counted(exchange, body)
        if body:
            asked = peek(body)
            if isinstance(asked, Refused):
                return asked
            exchange.model = label(asked.model)
        hidden = self._hidden(exchange, match, body)
        if hidden is not None:
            return hidden
        return await self._listed(exchange, match, rules, match.route.listed, body)

    async def _listed(
        self, exchange: Exchange, match: Match, rules: Rules, listed: Listed, body: bytes
    ) -> Refused | None:
        key: Key = (match.target, body, exchange.found.get(b"user-agent", b"").startswith(_COPILOT))
        kept = self._lists.fresh(key, listed, self._clock.now())
        if kept is None and not self._asking.ready:
            kept = self._lists.stale(key) or self._away(listed)
        if kept is None and listed is Listed.PS and self._in_memory.moving:
            kept = self._lists.stale(key) or self._nothing()
        if kept is not None:
            await self._tell(exchange, match, kept)
            return None
        epoch = self._lists.epoch(listed)
        ask = self._ask_memory if listed is Listed.PS else self._ask
        answer = await ask(exchange, match, rules, body)
        if isinstance(answer, Refused):
            kept = self._lists.stale(key) or self._away(listed)
            if kept is None:
                return answer
            await self._tell(exchange, match, kept)
            return None
        if narrowed(match.route.path, exchange.who):
            return await self._narrowed(exchange, match, answer, key, epoch)
        pieces: list[bytes] = []
        fits = answer.length is None or answer.length <= LARGEST
        await relay(exchange, answer, None, self._clock.now(), pieces if fits else None)
        if answer.status == 200 and fits and not answer.broken:
            self._lists.keep(key, self._kept(answer, b"".join(pieces), epoch))
        return None

    async def _ask(self, exchange: Exchange, match: Match, rules: Rules, body: bytes) -> Answer | Refused:
        return await self._asking.ask(exchange, match, body, rules.hold, 0)

    async def _ask_memory(self, exchange: Exchange, match: Match, rules: Rules, body: bytes) -> Answer | Refused:
        """Nothing is loaded or unloaded until the answer has a head, since Ollama has done its reading then: it goes
        through a map without a lock, and dies of "concurrent map iteration and map write" (v0.24.0, routes.go).
        """
        try:
            async with asyncio.timeout(self._swap_limit), self._in_memory.alone:
                return await self._ask(exchange, match, rules, body)
        except TimeoutError:
            if exchange.answer is not None:
                exchange.answer.drop()
                exchange.answer = None
            return _SWAPPING

    def _nothing(self) -> Kept | None:
        return Kept(own.headers(own.JSON, _NOTHING), _NOTHING, 0.0, 0) if self._in_memory.empty else None

    async def _narrowed(self, exchange: Exchange, match: Match, answer: Answer, key: Key, epoch: int) -> Refused | None:
        """For one who is shown a part of an answer: it is needed whole before anything can be sent."""
        if match.route.path == SHOW and answer.status != 200:
            await relay(exchange, answer, None, self._clock.now())
            return None
        data = await answer.whole(_LARGEST_SHOWN if match.route.path == SHOW else LARGEST)
        if data is None or answer.status != 200:
            answer.drop()
            return Refused(502, Reason.BROKEN, "Ollama did not tell of its models. Please try again.", retry_after=5)
        kept = self._kept(answer, data, epoch)
        self._lists.keep(key, kept)
        await self._show(exchange, match, kept)
        return None

    def _kept(self, answer: Answer, data: bytes, epoch: int) -> Kept:
        kind = [(name, value) for name, value in answer.headers if name == b"content-type"]
        headers: Headers = [*kind, (b"content-length", b"%d" % len(data))]
        return Kept(headers, data, self._clock.now(), epoch)

    async def _tell(self, exchange: Exchange, match: Match, kept: Kept) -> None:
        self._tally.listed_hits += 1
        await self._show(exchange, match, kept)

    async def _show(self, exchange: Exchange, match: Match, kept: Kept) -> None:
        headers, data, who = kept.headers, kept.body, exchange.who
        if who is not None and narrowed(match.route.path, who):
            data = narrow(match.route.path, data, who)
            headers = [(b"content-type", own.JSON), (b"content-length", b"%d" % len(data))]
        await exchange.reply(200, headers, data, self._clock.now())

    def _hidden(self, exchange: Exchange, match: Match, body: bytes) -> Refused | None:
        """Whether one of the models a request names does not exist for its caller."""
        if exchange.who is None or not exchange.who.restricted:
            return None
        named = list(texts(body, _NAMING).values()) if body else []
        for name in (*named, match.parameter):
            if name and not exchange.who.sees(name):
                return unknown(name)
        return None

    def _away(self, listed: Listed) -> Kept | None:
        if listed is not Listed.VERSION:
            return None
        data = own.version()
        return Kept(own.headers(own.JSON, data), data, 0.0, 0)

    async def _counted(self, exchange: Exchange, body: bytes) -> Refused | None:
        data = own.count_tokens(body)
        if isinstance(data, Refused):
            return data
        await exchange.reply(200, own.headers(own.JSON, data), data, self._clock.now())
        return None

    # --- management ---

    async def _manage(self, exchange: Exchange, match: Match, rules: Rules) -> Refused | None:
        """Never sent twice, so Ollama must be there before the body is read."""
        waited = await self._asking.wait(rules.hold)
        if waited is not None:
            return waited
        if match.route.body is Body.STREAMED:
            return await self._blob(exchange, match, rules)
        body = await self._body(exchange, match, rules)
        if isinstance(body, Refused):
            return body
        asked = peek(body)
        refused = asked if isinstance(asked, Refused) else self._named(exchange, match, asked, body)
        if refused is not None:
            return refused
        return await self._changed(exchange, match, rules, body)

    def _named(self, exchange: Exchange, match: Match, asked: Peeked, body: bytes) -> Refused | None:
        names = texts(body, match.route.names)
        exchange.model = label(asked.model or names.get("source", ""))
        for member, name in names.items():
            if name and not is_name(name):
                return Refused(400, Reason.BAD, f"`{member}` is not the name of a model.")
        return self._hidden(exchange, match, body)

    async def _changed(self, exchange: Exchange, match: Match, rules: Rules, body: bytes) -> Refused | None:
        answer = await self._asking.ask(exchange, match, body, rules.hold, 0)
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
            answer = await self._asking.ask(exchange, match, b"", rules.hold, 0)
        else:
            answer = await self._asking.send_on(exchange, match, rules.hold)
        if isinstance(answer, Refused):
            return answer
        await relay(exchange, answer, None, self._clock.now())
        return None

    # --- ours ---

    async def _manage_models(self, exchange: Exchange, match: Match, rules: Rules) -> Refused | None:
        """The management API answers; it is told who asks, and gets what is asked at its own path."""
        body = b""
        if exchange.method == "POST":
            read = await bodies.read(exchange, _LONGEST_ORDER, self._room, rules.hold)
            if isinstance(read, Refused):
                return read
            body = read
        exchange.scope["path"], exchange.scope["raw_path"] = match.target, match.target.encode()
        await exchange.hand_over(self._api, self._clock.now, body)
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
        encoding = exchange.found.get(b"content-encoding")
        body = await bodies.read(exchange, rules.body, self._room, rules.hold)
        if encoding is None or isinstance(body, Refused):
            return body
        if match.route.body is not Body.JSON:
            return await bodies.decoded(body, encoding, rules.body)
        return await bodies.decoded(body, encoding, rules.decoded)
