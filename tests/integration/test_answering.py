"""What becomes of a question, whoever asks: each of these runs once through HTTP and once without."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.answering.rhythm import Rhythm
from controller.config.schema import Config
from controller.engines.ollama.inside import OWN_RUNNER
from controller.scheduling.ticket import Cap, End, Turned
from tests.integration.callers import Ask, by_http, by_python
from tests.integration.plane import CHAT, Plane, config, fake_ollama, gateway, request_of, upstream
from tests.integration.test_gateway_flow import HEAD, MESSAGES, NOBODY, SMALL, Reader, Writer, answering, chunk
from tests.integration.test_gateway_line import CANCELLED, STREAMS, failing, silent, speaking, timed
from tests.kit.until import until

DOCUMENT = {**CHAT, "stream": False}
PATIENT = Rhythm(sweep=0.05, grace=60.0)


@pytest.fixture(params=[by_http, by_python], ids=["http", "python"])
def ask(request: pytest.FixtureRequest) -> Ask:
    asks: Ask = request.param
    return asks


def asking(ask: Ask, plane: Plane, path: str = "/api/chat", body: dict[str, Any] | None = None) -> asyncio.Task[Any]:
    return asyncio.ensure_future(ask(plane, path, CHAT if body is None else body))


# --- what upstream says -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", list(STREAMS))
async def test_what_upstream_says_is_heard_byte_for_byte(ask: Ask, path: str) -> None:
    async with upstream(speaking(path)) as address, gateway(address) as plane:
        got = await ask(plane, path, STREAMS[path][2])
        assert (got.status, got.said, got.reason, got.attempts) == (200, STREAMS[path][1], "", 1)
        ((ticket, left, tokens),) = plane.line.ended
        assert not left
        assert tokens is not None
        assert (tokens.prompt, tokens.answer) == (3, 4)
        assert ticket.moved == len(STREAMS[path][1])


@pytest.mark.parametrize("status", [400, 404, 500, 503])
async def test_an_error_of_upstreams_own_is_the_answer(ask: Ask, status: int) -> None:
    error = b'{"error":"no such thing"}'
    async with upstream(failing(status, error)) as address, gateway(address) as plane:
        got = await ask(plane, "/api/chat", CHAT)
        assert (got.status, got.said, got.reason, got.attempts) == (status, error, "", 1)
        await until(lambda: len(plane.uses) == 1)
        assert plane.uses[0].outcome == f"status_{status}"


async def test_a_model_that_nobody_knows_is_upstreams_to_miss_and_gets_no_place(ask: Ask) -> None:
    missing = b'{"error":"model \'tiny\' not found"}'
    async with upstream(failing(404, missing)) as address, gateway(address, slots=0) as plane:
        plane.names.unknown = {"tiny"}
        got = await ask(plane, "/api/chat", CHAT)
        assert (got.status, got.said) == (404, missing)
        assert plane.line.wishes == []
        assert plane.uses == []


# --- waiting for upstream ---------------------------------------------------------------------------------------------


async def test_questions_wait_for_upstream_to_come(ask: Ask, tmp_path: Path) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(None) as plane:
        asked = [asking(ask, plane) for _ in range(20)]
        await until(lambda: plane.shared.counts.held == 20)
        assert not plane.plane.ready
        plane.readiness.set("ready", "It answers.", fake.address)
        assert {(await each).status for each in asked} == {200}
        assert plane.shared.counts.held == 0


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/v1/messages"])
async def test_a_question_waits_no_longer_than_hold(ask: Ask, path: str) -> None:
    async with gateway(None, using=config(hold=0.2)) as plane:
        got = await ask(plane, path, CHAT)
        assert (got.status, got.reason) == (503, "held_too_long")
        assert got.retry_after is not None
        assert 1 <= got.retry_after <= 60
        assert "Ollama has not been started yet." in got.told


async def test_a_question_does_not_wait_for_what_is_given_up(ask: Ask) -> None:
    async with gateway(None, using=config(hold=600)) as plane:
        asked = asking(ask, plane)
        await until(lambda: plane.shared.counts.held == 1)
        plane.readiness.set("down", "The program `ollama` is missing.")
        got = await asked
        assert got.status == 503
        assert "The program `ollama` is missing." in got.told
        assert (await ask(plane, "/api/chat", CHAT)).status == 503


async def test_an_upstream_that_refuses_connections_is_waited_for(ask: Ask, tmp_path: Path) -> None:
    """The supervisor may not have noticed yet."""
    async with fake_ollama(tmp_path) as fake, gateway(NOBODY) as plane:
        asked = asking(ask, plane)
        await until(lambda: plane.shared.counts.held == 1)
        plane.readiness.set("ready", "It answers.", fake.address)
        got = await asked
        assert (got.status, got.attempts) == (200, 1)


# --- dying before the first byte --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", list(MESSAGES))
async def test_a_question_whose_upstream_dies_before_its_first_byte_is_asked_again(ask: Ask, path: str) -> None:
    seen, serve = answering(before=lambda number: None if number == 1 else SMALL)
    async with upstream(serve) as address, gateway(address) as plane:
        got = await ask(plane, path, MESSAGES[path][1])
        assert (got.status, got.said, got.attempts) == (200, b'{"done":true}', 2)
        assert (plane.line.backs, plane.shared.counts.replays) == (["lost"], 1)
    assert len(seen) == 2


async def test_a_question_is_never_asked_three_times(ask: Ask) -> None:
    seen, serve = answering(before=lambda number: None)
    async with upstream(serve) as address, gateway(address) as plane:
        got = await ask(plane, "/v1/chat/completions", CHAT)
        assert (got.status, got.reason, got.retry_after) == (502, "ollama_died", None)
        assert "twice" in got.told
    assert len(seen) == 2


@pytest.mark.parametrize(
    "error",
    [
        "llama-server process has terminated: signal: killed",
        "llama-server process no longer running: -1 ",
        "mlx runner failed: mlx: exception (exit: exit status 1)",
        'Post "http://127.0.0.1:41207/tokenize": dial tcp 127.0.0.1:41207: connect: connection refused',
        "model runner has unexpectedly stopped, this may be due to resource limitations",
        "an error was encountered while running the model: unexpected EOF",
    ],
)
async def test_a_runner_that_died_is_a_reason_to_ask_again(ask: Ask, tmp_path: Path, error: str) -> None:
    async with fake_ollama(tmp_path, fail_next=1, fail_error=error) as fake, gateway(fake.address) as plane:
        assert (await ask(plane, "/api/chat", DOCUMENT)).status == 200
        assert plane.shared.counts.replays == 1
        fake.knobs(fail_next=2, fail_error=error)
        got = await ask(plane, "/api/chat", DOCUMENT)
        assert (got.status, got.reason) == (500, "")  # the second time it is the answer


async def test_an_older_ollama_has_words_of_its_own_for_that(ask: Ask, tmp_path: Path) -> None:
    error = "llama runner process has terminated: signal: killed"
    async with fake_ollama(tmp_path, fail_next=2, fail_error=error) as fake, gateway(fake.address) as plane:
        assert (await ask(plane, "/api/chat", DOCUMENT)).status == 500
        plane.inside.learn(OWN_RUNNER)
        assert (await ask(plane, "/api/chat", DOCUMENT)).status == 200


async def test_held_and_unanswered_questions_survive_a_killed_upstream(ask: Ask, tmp_path: Path) -> None:
    async with fake_ollama(tmp_path, freeze=True) as fake, gateway(fake.address) as plane:
        asked = [asking(ask, plane) for _ in range(10)]
        await until(lambda: sum(each.under_way for each in plane.shared.open) == 10)
        await fake.kill()
        await until(lambda: plane.shared.counts.held == 10)
        fake.knobs()
        await fake.start()
        plane.readiness.set("ready", "It is back.", fake.address)
        answers = [await each for each in asked]
        assert all(got.said.endswith(b'"eval_count": 8}\n') for got in answers)
        assert {got.attempts for got in answers} == {2}


async def test_the_line_hears_of_each_failed_attempt(ask: Ask, tmp_path: Path) -> None:
    async with fake_ollama(tmp_path, fail_next=1) as fake, gateway(fake.address) as plane:
        assert (await ask(plane, "/api/chat", DOCUMENT)).status == 200
        assert (plane.line.backs, plane.line.failures) == (["died"], [])
        fake.knobs(close_next=2)
        assert (await ask(plane, "/api/chat", CHAT)).status == 502
        assert (plane.line.backs, plane.line.failures) == (["died", "lost"], ["lost"])
        fake.knobs(fail_next=1, fail_status=503, fail_error="server busy, please try again.")
        assert (await ask(plane, "/api/chat", CHAT)).status == 200
        assert plane.line.backs[-1] == "busy"
        fake.knobs(drop_after=2)
        assert "Ollama stopped" in (await ask(plane, "/api/chat", CHAT)).told
        assert plane.line.failures[-1] == "lost"


async def test_a_question_that_crashes_its_model_each_time_is_refused_for_a_while(ask: Ask, tmp_path: Path) -> None:
    async with fake_ollama(tmp_path, fail_next=3) as fake, gateway(fake.address) as plane:
        plane.names.slots = 2
        assert (await ask(plane, "/api/chat", DOCUMENT)).status == 500
        assert len(await fake.seen()) == 2
        assert (await ask(plane, "/api/chat", DOCUMENT)).status == 500
        assert len(await fake.seen()) == 3  # known by now: it is not tried twice
        got = await ask(plane, "/api/chat", DOCUMENT)
        assert (got.status, got.reason, got.retry_after) == (400, "crashes_its_model", None)
        assert len(await fake.seen()) == 3
        assert (await ask(plane, "/api/chat", {**DOCUMENT, "options": {"seed": 1}})).status == 200


async def test_a_question_that_crashes_its_model_twice_without_company_is_refused_from_then_on(
    ask: Ask, tmp_path: Path
) -> None:
    async with fake_ollama(tmp_path, fail_next=2) as fake, gateway(fake.address) as plane:
        assert (await ask(plane, "/api/chat", DOCUMENT)).status == 500
        assert (await ask(plane, "/api/chat", DOCUMENT)).status == 400
        assert len(await fake.seen()) == 2


# --- dying after it ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("death", [b"", b"zz\r\n"])
@pytest.mark.parametrize("path", list(STREAMS))
async def test_a_stream_that_breaks_is_heard_so_far_and_its_end_is_told(ask: Ask, path: str, death: bytes) -> None:
    kind, whole, body = STREAMS[path]
    stop = b"\n\n" if kind == "text/event-stream" else b"\n"
    first = whole[: whole.index(stop) + len(stop)]
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()

    async def serve(reader: Reader, writer: Writer) -> None:
        await request_of(reader)
        writer.write(head + chunk(first) + death)
        await writer.drain()

    async with upstream(serve) as address, gateway(address) as plane:
        got = await ask(plane, path, body)
        assert (got.status, got.said, got.reason, got.attempts) == (200, first, "answer_broken", 1)
        assert "Ollama stopped" in got.told


async def test_an_upstream_killed_in_mid_stream_is_told(ask: Ask, tmp_path: Path) -> None:
    async with fake_ollama(tmp_path, pause=0.05, tokens=10_000) as fake, gateway(fake.address) as plane:
        asked = asking(ask, plane)
        await until(lambda: any(each.seat is not None and each.seat.usage.moved for each in plane.shared.open))
        await fake.kill()
        got = await asked
        assert got.said.endswith(b"\n")
        assert (got.status, got.reason) == (200, "answer_broken")
        assert "Ollama stopped" in got.told


@pytest.mark.parametrize(
    "half",
    [
        b'Content-Length: 100\r\n\r\n{"half":',
        b'Transfer-Encoding: chunked\r\n\r\n8\r\n{"half":\r\n',
    ],
)
async def test_a_document_that_breaks_is_never_taken_for_a_whole_one(ask: Ask, half: bytes) -> None:
    async def serve(reader: Reader, writer: Writer) -> None:
        await request_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + half)
        await writer.drain()

    async with upstream(serve) as address, gateway(address) as plane:
        got = await ask(plane, "/api/chat", DOCUMENT)
        assert (got.said, got.reason) == (b'{"half":', "answer_broken")
        await until(lambda: len(plane.uses) == 1)
        assert plane.uses[0].outcome == "answer_broken"


# --- leaving ----------------------------------------------------------------------------------------------------------


async def test_who_leaves_in_line_gives_the_place_back_at_once(ask: Ask) -> None:
    async with upstream(silent) as address, gateway(address, slots=0) as plane:
        asked = asking(ask, plane)
        await until(lambda: bool(plane.line.waiting))
        asked.cancel()
        await until(lambda: not len(plane.shared.open))
        assert [(left, tokens) for _, left, tokens in plane.line.ended] == [(False, None)]


@pytest.mark.parametrize("begins", [True, False])
async def test_who_leaves_in_mid_answer_frees_the_slot_and_leaves_it_doubtful(ask: Ask, *, begins: bool) -> None:
    closed = asyncio.Event()

    async def serve(reader: Reader, writer: Writer) -> None:
        await request_of(reader)
        if begins:
            writer.write(HEAD + chunk(b'{"done":false}\n'))
        await reader.read()
        closed.set()

    async with upstream(serve) as address, gateway(address) as plane:
        asked = asking(ask, plane)
        await until(lambda: any(each.under_way for each in plane.shared.open))
        if begins:
            await until(lambda: any(each.seat is not None and each.seat.usage.moved for each in plane.shared.open))
        asked.cancel()
        async with asyncio.timeout(20):
            await closed.wait()
        await until(lambda: not len(plane.shared.open))
        assert [(left, tokens) for _, left, tokens in plane.line.ended] == [(True, None)]


async def test_a_slot_lost_by_a_hang_up_is_freed_and_the_next_question_answered(ask: Ask, tmp_path: Path) -> None:
    async with fake_ollama(tmp_path, leak_slots=True, pause=0.02, tokens=50) as fake:

        async def suspect(model: str) -> bool:
            asked.append(model)
            async with httpx.AsyncClient(trust_env=False) as direct:  # ends the runner, as the roof does by its pid
                await direct.post(f"http://127.0.0.1:{fake.port}/api/generate", json={"model": model, "keep_alive": 0})
            return True

        asked: list[str] = []
        async with gateway(fake.address, rhythm=Rhythm(unproven=0.3)) as plane:
            plane.line.suspect_with = suspect
            leaving = asking(ask, plane)
            await until(lambda: any(each.seat is not None and each.seat.usage.moved for each in plane.shared.open))
            leaving.cancel()
            await until(lambda: not len(plane.shared.open))
            got = await ask(plane, "/api/chat", CHAT)
            assert got.said.endswith(b'"eval_count": 50}\n')
            assert (asked, got.attempts) == (["tiny"], 2)
            assert plane.line.backs == ["idle"]
            await ask(plane, "/api/chat", CHAT)
            assert asked == ["tiny"]  # proven again


async def test_a_busy_runner_is_left_alone(ask: Ask, tmp_path: Path) -> None:
    asked: list[str] = []

    async def suspect(model: str) -> bool:
        asked.append(model)
        return False

    async with fake_ollama(tmp_path, prefill=1.0) as fake:
        async with gateway(fake.address, rhythm=Rhythm(unproven=0.2)) as plane:
            plane.line.suspect_with = suspect
            assert (await ask(plane, "/api/chat", CHAT)).status == 200
            assert asked == []  # nobody doubts it
            plane.line.all_doubted = True
            got = await ask(plane, "/api/chat", CHAT)
            assert (got.status, got.attempts) == (200, 1)
            assert len(asked) >= 2


# --- turns ------------------------------------------------------------------------------------------------------------


async def test_who_must_wait_is_answered_in_turn(ask: Ask, tmp_path: Path) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address, slots=0, rhythm=PATIENT) as plane:
        asked = [asking(ask, plane, body=DOCUMENT) for _ in range(3)]
        await until(lambda: len(plane.line.waiting) == 3)
        assert await fake.seen() == []
        plane.line.open(1)
        assert [(await each).status for each in asked] == [200] * 3
        assert len(plane.line.ended) == 3


@pytest.mark.parametrize(
    ("cap", "reason"),
    [(Cap.CALLER, "caller_full"), (Cap.BYTES, "caller_bytes"), (Cap.LINE, "line_full")],
)
@pytest.mark.parametrize("path", list(STREAMS))
async def test_who_is_turned_away_is_told_when_to_come_back(ask: Ask, path: str, cap: Cap, reason: str) -> None:
    async with upstream(silent) as address, gateway(address) as plane:
        plane.line.turned = Turned(cap, "The line is full.", 17)
        got = await ask(plane, path, STREAMS[path][2])
        assert (got.status, got.retry_after, got.told, got.reason) == (429, 17, "The line is full.", reason)


@pytest.mark.parametrize(
    ("end", "status", "retries"),
    [
        (End.WAITED_OUT, 429, True),
        (End.LOAD_FAILED, 500, False),
        (End.TOO_BIG, 400, False),
        (End.NO_ROOM, 503, True),
        (End.QUARANTINED, 503, True),
        (End.SWITCHED, 503, True),
        (End.CANCELLED, 410, False),
        (End.DOWN, 503, True),
        (End.HELD_OUT, 503, True),
        (End.GONE, 503, True),
    ],
)
async def test_a_wait_that_ends_without_a_turn_says_why(ask: Ask, end: End, status: int, *, retries: bool) -> None:
    async with upstream(silent) as address, gateway(address, slots=0, rhythm=PATIENT) as plane:
        asked = asking(ask, plane, "/v1/chat/completions")
        await until(lambda: bool(plane.line.waiting))
        plane.line.finish(plane.line.waiting[0], end, "These are its words.")
        got = await asked
        assert (got.status, got.retry_after is not None) == (status, retries)
        assert got.told == "These are its words."
        assert got.reason


async def test_a_model_deleted_meanwhile_is_upstreams_to_miss(ask: Ask) -> None:
    missing = b'{"error":"model \'tiny\' not found"}'
    async with upstream(failing(404, missing)) as address, gateway(address, slots=0, rhythm=PATIENT) as plane:
        asked = asking(ask, plane)
        await until(lambda: bool(plane.line.waiting))
        plane.line.finish(plane.line.waiting[0], End.UNKNOWN)
        got = await asked
        assert (got.status, got.said) == (404, missing)


# --- limits of time ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "reason"), [({"first_byte": 0.3}, "first_byte_too_late"), ({"answer": 0.3}, "answer_too_long")]
)
async def test_an_answer_that_does_not_begin_in_time_is_ended(ask: Ask, times: dict[str, float], reason: str) -> None:
    closed = asyncio.Event()

    async def serve(reader: Reader, writer: Writer) -> None:
        await silent(reader, writer)
        closed.set()

    async with upstream(serve) as address, gateway(address, using=timed(**times), rhythm=Rhythm(sweep=0.05)) as plane:
        got = await ask(plane, "/v1/chat/completions", CHAT)
        assert (got.status, got.retry_after, got.reason) == (504, None, reason)
        assert "0.3 s" in got.told
        async with asyncio.timeout(20):
            await closed.wait()
        assert plane.line.ended[0][1]  # its slot is unproven


async def test_who_waits_too_long_for_a_load_is_told_so(ask: Ask, tmp_path: Path) -> None:
    using = timed(load=0.3)
    async with (
        fake_ollama(tmp_path) as fake,
        gateway(fake.address, slots=0, using=using, rhythm=Rhythm(sweep=0.05)) as plane,
    ):
        asked = asking(ask, plane)
        await until(lambda: bool(plane.line.waiting))
        await asyncio.sleep(0.5)  # the line takes longer than that, and no load is under way
        assert not asked.done()
        plane.line.load_began = time.monotonic()
        got = await asked
        assert (got.status, got.retry_after, got.reason) == (503, 30, "load_too_long")
        assert "not loaded in time (0.3 s)" in got.told


@pytest.mark.parametrize(
    ("using", "words", "reason"),
    [(timed(gap=0.3), "fell silent", "gap_too_long"), (timed(answer=0.3), "took longer", "answer_too_long")],
)
async def test_a_silence_in_mid_answer_ends_it_and_so_does_its_length(
    ask: Ask, using: Config, words: str, reason: str
) -> None:
    serve = speaking("/api/chat", go_on=asyncio.Event())
    first = STREAMS["/api/chat"][1].splitlines(keepends=True)[0]
    async with upstream(serve) as address, gateway(address, using=using, rhythm=Rhythm(sweep=0.05)) as plane:
        got = await ask(plane, "/api/chat", CHAT)
        assert (got.status, got.said, got.reason) == (200, first, reason)
        assert words in got.told


async def test_waiting_in_line_is_no_part_of_an_answers_time(ask: Ask, tmp_path: Path) -> None:
    using = timed(first_byte=0.3, answer=0.5, gap=0.3)
    async with (
        fake_ollama(tmp_path) as fake,
        gateway(fake.address, slots=0, using=using, rhythm=Rhythm(sweep=0.05)) as plane,
    ):
        asked = asking(ask, plane)
        await until(lambda: bool(plane.line.waiting))
        await asyncio.sleep(0.8)  # longer than any of its times
        plane.line.open(1)
        assert (await asked).status == 200


async def test_a_silent_stream_of_responses_ends_before_its_reader_gives_up(ask: Ask) -> None:
    rhythm = Rhythm(sweep=0.05, silent=0.3)
    async with upstream(silent) as address, gateway(address, slots=0, rhythm=rhythm) as plane:
        got = await ask(plane, "/v1/responses", STREAMS["/v1/responses"][2])
        assert (got.status, got.reason, got.retry_after) == (429, "silent_too_long", 30)


# --- ended from outside -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", list(STREAMS))
@pytest.mark.parametrize(("end", "words"), [(End.SWITCHED, "operator"), (End.CANCELLED, CANCELLED)])
async def test_a_running_answer_that_the_operator_ends_says_so(ask: Ask, path: str, end: End, words: str) -> None:
    begun = asyncio.Event()
    async with upstream(speaking(path, begun=begun, go_on=asyncio.Event())) as address, gateway(address) as plane:
        asked = asking(ask, plane, path, STREAMS[path][2])
        await until(lambda: any(each.seat is not None and each.seat.usage.moved for each in plane.shared.open))
        plane.shared.open.cut_short(plane.line.running[0], end)
        got = await asked
        assert words in got.told
        assert got.reason == end.value
        assert STREAMS[path][1].startswith(got.said)
        assert plane.line.running == []


@pytest.mark.parametrize("path", list(STREAMS))
async def test_a_question_that_the_operator_cancels_before_its_first_byte_is_not_asked_again(
    ask: Ask, path: str
) -> None:
    async with upstream(silent) as address, gateway(address, rhythm=PATIENT) as plane:
        asked = asking(ask, plane, path, STREAMS[path][2])
        await until(lambda: bool(plane.line.running))
        plane.shared.open.cut_short(plane.line.running[0], End.CANCELLED)
        got = await asked
        assert (got.status, got.retry_after, got.told) == (410, None, CANCELLED)


async def test_what_does_not_finish_in_time_is_cut_with_a_reason(ask: Ask, tmp_path: Path) -> None:
    async with fake_ollama(tmp_path, pause=0.05, tokens=10_000) as fake, gateway(fake.address) as plane:
        asked = asking(ask, plane)
        await until(lambda: any(each.seat is not None and each.seat.usage.moved for each in plane.shared.open))
        assert not await plane.shared.open.drained(0.2)
        await plane.shared.open.cut()
        got = await asked
        assert got.reason == "cut_short"
        assert "restarting" in got.told
        assert (await ask(plane, "/api/chat", CHAT)).reason == "draining"
        plane.readiness.set("coming", "It restarts.")
        plane.shared.open.draining = False
        held = asking(ask, plane)
        await until(lambda: plane.shared.counts.held == 1)
        await plane.shared.open.cut()
        assert (await held).status == 503


async def test_upstream_is_quiet_when_it_works_on_nothing_however_many_wait(ask: Ask, tmp_path: Path) -> None:
    async with fake_ollama(tmp_path, pause=0.05, tokens=20) as fake, gateway(fake.address) as plane:
        running = asking(ask, plane)
        await until(lambda: any(each.under_way for each in plane.shared.open))
        plane.readiness.set("coming", "It restarts for a new setting.")
        held = asking(ask, plane)
        await until(lambda: plane.shared.counts.held == 1)
        assert not await plane.shared.open.quiet(0)
        assert await plane.shared.open.quiet(20)
        assert (await running).status == 200
        plane.readiness.set("ready", "It is back.", fake.address)
        assert (await held).status == 200


# --- what is kept of it -----------------------------------------------------------------------------------------------


async def test_each_question_that_stood_in_the_line_is_told_to_usage_once(ask: Ask, tmp_path: Path) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane:
        got = await ask(plane, "/api/chat", CHAT)
        await ask(plane, "/v1/chat/completions", {**CHAT, "stream": True})
        await until(lambda: len(plane.uses) == 2)
    native, counted = plane.uses
    assert (native.caller, native.kind, native.route) == ("this computer", "address", "/api/chat")
    assert (native.outcome, native.estimated, native.model) == ("done", False, "tiny")
    assert native.answer_tokens > 0
    assert native.bytes_out == len(got.said)
    assert native.waited is not None
    assert native.first_byte is not None
    assert 0 <= native.waited + native.first_byte <= native.seconds
    assert (counted.dialect, counted.estimated, counted.outcome) == ("openai", True, "done")
    assert counted.answer_tokens > 0
