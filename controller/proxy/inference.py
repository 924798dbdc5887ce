"""A request that a model answers: from its body to the last byte of its answer, by way of the line.

What waits here waits visibly, and what joins the line leaves it exactly once, whatever happens in between.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from controller.answering.poison import KNOWN, Poison, guilty
from controller.answering.turns import Names, Problem, Turns
from controller.answering.upstream import Answer, Connection
from controller.auth.access import Principal
from controller.clock import Clock
from controller.dialect import Dialect
from controller.engines.ollama.inside import Inside
from controller.engines.runner import Runner
from controller.errors import OrderRefused, Unreachable
from controller.proxy import forms, own, refusals
from controller.proxy.adjust import Adjusted, Keep, adjust, no_name, renamed, renaming, told_header, without_value
from controller.proxy.aftermath import Aftermath, key_of, mark_of
from controller.proxy.aside import Aside
from controller.proxy.asking import ATTEMPTS, KNOCK, PAUSES, Asking, lost, problem
from controller.proxy.callers import may_not_manage
from controller.proxy.dialects import compact
from controller.proxy.exchange import Exchange
from controller.proxy.fillers import Manner, Rhythm, manner_of
from controller.proxy.forwards import Forwards
from controller.proxy.lists import Lists
from controller.proxy.members import entries
from controller.proxy.peek import Peeked, peek
from controller.proxy.relay import relay
from controller.proxy.room import SMALL
from controller.proxy.routes import Body, Match, label
from controller.proxy.rules import Rules
from controller.proxy.seat import Seat
from controller.proxy.sight import unknown
from controller.proxy.tally import Tally
from controller.refusal import Reason, Refused
from controller.scheduling.ticket import End, State, Turned, Wish

_WIDEST = 256  # slots; no runner has as many
T = TypeVar("T")

ReadBody = Callable[[Exchange, Match, Rules], Awaitable["bytes | Refused"]]
"""Takes a request's body in, out of its compression."""


_NO_SUCH = Refused(404, Reason.UNKNOWN, "There is no such model.")
_NO_DEFAULT = Refused(
    400, Reason.BAD, "This request names no model, and there is none for you by default. Say which one."
)
"""Also where there is one that is not for its caller: its name is not told."""


class Inference:
    """The treatment of every route that a model answers."""

    def __init__(
        self,
        asking: Asking,
        turns: Turns,
        names: Names,
        lists: Lists,
        clock: Clock,
        tally: Tally,
        rhythm: Rhythm,
        *,
        body: ReadBody,
        leave_room: Callable[[Exchange], None],
        aftermath: Aftermath,
        aside: Aside,
    ) -> None:
        self._asking = asking
        self._turns = turns
        self._names = names
        self._lists = lists
        self._clock = clock
        self._tally = tally
        self._rhythm = rhythm
        self._body = body
        self._leave_room = leave_room
        self._poison = Poison()
        self._forwards = Forwards()
        self._aftermath = aftermath
        self._aside = aside

    async def __call__(self, exchange: Exchange, match: Match, rules: Rules) -> Refused | None:
        """Answer the client, or return why not. Raises ClientGone."""
        read = await self._body(exchange, match, rules)
        if isinstance(read, Refused):
            return read
        manages = _manages(exchange, rules)
        judged = await self._judge(exchange, match, rules, read, manages=manages)
        if isinstance(judged, Refused):
            return judged
        asked, inputs, adjusted = judged
        if isinstance(adjusted, Refused):
            exchange.model = "" if asked is None else label(asked.model)
            return adjusted
        del read
        exchange.model = label(adjusted.model)
        if adjusted.model and exchange.who is not None and not exchange.who.sees(adjusted.model):
            if asked is None:
                return _NO_SUCH
            return unknown(asked.model) if asked.model else _NO_DEFAULT
        stops = asked is not None and asked.unloads and match.route.dialect is Dialect.NATIVE
        if stops and not manages:
            return _no_stopping(exchange.who)
        if adjusted.told:
            guest = exchange.who is not None and exchange.who.guest
            told = [without_value(each) for each in adjusted.told] if guest else adjusted.told
            exchange.extra.append((b"x-seadragon-adjusted", told_header(told)))
        runner = self._names.known(adjusted.model) if adjusted.model else None
        if runner is None:
            found = await self._look_up(adjusted.model, rules.hold) if adjusted.model else None
            if isinstance(found, Refused):
                return found
            runner = found
        if runner is None:
            return await self._forward(exchange, match, rules, adjusted.body)
        if asked is not None and not asked.empty and match.route.embeds and self._only_chats(runner):
            return refusals.no_embeddings(adjusted.model, self._embedders(exchange.who))
        if stops:
            return await self._unload(exchange, match, runner, adjusted.model)
        return await self._serve(exchange, match, rules, adjusted, runner, asked, min(_WIDEST, inputs))

    async def _judge(
        self, exchange: Exchange, match: Match, rules: Rules, body: bytes, *, manages: bool
    ) -> tuple[Peeked | None, int, Adjusted | Refused] | Refused:
        inside = self._asking.inside
        return await self._aside.do(len(body), lambda: _judged(exchange, match, rules, body, inside, manages=manages))

    # --- names ---

    def _only_chats(self, runner: Runner) -> bool:
        """Whether it would be loaded for embeddings only to say that it gives none."""
        known = bool(runner.facts.capabilities) and not runner.facts.gives_embeddings
        return known and not self._asking.inside.chats_embed

    def _embedders(self, who: Principal | None) -> list[str]:
        return [name for name in self._names.embedders() if who is None or who.sees(name)]

    async def _look_up(self, model: str, hold: float) -> Runner | Refused | None:
        """Which runner a name means that is not known yet. Only Ollama can say, so it is waited for."""
        deadline = self._clock.now() + hold
        while True:
            refused = await self._asking.wait(max(0.0, deadline - self._clock.now()))
            if refused is not None:
                return refused
            try:
                return await self._names.look_up(model)
            except Unreachable:
                if self._clock.now() >= deadline:
                    return self._asking.held_out(hold)
                await self._clock.sleep(KNOCK)

    async def _forward(self, exchange: Exchange, match: Match, rules: Rules, body: bytes) -> Refused | None:
        """Nobody knows such a model: for Ollama to say, in its own words, without a place in the line."""
        assert exchange.who is not None, "The doors let nobody in who is nobody."
        with self._forwards.place(exchange.who.identity) as there:
            if not there:
                return refusals.TOO_MANY_FORWARDED
            answer = await self._asking.ask(exchange, match, body, rules.hold, rules.unread)
            if isinstance(answer, Refused):
                return answer
            await relay(exchange, answer, match.route.ending, self._clock.now())
        return None

    async def _unload(self, exchange: Exchange, match: Match, runner: Runner, model: str) -> Refused | None:
        """`ollama stop`, by one who may."""
        try:
            await self._turns.unload(runner)
        except OrderRefused as refused:
            if refused.kind != "conflict":  # it is not loaded: Ollama calls that well done
                return refusals.order_refused(refused)
        finally:
            self._lists.moved()
        data = _unloaded(match.route.path, model, self._clock.wall())
        await exchange.reply(200, own.headers(own.JSON, data), data, self._clock.now())
        return None

    # --- the line ---

    async def _serve(
        self,
        exchange: Exchange,
        match: Match,
        rules: Rules,
        adjusted: Adjusted,
        runner: Runner,
        asked: Peeked | None,
        width: int,
    ) -> Refused | None:
        who, body, mark = exchange.who, adjusted.body, adjusted.mark
        assert who is not None, "The doors let nobody in who is nobody."
        now = self._clock.now()
        if self._aftermath.any(now) or self._poison.any():
            mark = mark or mark_of(body)
        owed = self._aftermath.owed(key_of(who, match.route.path, exchange.query, mark), now) if mark else None
        if owed is not None:
            return owed
        level = self._poison.level(mark, now)
        if guilty(level, runner.slots):
            return refusals.POISONED
        times = rules.times.of(who.lane, adjusted.model)
        wish = Wish(
            who.identity, who.lane, adjusted.model, runner, len(body), width, times.wait, rules.caps(who), who.label
        )
        ticket = self._turns.enter(wish)
        if isinstance(ticket, Turned):
            return refusals.turned_away(ticket)
        manner = manner_of(match.route, None if asked is None else asked.stream)
        document = manner is Manner.DOCUMENT
        grace = rules.grace(exchange.listener, proxied=bool(exchange.proxied)) if document else None
        ending = match.route.ending
        seat = exchange.seat = Seat(exchange, self._turns, ticket, times, self._rhythm, manner, ending, grace)
        self._lists.moved()
        try:
            if adjusted.keep is not None:
                (self._turns.stay_after if adjusted.keep is Keep.STAY else self._turns.unload_after)(ticket)
            answer = await self._answer(seat, match, rules, body, mark, level)
            if answer is None:  # its model has been deleted meanwhile
                seat.leave()
                return await self._forward(exchange, match, rules, body)
            if isinstance(answer, Refused):
                return answer
            if exchange.status and document:
                exchange.asked = key_of(who, match.route.path, exchange.query, mark or mark_of(body))
            body = b""  # nobody needs it again, and the answer may take minutes
            del adjusted
            self._leave_room(exchange)
            seat.tell_wait()
            seat.finish_with(answer, self._clock.now())
            await self._relayed(exchange, match, answer)
        finally:
            if exchange.status and document and body:
                exchange.asked = key_of(who, match.route.path, exchange.query, mark or mark_of(body))
            seat.leave()
            self._lists.moved()
        return None

    async def _relayed(self, exchange: Exchange, match: Match, answer: Answer) -> None:
        self._tally.streams += 1
        try:
            await relay(exchange, answer, match.route.ending, self._clock.now())
        finally:
            self._tally.streams -= 1

    async def _answer(
        self, seat: Seat, match: Match, rules: Rules, body: bytes, mark: bytes, level: int
    ) -> Answer | Refused | None:
        """Wait for a turn, ask, and once more in the next turn if that came to nothing. None: forward it."""
        exchange, ticket, model = seat.exchange, seat.ticket, seat.ticket.model
        while True:
            at_once = self._asking.pooled() if ticket.state is State.GRANTED else None
            connection = at_once or await self._connected(seat, rules.hold)
            if not isinstance(connection, Connection):
                return connection
            if ticket.model != model:
                model = ticket.model
                switched = await self._switched(exchange, match, body, model)
                if isinstance(switched, Refused):
                    connection.abort()
                    return switched
                body, mark = switched
            answer = self._asking.send(exchange, match, body, connection, rules.unread, seat.usage)
            failed = await self._head(seat, answer)
            if failed is None:
                if self._poison.any():
                    self._poison.answered(mark or mark_of(body))
                return answer
            if failed == "died":
                level += 1
                self._poison.crashed(mark or mark_of(body), level, self._clock.now())
            if not match.route.replayable or exchange.attempts >= ATTEMPTS or level >= KNOWN:
                self._turns.failed(ticket, failed)
                return answer if answer.status else lost(exchange.attempts)
            exchange.answer = None
            answer.close()
            seat.usage.forget()
            self._tally.replays += 1
            self._turns.back(ticket, failed)
            await self._clock.sleep(PAUSES[failed])

    async def _switched(
        self, exchange: Exchange, match: Match, body: bytes, model: str
    ) -> tuple[bytes, bytes] | Refused:
        """The operator has given another model to who waited for this one: the body asks for it too. With its mark."""
        if exchange.who is not None and not exchange.who.sees(model):
            return refusals.SWITCHED_UNSEEN
        exchange.model = label(model)
        if not exchange.status:
            exchange.extra.append((b"x-seadragon-adjusted", told_header([f"model={label(model)} (switched)"])))
        return await self._aside.do(len(body), lambda: _renamed(exchange, match, body, model))

    async def _connected(self, seat: Seat, hold: float) -> Connection | Refused | None:
        """A connection to go with a grant. Without one it goes back into the line: nothing was sent."""
        refused_since: float | None = None
        try:
            while True:
                if seat.ticket.state is not State.GRANTED:
                    await self._turn(seat, held=refused_since is not None)
                if seat.ticket.state is State.ENDED:
                    return None if seat.ticket.ended is End.UNKNOWN else self._ended(seat, hold)
                connection = self._asking.pooled() or await self._asking.knock()
                if connection is not None:
                    return connection
                if refused_since is None:
                    refused_since = self._clock.now()
                    self._tally.held += 1
                elif self._clock.now() - refused_since > hold:
                    return self._asking.held_out(hold)
                self._turns.back(seat.ticket, "lost")
                await self._clock.sleep(KNOCK)
        finally:
            if refused_since is not None:
                self._tally.held -= 1

    def _ended(self, seat: Seat, hold: float) -> Refused:
        if seat.ticket.ended is End.DOWN and not seat.ticket.words:
            return self._asking.down()
        if seat.ticket.ended is End.HELD_OUT and not seat.ticket.words:
            return self._asking.held_out(hold)
        return refusals.ended(seat.ticket, ready=self._asking.ready)

    async def _turn(self, seat: Seat, *, held: bool) -> None:
        """Wait until the ticket is granted or has ended, and let the client see that something happens.

        `held`: it counts already as one that waits for Ollama.
        """
        away = not held and not self._asking.ready
        self._tally.held += away
        try:
            while seat.ticket.state is State.WAITING:
                await self._turns.turn(seat.ticket)
                if seat.due:
                    await seat.fill(self._clock.now())
        finally:
            self._tally.held -= away

    # --- the answer's beginning ---

    async def _head(self, seat: Seat, answer: Answer) -> Problem | None:
        """Wait for upstream's first byte; what went wrong, if it did."""
        if self._turns.unproven(seat.ticket):
            idle = await self._doubted(seat, answer)
            if idle:
                return "idle"
        while not answer.status and not answer.complete:
            await answer.more()
            if seat.due:
                await seat.fill(self._clock.now())
        return None if 0 < answer.status < 500 else await problem(answer, self._asking.inside)

    async def _doubted(self, seat: Seat, answer: Answer) -> bool:
        """Wait for the head of an answer from a slot that may be lost; True when it was, and its runner is ended."""
        while not answer.status and not answer.complete:
            try:
                async with asyncio.timeout(self._rhythm.unproven):
                    await answer.more()
            except TimeoutError:
                if await self._visibly(seat, self._turns.suspect(seat.ticket)):
                    self._tally.suspected += 1
                    answer.drop()
                    return True
            if seat.due:
                await seat.fill(self._clock.now())
        return False

    async def _visibly(self, seat: Seat, work: Coroutine[Any, Any, T]) -> T:
        """Do something that may take a while, and let the client see meanwhile that something happens."""
        task = asyncio.ensure_future(work)
        try:
            while True:
                done, _ = await asyncio.wait((task,), timeout=self._rhythm.sweep)
                if done:
                    return task.result()
                if seat.due:
                    await seat.fill(self._clock.now())
        finally:
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


def _judged(
    exchange: Exchange, match: Match, rules: Rules, body: bytes, inside: Inside, *, manages: bool
) -> tuple[Peeked | None, int, Adjusted | Refused] | Refused:
    """What is asked, of how many texts at a time, and how it goes on. Takes a while for a body that is long."""
    asked = peek(body, match.route.subject, match.route.names) if match.route.body is Body.JSON else None
    if isinstance(asked, Refused):
        return asked
    inputs = _inputs(asked, match, rules.inputs)
    if isinstance(inputs, Refused):
        return inputs
    adjusted = _adjusted(exchange, match, rules, body, asked, inside, manages=manages)
    if isinstance(adjusted, Adjusted) and len(body) > SMALL:
        adjusted.mark = mark_of(adjusted.body)
    return asked, inputs, adjusted


def _inputs(asked: Peeked | None, match: Match, most: int) -> int | Refused:
    """How many texts it wants embeddings of, and so how many slots it could use: Ollama works on several of one request
    at a time. 400 for more than `most`: it holds them all in memory, each with what becomes of it.
    """
    if asked is None or not match.route.batched:
        return 1
    found = entries(asked.top.value(match.route.subject) or b"", most)
    return refusals.too_many_inputs(most) if found is None else max(1, found)


def _manages(exchange: Exchange, rules: Rules) -> bool:
    """Whether who asks may say what stays loaded, from where they ask it."""
    who = exchange.who
    return who is not None and who.manage and (exchange.listener != "tunnel" or rules.admin_outside)


def _no_stopping(who: Principal | None) -> Refused | None:
    """To who may not unload a model: they may not at all, or not from outside."""
    if who is None:
        return None
    return refusals.SURFACE if who.manage else may_not_manage(who)


def _adjusted(
    exchange: Exchange,
    match: Match,
    rules: Rules,
    body: bytes,
    asked: Peeked | None,
    inside: Inside,
    *,
    manages: bool,
) -> Adjusted | Refused:
    if asked is None:
        return _adjusted_form(exchange, rules, body)
    default = "" if exchange.who is None else exchange.who.default
    return adjust(body, asked, match.route, rules.clamps, inside, default=default, manage=manages)


def _adjusted_form(exchange: Exchange, rules: Rules, body: bytes) -> Adjusted | Refused:
    """A form is always written anew, and has no query: upstream would take that for fields."""
    form = forms.read(body, exchange.found.get(b"content-type", b""), exchange.query)
    if isinstance(form, Refused):
        return form
    meaning = rules.clamps.meanings.of(form.model)
    if meaning is None:
        return no_name("model")
    exchange.query = b""
    exchange.found[b"content-type"] = form.content_type
    told = renaming(form.model, meaning)
    return Adjusted(form.written(meaning.name.written), meaning.name.written, [told] if told else [])


def _renamed(exchange: Exchange, match: Match, body: bytes, model: str) -> tuple[bytes, bytes] | Refused:
    """`body` for another model, and its mark where it is long."""
    if match.route.body is Body.JSON:
        written = renamed(body, model)
    else:
        form = forms.read(body, exchange.found[b"content-type"], b"")
        if isinstance(form, Refused):
            return form
        exchange.found[b"content-type"] = form.content_type
        written = form.written(model)
    if isinstance(written, Refused):
        return written
    return written, mark_of(written) if len(written) > SMALL else b""


def _unloaded(path: str, model: str, wall: float) -> bytes:
    """What Ollama says when it has let a model go (server/routes.go)."""
    if path == "/api/embed":
        return compact({"model": model, "embeddings": []})
    if path == "/api/embeddings":
        return compact({"embedding": []})
    at = datetime.fromtimestamp(wall, UTC).isoformat().replace("+00:00", "Z")
    said: dict[str, object] = {"message": {"role": "assistant", "content": ""}}
    if path == "/api/generate":
        said = {"response": ""}
    return json.dumps(
        {"model": model, "created_at": at, **said, "done": True, "done_reason": "unload"}, separators=(",", ":")
    ).encode()
