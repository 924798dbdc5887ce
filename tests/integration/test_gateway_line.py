"""The line as clients see it: turns, waiting, limits, refusals, and what becomes of each ticket."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anthropic
import httpx
import ollama
import openai
import pytest

from controller.answering.rhythm import Rhythm
from controller.config.entry import Access, Allowed
from controller.config.listening import FirstFiller
from controller.config.models import Models, OneModel
from controller.config.schema import Config, Server
from controller.config.waiting import LineSettings, SomeWaits, Waits
from controller.errors import OrderRefused
from controller.scheduling.ticket import End
from tests.fakes.turns import runner
from tests.integration.plane import CHAT, MANAGER, Plane, config, fake_ollama, gateway, request_of, upstream
from tests.kit.until import until

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
QUICK = Rhythm(sweep=0.05, grace=0.2, every=0.2, told=0.05)
PATIENT = Rhythm(sweep=0.05, grace=60.0)
SOON = Config(server=Server(hold=20.0, first_filler=FirstFiller(direct=0.2, proxy=0.2, tunnel=0.2)))

STREAMS: dict[str, tuple[str, bytes, dict[str, Any]]] = {
    "/api/chat": (
        "application/x-ndjson",
        b'{"model":"m","message":{"role":"assistant","content":"hi"},"done":false}\n'
        b'{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",'
        b'"prompt_eval_count":3,"eval_count":4}\n',
        {**CHAT},
    ),
    "/v1/chat/completions": (
        "text/event-stream",
        b'data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
        b'{"role":"assistant","content":"hi"},"finish_reason":null}]}\n\n'
        b'data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":'
        b'{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}\n\ndata: [DONE]\n\n',
        {**CHAT, "stream": True},
    ),
    "/v1/messages": (
        "text/event-stream",
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"m1","type":"message","role":"assistant",'
        b'"content":[],"model":"m","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,'
        b'"output_tokens":0}}}\n\n'
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text",'
        b'"text":""}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
        b'"text":"hi"}}\n\n'
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
        b'"usage":{"input_tokens":3,"output_tokens":4}}\n\n'
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        {**CHAT, "stream": True, "max_tokens": 9},
    ),
    "/v1/responses": (
        "text/event-stream",
        b'event: response.created\ndata: {"type":"response.created","sequence_number":0,"response":{}}\n\n'
        b'event: response.completed\ndata: {"type":"response.completed","sequence_number":1,"response":{"usage":'
        b'{"input_tokens":3,"output_tokens":4}}}\n\n',
        {"model": "tiny", "input": "hi", "stream": True},
    ),
}
FILLERS = {
    "/api/chat": b" ",
    "/v1/chat/completions": b": waiting\n",
    "/v1/messages": b'event: ping\ndata: {"type":"ping"}\n\n',
    "/v1/responses": b": waiting\n",
}


def speaking(
    path: str, *, begun: asyncio.Event | None = None, go_on: asyncio.Event | None = None
) -> Callable[[Reader, Writer], Awaitable[None]]:
    """A server that streams the path's answer, its first record at once and the rest when told to."""
    kind, whole, _ = STREAMS[path]
    first = whole.index(b"\n") + 1 if kind == "application/x-ndjson" else whole.index(b"\n\n") + 2

    async def serve(reader: Reader, writer: Writer) -> None:
        while True:
            await request_of(reader)
            head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            writer.write(head)
            for piece in (whole[:first], whole[first:]):
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                if begun is not None:
                    begun.set()
                if go_on is not None:
                    await go_on.wait()
            writer.write(b"0\r\n\r\n")
            await writer.drain()

    return serve


def failing(status: int, body: bytes) -> Callable[[Reader, Writer], Awaitable[None]]:
    async def serve(reader: Reader, writer: Writer) -> None:
        while True:
            await request_of(reader)
            head = f"HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()

    return serve


async def silent(reader: Reader, writer: Writer) -> None:
    await request_of(reader)
    await reader.read()


def timed(**times: float) -> Config:
    return Config(server=Server(hold=20.0, line=LineSettings(times=Waits(**times))))


async def post(plane: Plane, path: str, body: dict[str, Any]) -> httpx.Response:
    async with plane.client() as client:
        return await client.post(path, json=body)


# --- turns ------------------------------------------------------------------------------------------------------------


async def test_a_late_answer_says_how_long_it_waited(tmp_path: Path) -> None:
    rhythm = Rhythm(sweep=0.05, told=0.05)
    async with fake_ollama(tmp_path) as fake, gateway(fake.address, slots=0, rhythm=rhythm) as plane:
        asking = asyncio.create_task(post(plane, "/api/chat", CHAT))
        await until(lambda: bool(plane.line.waiting))
        await asyncio.sleep(0.1)  # so that it has waited for longer than goes without saying
        plane.line.open(1)
        assert re.fullmatch(r"waited=\d+s, granted=turn", (await asking).headers["x-seadragon-queue"])
        at_once = await post(plane, "/api/chat", CHAT)
        assert "x-seadragon-queue" not in at_once.headers


async def test_the_line_is_told_who_asks_for_what_and_for_how_long(tmp_path: Path) -> None:
    allow = (Allowed(label="family", addresses=("127.0.0.1",), lane=3, running=5),)
    models = Models(models={"tiny": OneModel(times=SomeWaits(wait=7))})
    line = LineSettings(waiting=4, bytes=4096, times=Waits(wait=99), lanes={"3": SomeWaits(first_byte=5)})
    using = Config(server=Server(line=line), models=models, access=Access(allow=allow))
    async with fake_ollama(tmp_path) as fake, gateway(fake.address, using=using) as plane:
        await post(plane, "/api/chat", CHAT)
        wish = plane.line.wishes[0]
        assert (wish.label, wish.lane, wish.model, wish.runner.key, wish.wait) == ("family", 3, "tiny", "tiny", 7)
        assert wish.caller == "address:access.yaml/family"
        assert (wish.caps.running, wish.caps.waiting, wish.caps.size) == (5, 4, 4096)
        assert wish.size > 40


async def test_metadata_never_waits(tmp_path: Path) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address, slots=0) as plane, plane.client() as client:
        asking = asyncio.create_task(client.post("/api/chat", json=CHAT))
        await until(lambda: bool(plane.line.waiting))
        for path in ("/api/tags", "/api/ps", "/v1/models", "/api/version"):
            assert (await client.get(path)).status_code == 200
        plane.line.open(1)
        assert (await asking).status_code == 200


CANCELLED = "Whoever runs this server ended this request. Ask again if you still need it."


# --- waiting, visibly -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", list(STREAMS))
async def test_who_waits_long_sees_fillers_and_then_every_byte_of_the_answer(path: str) -> None:
    kind, whole, body = STREAMS[path]
    async with upstream(speaking(path)) as address, gateway(address, slots=0, rhythm=QUICK) as plane:
        plane.line.wait_estimate = 41.7
        async with plane.client() as client, client.stream("POST", path, json=body) as answer:
            assert answer.status_code == 200
            assert answer.headers["content-type"] == kind
            assert answer.headers["cache-control"] == "no-cache, no-transform"
            assert answer.headers["x-accel-buffering"] == "no"
            assert answer.headers["x-request-id"]
            assert "content-length" not in answer.headers
            assert answer.headers["x-seadragon-queue"].startswith("position=1, estimate=42s, waited=")
            got = b""
            pieces = answer.aiter_raw()
            while got.count(FILLERS[path]) < 3:
                got += await anext(pieces)
            assert got == FILLERS[path] * (len(got) // len(FILLERS[path]))
            plane.line.open(1)
            got += b"".join([piece async for piece in pieces])
        assert got.replace(FILLERS[path] * 3, b"", 1).lstrip(b" ").endswith(whole)
        assert (await plane.record()).reason == ""


async def test_who_waits_for_ollama_or_for_a_doubtful_slot_sees_fillers_too(tmp_path: Path) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def suspect(model: str) -> bool:
        asked.set()
        await go_on.wait()
        return False

    rhythm = Rhythm(sweep=0.05, grace=0.2, every=0.2, unproven=0.1)
    async with fake_ollama(tmp_path, freeze=True) as fake, gateway(None, rhythm=rhythm) as plane:
        plane.line.suspect_with, plane.line.all_doubted = suspect, True
        asking = asyncio.create_task(post(plane, "/api/chat", CHAT))
        await until(lambda: any(each.bytes_out for each in plane.requests))
        plane.readiness.set("ready", "It answers.", fake.address)
        await asked.wait()
        before = plane.requests[0].bytes_out
        await until(lambda: any(each.bytes_out >= before + 2 for each in plane.requests))
        fake.knobs()
        go_on.set()
        assert (await asking).text.endswith('"eval_count": 8}\n')


async def test_a_batch_of_embeddings_takes_a_slot_for_each_input_and_nothing_else_more_than_one(tmp_path: Path) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane:
        for path, body in (
            ("/api/embed", {"model": "tiny", "input": ["a", "b", "c"]}),
            ("/v1/embeddings", {"model": "tiny", "input": "a"}),
            ("/v1/responses", {"model": "tiny", "input": [{"role": "user", "content": "hi"}] * 3}),
        ):
            await post(plane, path, body)
        assert [wish.width for wish in plane.line.wishes] == [3, 1, 1]


@pytest.mark.parametrize("path", ["/api/chat", "/api/embed", "/v1/chat/completions", "/v1/messages"])
async def test_a_document_is_filled_up_in_front_only(path: str) -> None:
    document = b'{"model":"m","done":true,"eval_count":1}'
    async with (
        upstream(failing(200, document)) as address,
        gateway(address, slots=0, using=SOON, rhythm=QUICK) as plane,
    ):
        asking = asyncio.create_task(post(plane, path, {**CHAT, "input": "x", "stream": False}))
        await until(lambda: any(each.bytes_out >= 2 for each in plane.requests))
        plane.line.open(1)
        answer = await asking
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert answer.content.lstrip(b" ") == document
        assert answer.content.startswith(b"  ")
        assert answer.json() == json.loads(document)


@pytest.mark.parametrize("path", list(STREAMS))
async def test_a_silence_in_mid_stream_is_filled_between_records(path: str) -> None:
    go_on, begun = asyncio.Event(), asyncio.Event()
    _, whole, body = STREAMS[path]
    serve = speaking(path, begun=begun, go_on=go_on)
    rhythm = Rhythm(sweep=0.05, grace=60, every=0.2)
    async with upstream(serve) as address, gateway(address, rhythm=rhythm) as plane:
        asking = asyncio.create_task(post(plane, path, body))
        await begun.wait()
        first = 0
        await until(lambda: any(each.bytes_out for each in plane.requests))
        first = plane.requests[0].bytes_out
        filled = first + 2 * len(FILLERS[path])
        await until(lambda: any(each.bytes_out >= filled for each in plane.requests))
        go_on.set()
        content = (await asking).content
        rest = content[first:]
        while rest.startswith(FILLERS[path]):
            rest = rest.removeprefix(FILLERS[path])
        assert content[:first] + rest == whole
        assert len(content) >= len(whole) + 2 * len(FILLERS[path])


async def test_nothing_follows_the_last_record() -> None:
    """A space after it would be a line of its own to some readers."""
    ended = asyncio.Event()

    async def serve(reader: Reader, writer: Writer) -> None:
        await request_of(reader)
        line = b'{"done":true}\n'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"%x\r\n%b\r\n" % (len(line), line))
        await ended.wait()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async with upstream(serve) as address, gateway(address, rhythm=QUICK) as plane:
        asking = asyncio.create_task(post(plane, "/api/chat", CHAT))
        await until(lambda: any(each.bytes_out for each in plane.requests))
        await asyncio.sleep(0.5)  # two fillers' time
        ended.set()
        assert (await asking).content == b'{"done":true}\n'


async def test_the_unmodified_clients_read_through_fillers(tmp_path: Path) -> None:
    async def wait_for_fillers(plane: Plane) -> None:
        await until(lambda: any(each.bytes_out > 1 for each in plane.requests))
        plane.line.open(1)

    async with fake_ollama(tmp_path) as fake, gateway(fake.address, slots=0, using=SOON, rhythm=QUICK) as plane:
        native = ollama.AsyncClient(host=plane.url)
        for stream in (True, False):
            opening = asyncio.create_task(wait_for_fillers(plane))
            if stream:
                talk = await native.chat("tiny", messages=[{"role": "user", "content": "hi"}], stream=True)
                said = "".join([part.message.content or "" async for part in talk])
            else:
                said = (await native.generate("tiny", "hi")).response or ""
            assert said.startswith("the sea is deep")
            await opening
            plane.line.open(0)
        await native._client.aclose()
        async with openai.AsyncOpenAI(base_url=f"{plane.url}/v1", api_key="x", max_retries=0) as client:
            opening = asyncio.create_task(wait_for_fillers(plane))
            chunks = await client.chat.completions.create(
                model="tiny", messages=[{"role": "user", "content": "hi"}], stream=True
            )
            texts = [part.choices[0].delta.content or "" async for part in chunks if part.choices]
            assert "".join(texts).startswith("the sea is deep")
            await opening
            plane.line.open(0)
            opening = asyncio.create_task(wait_for_fillers(plane))
            whole = await client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "hi"}])
            assert (whole.choices[0].message.content or "").startswith("the sea is deep")
            await opening
    async with (
        upstream(speaking("/v1/messages")) as address,
        gateway(address, slots=0, using=SOON, rhythm=QUICK) as plane,
    ):
        opening = asyncio.create_task(wait_for_fillers(plane))
        async with anthropic.AsyncAnthropic(base_url=plane.url, api_key="x", max_retries=0) as claude:
            async with claude.messages.stream(
                model="tiny", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
            ) as events:
                assert "".join([text async for text in events.text_stream]) == "hi"
        await opening


_RECORDS = {
    "/api/chat": b'{"error":"too hot"}\n',
    "/v1/chat/completions": b'data: {"error":{"message":"too hot","type":"api_error","param":null,"code":null}}\n\n',
    "/v1/messages": b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"too hot"}}\n\n',
    "/v1/responses": b'"error":{"code":"server_error","message":"too hot"}}}\n\n',
}


@pytest.mark.parametrize("path", list(STREAMS))
@pytest.mark.parametrize("where", ["ollama", "line"])
async def test_a_failure_after_fillers_is_the_dialects_own_error_record(path: str, where: str) -> None:
    error = b'{"error":{"message":"too hot"}}' if path.startswith("/v1") else b'{"error":"too hot"}'
    async with upstream(failing(503, error)) as address, gateway(address, slots=0, rhythm=QUICK) as plane:
        asking = asyncio.create_task(post(plane, path, STREAMS[path][2]))
        await until(lambda: any(each.status for each in plane.requests))
        if where == "ollama":
            plane.line.open(1)
        else:
            plane.line.finish(plane.line.waiting[0], End.NO_ROOM, "too hot")
        answer = await asking
        assert answer.status_code == 200
        assert answer.content.endswith(_RECORDS[path])
        assert b"[DONE]" not in answer.content
        assert (b"response.failed" in answer.content) == (path == "/v1/responses")
        assert (await plane.record()).reason == ("error_after_filler" if where == "ollama" else "no_room")


async def test_a_document_that_fails_after_fillers_is_reset_and_logged() -> None:
    serve = failing(500, b'{"error":"x"}')
    async with upstream(serve) as address, gateway(address, slots=0, using=SOON, rhythm=QUICK) as plane:
        asking = asyncio.create_task(post(plane, "/api/chat", {**CHAT, "stream": False}))
        await until(lambda: any(each.status for each in plane.requests))
        plane.line.open(1)
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await asking
        assert (await plane.record()).reason == "error_after_filler"
        again = await post(plane, "/api/chat", {**CHAT, "stream": False})
        assert (again.status_code, again.headers["x-should-retry"], again.json()) == (500, "false", {"error": "x"})
        assert len(plane.line.wishes) == 1
        other = await post(plane, "/api/chat", {**CHAT, "stream": False, "think": False})
        assert (other.status_code, len(plane.line.wishes)) == (500, 2)


NO_ROOM = "There is no memory left for this model now."


@pytest.mark.parametrize("library", ["ollama", "openai", "anthropic"])
async def test_a_library_whose_document_was_reset_shows_the_reason_and_loads_nothing_a_second_time(
    library: str,
) -> None:
    """ollama-python never tries again: its user does, and is told then."""
    said = [{"role": "user", "content": "hi"}]

    async def call() -> None:
        if library == "ollama":
            async with ollama.AsyncClient(plane.url) as native:
                await native.chat("tiny", said)
        elif library == "openai":
            async with openai.AsyncOpenAI(base_url=f"{plane.url}/v1", api_key="none") as client:
                await client.chat.completions.create(model="tiny", messages=said)  # type: ignore[arg-type]
        else:
            async with anthropic.AsyncAnthropic(base_url=plane.url, api_key="none") as claude:
                await claude.messages.create(model="tiny", max_tokens=9, messages=said)  # type: ignore[arg-type]

    async def ask() -> Exception:
        with pytest.raises((ollama.ResponseError, httpx.HTTPError, openai.APIError, anthropic.APIError)) as told:
            await call()
        return told.value

    async with upstream(silent) as address, gateway(address, slots=0, using=SOON, rhythm=QUICK) as plane:
        asking = asyncio.create_task(ask())
        await until(lambda: any(each.bytes_out for each in plane.requests))
        plane.line.finish(plane.line.waiting[0], End.NO_ROOM, NO_ROOM)
        shown = await asking
        if library == "ollama":
            assert isinstance(shown, httpx.RemoteProtocolError | httpx.ReadError)
            shown = await ask()
        assert getattr(shown, "status_code", None) == 503
        assert NO_ROOM in str(shown)
        assert len(plane.line.wishes) == 1


async def test_a_transcription_is_never_filled() -> None:
    form = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nmodel\r\n'
        b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--b--\r\n'
    )
    using = Config(models=Models(redirect={"whisper-*": "real:large"}))
    async with upstream(failing(200, b"some text")) as address:
        async with gateway(address, slots=0, rhythm=QUICK, using=using) as plane, plane.client() as client:
            kind = {"Content-Type": "multipart/form-data; boundary=b"}
            asking = asyncio.create_task(client.post("/v1/audio/transcriptions", content=form, headers=kind))
            await until(lambda: bool(plane.line.waiting))
            await asyncio.sleep(0.5)  # two fillers' time
            assert plane.line.wishes[0].model == "real:large"
            plane.line.open(1)
            answer = await asking
            assert answer.content == b"some text"
            assert answer.headers["x-seadragon-adjusted"] == "model=real:large (redirect)"


@pytest.mark.parametrize(
    "form",
    [
        b"",
        b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n',
        b'--b\nContent-Disposition: form-data; name="model"\n\nm\n--b--\n',
        b"--b\r\nContent-Disposition: form-data; name*=utf-8''model\r\n\r\nother\r\n"
        b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--b--\r\n',
    ],
)
async def test_a_form_that_we_read_otherwise_than_ollama_may_is_refused(tmp_path: Path, form: bytes) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane, plane.client() as client:
        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = await client.post("/v1/audio/transcriptions", content=form, headers=kind)
        assert answer.status_code == 400
        assert await fake.seen() == []


async def test_codex_is_told_before_it_gives_up() -> None:
    rhythm = Rhythm(sweep=0.05, grace=0.1, every=0.1, silent=0.5)
    _, _, body = STREAMS["/v1/responses"]
    async with upstream(silent) as address, gateway(address, slots=0, rhythm=rhythm) as plane:
        answer = await post(plane, "/v1/responses", body)
        assert answer.status_code == 200
        assert b"event: response.failed" in answer.content
        assert (await plane.record()).reason == "silent_too_long"
    async with upstream(silent) as address, gateway(address, slots=0, rhythm=Rhythm(sweep=0.05, silent=0.3)) as plane:
        answer = await post(plane, "/v1/responses", body)
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 60


# --- tickets ----------------------------------------------------------------------------------------------------------


async def test_a_slot_is_free_when_ollama_has_said_all_however_slowly_its_client_reads() -> None:
    document = b'{"response":"' + b"x" * (12 * 2**20) + b'","done":true,"eval_count":5}'
    async with upstream(failing(200, document)) as address, gateway(address, slots=1) as plane:
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port, limit=1000)
        body = json.dumps({**CHAT, "stream": False}).encode()
        writer.write(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await until(lambda: len(plane.line.ended) == 1)
        assert len(plane.plane.open) == 1
        _, left, tokens = plane.line.ended[0]
        assert (left, tokens and tokens.answer) == (False, 5)
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len(document)) == document
        writer.close()


@pytest.mark.parametrize("path", list(STREAMS))
async def test_a_waiting_request_that_the_operator_cancels_is_told_what_to_do(path: str) -> None:
    async with upstream(silent) as address, gateway(address, slots=0, rhythm=QUICK) as plane:
        async with plane.client() as client, client.stream("POST", path, json=STREAMS[path][2]) as answer:
            assert answer.status_code == 200  # it has seen fillers
            plane.line.finish(plane.line.waiting[0], End.CANCELLED)
            assert CANCELLED in (await answer.aread()).decode()
        assert (await plane.record()).reason == "cancelled"


# --- names ------------------------------------------------------------------------------------------------------------


async def test_a_name_that_nobody_knows_is_ollamas_to_refuse_and_gets_no_place(tmp_path: Path) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address, slots=0) as plane:
        plane.names.unknown = {"nobody"}
        answer = await post(plane, "/api/chat", {**CHAT, "model": "nobody"})
        assert (answer.status_code, answer.json()) == (404, {"error": "model 'nobody' not found"})
        answer = await post(plane, "/api/chat", {"messages": CHAT["messages"]})
        assert answer.status_code == 404
        assert plane.line.wishes == []
        assert plane.names.asked == {"nobody": 1}


async def test_a_new_name_is_looked_up_as_soon_as_ollama_is_there(tmp_path: Path) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(None) as plane:
        plane.names.cold, plane.names.unreachable = {"tiny"}, 2
        asking = asyncio.create_task(post(plane, "/api/chat", CHAT))
        await until(lambda: plane.plane.tally.runs.held == 1)
        assert not plane.names.asked
        plane.readiness.set("ready", "It answers.", fake.address)
        assert (await asking).status_code == 200
        assert plane.names.asked["tiny"] == 3


async def test_a_change_of_the_models_is_told_to_the_names(tmp_path: Path) -> None:
    using = config(access=MANAGER)
    async with fake_ollama(tmp_path) as fake, gateway(fake.address, using=using) as plane, plane.client() as client:
        await client.request("DELETE", "/api/delete", json={"model": "tiny"})
        assert plane.names.changes >= 1


# --- adjusted ---------------------------------------------------------------------------------------------------------


async def test_what_was_changed_is_told() -> None:
    got: list[bytes] = []

    async def serve(reader: Reader, writer: Writer) -> None:
        while True:
            _, body = await request_of(reader)
            got.append(body)
            writer.write(
                b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"done":true}'
            )
            await writer.drain()

    using = Config(models=Models(default="house", redirect={"gpt-*": "qwen3"}, max_tokens=100))
    async with upstream(serve) as address, gateway(address, using=using) as plane:
        answer = await post(plane, "/api/chat", {"messages": ["x"], "options": {"num_ctx": 9}, "keep_alive": 5})
        told = answer.headers["x-seadragon-adjusted"]
        assert told == "model=house (default), keep_alive dropped, num_ctx dropped, num_predict=100 (limit)"
        assert json.loads(got[0]) == {"messages": ["x"], "options": {"num_predict": 100}, "model": "house"}
        assert plane.line.wishes[0].model == "house"
        answer = await post(plane, "/v1/chat/completions", {"model": "gpt-5", "messages": ["x"], "max_tokens": 5})
        assert answer.headers["x-seadragon-adjusted"] == "model=qwen3 (redirect)"
        assert (await plane.record(2)).model == "qwen3"
        answer = await post(plane, "/v1/chat/completions", {"model": "own", "messages": ["x"], "max_tokens": 5})
        assert "x-seadragon-adjusted" not in answer.headers


FORM = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nmodel\r\n'
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nred\r\n--b--\r\n'
)


@pytest.mark.parametrize(
    ("path", "kind", "body", "wanted"),
    [
        (
            "/api/chat",
            "application/json",
            b'{"model":"red","messages":["x"]}',
            b'{"model":"blue:latest","messages":["x"]}',
        ),
        (
            "/v1/audio/transcriptions",
            "multipart/form-data; boundary=b",
            FORM,
            FORM.replace(b"\nred\r", b"\nblue:latest\r"),
        ),
    ],
)
async def test_who_is_given_another_model_by_a_switch_asks_ollama_for_that_one(
    path: str, kind: str, body: bytes, wanted: bytes
) -> None:
    got: list[bytes] = []

    async def serve(reader: Reader, writer: Writer) -> None:
        got.append((await request_of(reader))[1])
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"done":true}')
        await writer.drain()

    async with upstream(serve) as address, gateway(address, slots=0) as plane, plane.client() as client:
        asking = asyncio.create_task(client.post(path, content=body, headers={"Content-Type": kind}))
        await until(lambda: bool(plane.line.waiting))
        [ticket] = plane.line.waiting
        ticket.model, ticket.runner = "blue:latest", runner("blue")
        plane.line.open(1)
        answer = await asking
        assert answer.status_code == 200
        assert answer.headers["x-seadragon-adjusted"] == "model=blue:latest (switched)"
        mark = got[0].partition(b"\r\n")[0] if kind.startswith("multipart") else b""
        assert got[0].replace(mark or b"--b", b"--b") == wanted
        assert (await plane.record()).model == "blue:latest"


async def test_stopping_a_model_is_an_order_of_those_who_may(tmp_path: Path) -> None:
    stop = {"model": "tiny", "keep_alive": 0}
    async with fake_ollama(tmp_path) as fake, gateway(fake.address, using=config(access=MANAGER)) as plane:
        for path, said in (("/api/generate", "response"), ("/api/chat", "message"), ("/api/embed", "embeddings")):
            answer = (await post(plane, path, stop)).json()
            assert said in answer
            assert path == "/api/embed" or (answer["done"], answer["done_reason"]) == (True, "unload")
        assert plane.line.orders == [("unload", "tiny")] * 3
        plane.line.refuses_to_unload = OrderRefused("It is not loaded.", "conflict")
        answer = await post(plane, "/api/generate", stop)
        assert (answer.status_code, answer.json()["done_reason"]) == (200, "unload")  # as Ollama has it
        plane.line.refuses_to_unload = OrderRefused("It is still at work.", "busy")
        answer = await post(plane, "/api/generate", stop)
        assert (answer.status_code, answer.json()) == (503, {"error": "It is still at work."})
        await post(plane, "/api/chat", {**CHAT, "keep_alive": 0})
        await post(plane, "/api/chat", {**CHAT, "keep_alive": -1})
        assert plane.line.orders[3:] == [("unload after", "tiny"), ("stay after", "tiny")]
        assert len(plane.line.wishes) == 2
        plane.configure(config())
        assert (await post(plane, "/api/generate", stop)).status_code == 403
        answer = await post(plane, "/api/chat", {**CHAT, "keep_alive": -1})
        assert answer.headers["x-seadragon-adjusted"] == "keep_alive dropped"
        assert len(plane.line.orders) == 5


async def test_a_load_is_a_ticket_like_any_other(tmp_path: Path) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address, slots=0, rhythm=QUICK) as plane:
        asking = asyncio.create_task(post(plane, "/api/generate", {"model": "tiny", "keep_alive": "10m"}))
        await until(lambda: any(each.status for each in plane.requests))
        plane.line.open(1)
        assert json.loads((await asking).content)["done_reason"] == "load"
        assert plane.line.ended[0][2] is None


async def test_a_body_of_millions_of_members_is_refused_at_once(tmp_path: Path) -> None:
    body = b"{" + b",".join(b'"%x":1' % number for number in range(1_000_000)) + b"}"
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane, plane.client() as client:
        answer = await client.post("/api/chat", content=body)
        assert answer.status_code == 400
        assert await fake.seen() == []


# --- the management API -----------------------------------------------------------------------------------------------


async def test_the_management_api_is_told_who_asks(tmp_path: Path) -> None:
    async with fake_ollama(tmp_path, echo=True) as fake, gateway(fake.address, using=config(access=MANAGER)) as plane:
        async with plane.client() as client:
            for method, path in (
                ("GET", "/api/v1/models"),
                ("GET", "/api/code/api/v1/queue"),
                ("GET", "/api/v1/jobs/abc"),
                ("POST", "/api/v1/models/switch"),
                ("POST", "/api/v1/queue/pause"),
                ("POST", "/api/v1/queue/cancel"),
            ):
                told = (await client.request(method, path, json={"model": "m"})).json()
                assert told["who"] == "this computer"
                assert told["path"] == path.removeprefix("/api/code")
                assert (told["body"] == '{"model":"m"}') is (method == "POST")
            large = await client.post("/api/v1/models/load", content=b"x" * 70_000)
            assert large.status_code == 413
            plane.configure(config())
            assert (await client.get("/api/v1/memory")).status_code == 200
            assert (await client.post("/api/v1/models/load", json={"model": "m"})).status_code == 403


async def test_the_same_base_url_serves_openais_clients(tmp_path: Path) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane:
        async with openai.AsyncOpenAI(base_url=f"{plane.url}/api/v1", api_key="x", max_retries=0) as client:
            said = await client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "hi"}])
            assert (said.choices[0].message.content or "").startswith("the sea")
        assert (await plane.record()).route == "/v1/chat/completions"


async def test_who_is_turned_away_and_who_changes_models_is_told_to_the_audit(tmp_path: Path) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address, using=config(access=MANAGER)) as plane:
        async with plane.client() as client:
            await client.post("/api/pull", json={"model": "other", "stream": False})
            await client.get("/api/tags", headers={"X-Forwarded-For": "127.0.0.1"})
            await client.get("/api/tags")
            await plane.record(3)
    assert [(record.route, record.reason) for record in plane.noted] == [
        ("/api/pull", ""),
        ("/api/tags", "through_a_proxy"),
    ]
