"""A request that a model answers: from its body to the last byte of its answer, by way of the line.

What waits here waits visibly, and what joins the line leaves it exactly once, whatever happens in between.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial

from controller.answering.poison import mark_of
from controller.answering.question import Question
from controller.answering.run import Run
from controller.answering.shared import Shared
from controller.answering.upstream import Answer
from controller.auth.access import Principal
from controller.dialect import Dialect, StreamEnding
from controller.engines.engine import FixedAtLoad
from controller.engines.runner import Runner
from controller.errors import OrderRefused
from controller.proxy import forms, own, refusals
from controller.proxy.adjust import Adjusted, adjust, no_name, renamed, renaming, told_header, without_value
from controller.proxy.aftermath import Aftermath, key_of
from controller.proxy.aside import Aside
from controller.proxy.callers import may_not_manage
from controller.proxy.dialects import compact
from controller.proxy.exchange import Exchange
from controller.proxy.fillers import Fillers, Manner, ending_of, granted_words, manner_of
from controller.proxy.lists import Lists
from controller.proxy.members import entries
from controller.proxy.peek import Peeked, peek
from controller.proxy.relay import relay
from controller.proxy.room import SMALL
from controller.proxy.routes import Body, Match, label
from controller.proxy.rules import Rules
from controller.proxy.sight import unknown
from controller.refusal import Reason, Refused

_WIDEST = 256  # slots; no runner has as many

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
        shared: Shared,
        lists: Lists,
        *,
        body: ReadBody,
        leave_room: Callable[[Exchange], None],
        aftermath: Aftermath,
        aside: Aside,
    ) -> None:
        self._shared = shared
        self._names = shared.names
        self._clock = shared.clock
        self._lists = lists
        self._body = body
        self._leave_room = leave_room
        self._aftermath = aftermath
        self._aside = aside

    async def __call__(self, exchange: Exchange, match: Match, rules: Rules) -> Refused | None:
        """Answer the client, or return why not. Raises ClientGone."""
        question = await self._question(exchange, match, rules)
        if not isinstance(question, Question):
            return question
        return await self._answer(exchange, match, rules, question)

    # --- what is asked ---

    async def _question(self, exchange: Exchange, match: Match, rules: Rules) -> Question | Refused | None:
        """What a request asks, or why it may not. None: it wanted a model unloaded, and has been told that it is."""
        who = exchange.who
        assert who is not None, "The doors let nobody in who is nobody."
        read = await self._body(exchange, match, rules)
        if isinstance(read, Refused):
            return read
        manages, fixed = _manages(exchange, who, rules), self._shared.asking.engine.fixed
        judge = partial(_judged, exchange, match, rules, read, fixed, manages=manages)
        judged = await self._aside.do(len(read), judge)
        if isinstance(judged, Refused):
            return judged
        asked, inputs, adjusted = judged
        if isinstance(adjusted, Refused):
            exchange.model = "" if asked is None else label(asked.model)
            return adjusted
        exchange.model = label(adjusted.model)
        stops = asked is not None and asked.unloads and match.route.dialect is Dialect.NATIVE
        refused = _unseen(who, asked, adjusted.model) or (_no_stopping(who) if stops and not manages else None)
        if refused is not None:
            return refused
        if adjusted.told:
            told = [without_value(each) for each in adjusted.told] if who.guest else adjusted.told
            exchange.extra.append((b"x-seadragon-adjusted", told_header(told)))
        runner: Runner | Refused | None = self._names.known(adjusted.model) if adjusted.model else None
        if runner is None and adjusted.model:
            runner = await self._shared.runner_of(adjusted.model, rules.bounds.hold)
        if isinstance(runner, Refused):
            return runner
        if runner is not None:
            if asked is not None and not asked.empty and match.route.embeds and self._only_chats(runner):
                return refusals.no_embeddings(adjusted.model, self._embedders(who))
            if stops:
                return await self._unload(exchange, match, runner, adjusted.model)
        stream = None if asked is None else asked.stream
        return self._put(exchange, match, rules, who, adjusted, runner, ending_of(match.route, stream), inputs)

    def _put(
        self,
        exchange: Exchange,
        match: Match,
        rules: Rules,
        who: Principal,
        adjusted: Adjusted,
        runner: Runner | None,
        ending: StreamEnding | None,
        inputs: int,
    ) -> Question:
        """All that was found out, as a question for a run."""
        route = match.route
        return Question(
            match.target,
            exchange.found,
            exchange.id,
            exchange.method,
            exchange.query,
            route.replayable,
            who=who,
            model=adjusted.model,
            runner=runner,
            body=adjusted.body,
            dialect=route.dialect,
            route=route.path,
            bounds=rules.bounds,
            rename=partial(self._renamed, exchange, match),
            ending=ending,
            width=min(_WIDEST, inputs),
            keep=adjusted.keep,
            mark=adjusted.mark,
        )

    # --- names ---

    def _only_chats(self, runner: Runner) -> bool:
        """Whether it would be loaded for embeddings only to say that it gives none."""
        known = bool(runner.facts.capabilities) and not runner.facts.gives_embeddings
        return known and not self._shared.asks(runner).engine.chats_embed

    def _embedders(self, who: Principal) -> list[str]:
        return [name for name in self._names.embedders() if who.sees(name)]

    async def _unload(self, exchange: Exchange, match: Match, runner: Runner, model: str) -> Refused | None:
        """An order to let a model go, by one who may."""
        try:
            await self._shared.turns.unload(runner)
        except OrderRefused as refused:
            if refused.kind != "conflict":  # it is not loaded: that is well done
                return refusals.order_refused(refused)
        finally:
            self._lists.moved()
        data = _unloaded(match.route.path, model, self._clock.wall())
        await exchange.reply(200, own.headers(own.JSON, data), data, self._clock.now())
        return None

    async def _renamed(
        self, exchange: Exchange, match: Match, body: bytes, model: str
    ) -> tuple[bytes, bytes] | Refused:
        """The operator has given another model to who waited for this one: the body asks for it too. With its mark."""
        exchange.model = label(model)
        if not exchange.status:
            exchange.extra.append((b"x-seadragon-adjusted", told_header([f"model={label(model)} (switched)"])))
        return await self._aside.do(len(body), lambda: _renamed(exchange, match, body, model))

    # --- its answer ---

    async def _answer(self, exchange: Exchange, match: Match, rules: Rules, question: Question) -> Refused | None:
        owed = self._owed(exchange, question)
        if owed is not None:
            return owed
        manner = manner_of(match.route, question.ending)
        document, body, mark = manner is Manner.DOCUMENT, question.body, question.mark
        rhythm = self._shared.rhythm
        grace = rules.grace(exchange.listener, proxied=bool(exchange.proxied)) if document else rhythm.grace
        fillers = Fillers(exchange, manner, question.ending, grace, rhythm.every)
        run = Run(self._shared, exchange, question, fillers)
        try:
            answer = await run.head()
            if not isinstance(answer, Answer):
                return answer
            if exchange.status and document:
                exchange.asked = key_of(question.who, question.route, exchange.query, mark or mark_of(body))
            body = b""  # nobody needs it again, and the answer may take minutes
            self._leave_room(exchange)
            waited = run.seat.waited_long() if run.seat is not None and not exchange.status else None
            if waited is not None:
                exchange.extra.append((b"x-seadragon-queue", granted_words(*waited)))
            await relay(exchange, answer, match.route.ending, self._clock.now(), run=run)
        finally:
            if exchange.status and document and body:
                exchange.asked = key_of(question.who, question.route, exchange.query, mark or mark_of(body))
            run.close()
        return None

    def _owed(self, exchange: Exchange, question: Question) -> Refused | None:
        """How an earlier try of the same ended whose client could not be told."""
        now = self._clock.now()
        if question.runner is None or not self._aftermath.any(now):
            return None
        question.mark = question.mark or mark_of(question.body)
        return self._aftermath.owed(key_of(question.who, question.route, exchange.query, question.mark), now)


def _judged(
    exchange: Exchange, match: Match, rules: Rules, body: bytes, fixed: FixedAtLoad, *, manages: bool
) -> tuple[Peeked | None, int, Adjusted | Refused] | Refused:
    """What is asked, of how many texts at a time, and how it goes on. Takes a while for a body that is long."""
    asked = peek(body, match.route.subject, match.route.names) if match.route.body is Body.JSON else None
    if isinstance(asked, Refused):
        return asked
    inputs = _inputs(asked, match, rules.inputs)
    if isinstance(inputs, Refused):
        return inputs
    adjusted = _adjusted(exchange, match, rules, body, asked, fixed, manages=manages)
    if isinstance(adjusted, Adjusted) and len(body) > SMALL:
        adjusted.mark = mark_of(adjusted.body)
    return asked, inputs, adjusted


def _inputs(asked: Peeked | None, match: Match, most: int) -> int | Refused:
    """How many texts it wants embeddings of, and so how many slots it could use: an engine may work on several of one
    request at a time. 400 for more than `most`: it holds them all in memory, each with what becomes of it.
    """
    if asked is None or not match.route.batched:
        return 1
    found = entries(asked.top.value(match.route.subject) or b"", most)
    return refusals.too_many_inputs(most) if found is None else max(1, found)


def _manages(exchange: Exchange, who: Principal, rules: Rules) -> bool:
    """Whether who asks may say what stays loaded, from where they ask it."""
    return who.manage and (exchange.listener != "tunnel" or rules.admin_outside)


def _unseen(who: Principal, asked: Peeked | None, model: str) -> Refused | None:
    """To who asks for a model that does not exist for them: as for one that nobody knows."""
    if not model or who.sees(model):
        return None
    if asked is None:
        return _NO_SUCH
    return unknown(asked.model) if asked.model else _NO_DEFAULT


def _no_stopping(who: Principal) -> Refused:
    """To who may not unload a model: they may not at all, or not from outside."""
    return refusals.SURFACE if who.manage else may_not_manage(who)


def _adjusted(
    exchange: Exchange,
    match: Match,
    rules: Rules,
    body: bytes,
    asked: Peeked | None,
    fixed: FixedAtLoad,
    *,
    manages: bool,
) -> Adjusted | Refused:
    if asked is None:
        return _adjusted_form(exchange, rules, body)
    default = "" if exchange.who is None else exchange.who.default
    return adjust(body, asked, match.route, rules.clamps, fixed, default=default, manage=manages)


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
    """What is said natively when a model has been let go."""
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
