"""Who asks in this process: what a chat's run or a job needs beside an answer."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from controller.answering.asker import Asker
from controller.answering.rhythm import Rhythm
from controller.answering.sink import Unwatched
from controller.config.listening import LimitSettings
from controller.refusal import Reason, Refused
from controller.scheduling.ticket import End
from tests.fakes.turns import runner
from tests.integration.callers import Answered, Heard, Watching, caller, listen, question
from tests.integration.plane import CHAT, Plane, config, fake_ollama, gateway, request_of, upstream
from tests.integration.test_gateway_flow import HEAD, NOBODY, SMALL, Reader, Writer, chunk
from tests.integration.test_gateway_line import STREAMS, silent, speaking
from tests.kit.until import until

QUICK = Rhythm(sweep=0.05)
CANCELLED = Refused(410, Reason.CANCELLED, "It was stopped.")
AT_ONCE = 0.5  # seconds from an order to a free slot


def begin(plane: Plane, heard: Heard, sink: Watching | None = None) -> asyncio.Task[Answered]:
    return asyncio.ensure_future(listen(plane, question(plane, "/api/chat", CHAT), heard, sink))


async def stop(plane: Plane, heard: Heard, answering: asyncio.Task[Answered]) -> None:
    """Cancel what is open from outside: it ends with a reason, at once, and its slot is free."""
    began = time.monotonic()
    [call] = plane.shared.open
    call.stop(Reason.CANCELLED, CANCELLED)
    got = await answering
    assert time.monotonic() - began < AT_ONCE
    assert (got.reason, got.told) == ("cancelled", "It was stopped.")
    assert heard.refused == CANCELLED
    assert plane.line.tickets == []
    assert len(plane.shared.open) == 0


# --- a run that can be ended in every state ---------------------------------------------------------------------------


async def test_one_that_waits_for_upstream_is_ended_at_once() -> None:
    async with gateway(None, rhythm=QUICK) as plane:
        heard = Heard()
        answering = begin(plane, heard)
        await until(lambda: plane.shared.counts.held == 1)
        await stop(plane, heard, answering)
        assert plane.shared.counts.held == 0


async def test_one_that_waits_in_line_is_ended_at_once() -> None:
    async with upstream(silent) as address, gateway(address, slots=0, rhythm=QUICK) as plane:
        heard = Heard()
        answering = begin(plane, heard)
        await until(lambda: bool(plane.line.waiting))
        await stop(plane, heard, answering)
        assert heard.use is not None
        assert (heard.use.outcome, heard.use.bytes_out) == ("cancelled", 0)


async def test_one_that_cannot_connect_is_ended_at_once() -> None:
    async with gateway(NOBODY, rhythm=QUICK) as plane:
        heard = Heard()
        answering = begin(plane, heard)
        await until(lambda: "lost" in plane.line.backs)
        await stop(plane, heard, answering)


async def test_one_that_waits_for_the_first_byte_is_ended_at_once() -> None:
    async with upstream(silent) as address, gateway(address, rhythm=QUICK) as plane:
        heard = Heard()
        answering = begin(plane, heard)
        await until(lambda: any(each.under_way for each in plane.shared.open))
        await stop(plane, heard, answering)
        assert plane.line.ended[0][1]  # upstream was closed in mid-answer


async def test_one_whose_slot_is_doubted_is_ended_at_once() -> None:
    asked = asyncio.Event()

    async def suspect(model: str) -> bool:
        asked.set()
        await asyncio.Event().wait()
        return False

    rhythm = Rhythm(sweep=0.05, unproven=0.05)
    async with upstream(silent) as address, gateway(address, rhythm=rhythm) as plane:
        plane.line.suspect_with, plane.line.all_doubted = suspect, True
        heard = Heard()
        answering = begin(plane, heard)
        await asked.wait()
        await stop(plane, heard, answering)


async def test_one_that_rests_before_it_asks_again_is_ended_at_once(tmp_path: Path) -> None:
    busy = {"fail_status": 503, "fail_error": "server busy, please try again."}
    async with fake_ollama(tmp_path, fail_next=1, **busy) as fake, gateway(fake.address, rhythm=QUICK) as plane:
        heard = Heard()
        answering = begin(plane, heard)
        await until(lambda: plane.line.backs == ["busy"])
        await stop(plane, heard, answering)


async def test_one_that_is_being_answered_is_ended_at_once() -> None:
    serve = speaking("/api/chat", go_on=asyncio.Event())
    async with upstream(serve) as address, gateway(address, rhythm=QUICK) as plane:
        heard = Heard()
        answering = begin(plane, heard)
        await until(lambda: bool(heard.said))
        await stop(plane, heard, answering)
        assert STREAMS["/api/chat"][1].startswith(heard.said)
        assert heard.use is not None
        assert heard.use.bytes_out == len(heard.said)


async def test_one_whose_reader_is_busy_elsewhere_is_ended_at_once() -> None:
    """The block is left wherever it stands, as that of `asyncio.timeout` is, and goes on behind itself."""
    reading = asyncio.Event()

    async def ask() -> Asker:
        asked = question(plane, "/api/chat", CHAT)
        async with Asker(plane.shared, asked.who, "chat-1") as asker:
            async for _ in asker.ask(asked):
                reading.set()
                await asyncio.Event().wait()  # as a disk that does not answer
        await asyncio.sleep(0)  # nothing of it is left in this task
        return asker

    async with upstream(speaking("/api/chat")) as address, gateway(address, rhythm=QUICK) as plane:
        asking = asyncio.ensure_future(ask())
        await reading.wait()
        [call] = plane.shared.open
        call.stop(Reason.CANCELLED, CANCELLED)
        asker = await asking
        assert asker.refused == CANCELLED
        assert plane.line.tickets == []


async def test_one_that_is_ended_in_its_very_last_step_leaves_nothing_behind() -> None:
    async def ask() -> Asker:
        asked = question(plane, "/api/chat", CHAT)
        async with Asker(plane.shared, asked.who, "chat-1") as asker:
            async for _ in asker.ask(asked):
                pass
            asker.stop(Reason.CANCELLED, CANCELLED)
        await asyncio.sleep(0)
        return asker

    async with upstream(speaking("/api/chat")) as address, gateway(address, rhythm=QUICK) as plane:
        assert (await asyncio.ensure_future(ask())).refused == CANCELLED


async def test_who_cancels_the_task_itself_ends_all_of_it() -> None:
    async with upstream(silent) as address, gateway(address, rhythm=QUICK) as plane:
        answering = begin(plane, Heard())
        await until(lambda: any(each.under_way for each in plane.shared.open))
        answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering
        assert plane.line.tickets == []


async def test_who_cancels_the_task_while_it_is_being_ended_ends_all_of_it() -> None:
    async with upstream(silent) as address, gateway(address, rhythm=QUICK) as plane:
        answering = begin(plane, Heard())
        await until(lambda: any(each.under_way for each in plane.shared.open))
        [call] = plane.shared.open
        call.stop(Reason.CANCELLED, CANCELLED)
        answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering
        assert plane.line.tickets == []


# --- what its sink sees -----------------------------------------------------------------------------------------------


async def test_a_sink_is_told_of_place_estimate_loading_and_answer() -> None:
    go_on = asyncio.Event()
    async with (
        upstream(speaking("/api/chat", go_on=go_on)) as address,
        gateway(address, slots=0, rhythm=QUICK) as plane,
    ):
        plane.line.wait_estimate = 40.0
        sink, heard = Watching(), Heard()
        answering = begin(plane, heard, sink)
        await until(lambda: (1, 40.0, False, False) in sink.told)
        plane.line.load_began = time.monotonic()
        await until(lambda: (1, 40.0, True, False) in sink.told)
        plane.line.open(1)
        await until(lambda: (None, None, False, True) in sink.told)
        go_on.set()
        assert (await answering).said == STREAMS["/api/chat"][1]


async def test_a_sink_that_is_never_due_is_told_nothing() -> None:
    async with upstream(speaking("/api/chat")) as address, gateway(address, slots=0, rhythm=QUICK) as plane:
        sink, heard = Watching(grace=inf, every=inf), Heard()
        answering = begin(plane, heard, sink)
        await until(lambda: bool(plane.line.waiting))
        await asyncio.sleep(0.3)  # some sweeps
        plane.line.open(1)
        await answering
        assert sink.told == []


async def test_a_run_survives_who_looked_at_it_and_may_be_looked_at_again() -> None:
    go_on = asyncio.Event()
    first, second, heard = Watching(), Watching(), Heard()

    async def ask() -> bytes:
        asked = question(plane, "/api/chat", CHAT)
        async with Asker(plane.shared, asked.who, "chat-1") as asker:
            run = asker.ask(asked, first)
            watched.append(run.watch)
            async for piece in run:
                heard.said += piece
        assert asker.refused is None
        return heard.said

    watched: list[Callable[[Unwatched | Watching], None]] = []
    async with (
        upstream(speaking("/api/chat", go_on=go_on)) as address,
        gateway(address, slots=0, rhythm=QUICK) as plane,
    ):
        answering = asyncio.ensure_future(ask())
        await until(lambda: bool(first.told))
        watched[0](Unwatched())
        before = len(first.told)
        await asyncio.sleep(0.3)  # some sweeps
        assert len(first.told) == before
        watched[0](second)
        await until(lambda: bool(second.told))
        plane.line.open(1)
        go_on.set()
        assert await answering == STREAMS["/api/chat"][1]


# --- rights, room, rename ---------------------------------------------------------------------------------------------


async def test_who_loses_the_right_to_it_is_ended() -> None:
    ended = Refused(401, Reason.ENDED, "You are not signed in any more.")
    lost: list[Refused] = []

    async def ask() -> Asker:
        asked = question(plane, "/api/chat", CHAT)
        async with Asker(plane.shared, asked.who, "chat-1", still=lambda: lost[0] if lost else None) as asker:
            async for _ in asker.ask(asked):
                pass
        return asker

    async with upstream(silent) as address, gateway(address, rhythm=Rhythm(sweep=60.0)) as plane:
        asking = asyncio.ensure_future(ask())
        await until(lambda: any(each.under_way for each in plane.shared.open))
        plane.shared.open.rights_changed()
        assert len(plane.shared.open) == 1
        lost.append(ended)
        plane.shared.open.rights_changed()
        assert (await asking).refused == ended


async def test_nothing_begins_while_all_drains() -> None:
    async with upstream(silent) as address, gateway(address) as plane:
        assert await plane.shared.open.drained(1)
        heard = Heard()
        assert (await begin(plane, heard)).reason == "draining"
        assert heard.use is None
        assert plane.line.wishes == []
        plane.shared.open.draining = False


async def test_an_answer_that_is_not_read_is_dropped_and_upstream_is_not_slowed() -> None:
    piece = b'{"response":"' + b"x" * 100_000 + b'","done":false}\n'
    reading = asyncio.Event()

    async def serve(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        for _ in range(100):
            writer.write(chunk(piece))
            await writer.drain()
        await reader.read()

    async def ask() -> Asker:
        asked = question(plane, "/api/chat", CHAT)
        async with Asker(plane.shared, asked.who, "chat-1") as asker:
            async for _ in asker.ask(asked):
                reading.set()
                await asyncio.Event().wait()
        return asker

    using = config(limits=LimitSettings(unread=2**20))
    async with upstream(serve) as address, gateway(address, using=using) as plane:
        asker = await asyncio.ensure_future(ask())
        assert reading.is_set()
        assert asker.refused is not None
        assert asker.refused.reason == "client_too_slow"
        assert asker.use is not None
        assert asker.use.outcome == "client_too_slow"


@pytest.mark.parametrize("sees", [True, False])
async def test_who_is_given_another_model_by_a_switch_asks_for_that_one_if_it_is_theirs_to_see(*, sees: bool) -> None:
    got: list[str] = []

    async def serve(reader: Reader, writer: Writer) -> None:
        got.append(json.loads((await request_of(reader))[1])["model"])
        writer.write(SMALL)
        await writer.drain()

    async with upstream(serve) as address, gateway(address, slots=0, rhythm=QUICK) as plane:
        who = caller(plane) if sees else replace(caller(plane), models=("tiny",))
        answering = asyncio.ensure_future(listen(plane, question(plane, "/api/chat", CHAT, who=who), Heard()))
        await until(lambda: bool(plane.line.waiting))
        [ticket] = plane.line.waiting
        ticket.model, ticket.runner = "blue:latest", runner("blue")
        plane.line.open(1)
        answered = await answering
        assert (answered.status, answered.reason) == ((200, "") if sees else (503, "switched"))
        assert got == (["blue:latest"] if sees else [])


async def test_who_is_ended_while_the_body_is_written_for_another_model_leaves_no_connection_open() -> None:
    renaming, closed = asyncio.Event(), asyncio.Event()

    async def never(body: bytes, model: str) -> tuple[bytes, bytes]:
        renaming.set()
        await asyncio.Event().wait()
        return body, b""

    async def serve(reader: Reader, writer: Writer) -> None:
        with suppress(ConnectionError):
            assert await reader.read() == b""
        closed.set()

    async with upstream(serve) as address, gateway(address, slots=0, rhythm=QUICK) as plane:
        heard = Heard()
        answering = asyncio.ensure_future(listen(plane, question(plane, "/api/chat", CHAT, rename=never), heard))
        await until(lambda: bool(plane.line.waiting))
        [ticket] = plane.line.waiting
        ticket.model, ticket.runner = "blue:latest", runner("blue")
        plane.line.open(1)
        await renaming.wait()
        await stop(plane, heard, answering)
        async with asyncio.timeout(5):
            await closed.wait()


async def test_an_operators_cancel_reaches_it_by_its_ticket() -> None:
    async with upstream(silent) as address, gateway(address, rhythm=QUICK) as plane:
        answering = begin(plane, Heard())
        await until(lambda: bool(plane.line.running))
        plane.shared.open.cut_short(plane.line.running[0], End.CANCELLED)
        assert (await answering).reason == "cancelled"
