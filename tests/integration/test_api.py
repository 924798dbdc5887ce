"""The management API over real HTTP: with httpx, and with OpenAI's own library."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import uvicorn

from controller.api.late import LateApi
from controller.auth.access import Principal
from controller.errors import OrderFault, OrderRefused, Unreachable
from tests.fakes.desk import FakeDesk, FakeJob, a_line, a_ticket
from tests.kit import web

OWNER, GUEST = Principal("owner", manage=True), Principal("mia", lane=3.0)
HELPER = Principal("helper", manage=True, models=("llama*",))


class Door:
    """Stands for the data plane: says who calls."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.who: Principal | None = OWNER

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app({**scope, "seadragon.who": self.who}, receive, send)


@pytest.fixture
def desk(tmp_path: Path) -> FakeDesk:
    return FakeDesk(tmp_path)


@pytest.fixture
def door(desk: FakeDesk) -> Door:
    return Door(LateApi(desk))


@pytest.fixture
async def api(door: Door) -> AsyncIterator[httpx.AsyncClient]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(door, log_config=None, lifespan="off", ws="none"))
        serving = asyncio.ensure_future(server.serve([listening]))
        base = f"http://127.0.0.1:{listening.getsockname()[1]}/api/v1"
        async with web.async_client(base_url=base, timeout=30) as client:
            yield client
        server.should_exit = True
        await serving


# --- looking ---


async def test_the_models_are_an_openai_list_with_our_fields(api: httpx.AsyncClient, desk: FakeDesk) -> None:
    answer = await api.get("/models")
    assert answer.status_code == 200
    assert answer.json() == {"object": "list", "data": desk.installed}
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_openais_own_library_takes_it_for_a_base(api: httpx.AsyncClient, desk: FakeDesk) -> None:
    async with openai.AsyncOpenAI(base_url=str(api.base_url), api_key="any", max_retries=0) as client:
        names = [model.id async for model in await client.models.list()]
        assert names == ["llama3.2", "qwen3"]
        one = await client.models.retrieve("qwen3")
        assert (one.id, (one.model_extra or {})["state"]) == ("qwen3", "resident")
        with pytest.raises(openai.NotFoundError, match="no model called 'nope'"):
            await client.models.retrieve("nope")


@pytest.mark.parametrize("name", ["qwen3", "hf.co/someone/tiny:Q4"])
async def test_a_model_is_found_by_its_name_or_without_latest(
    api: httpx.AsyncClient, desk: FakeDesk, name: str
) -> None:
    desk.installed = [{**desk.installed[0], "id": "qwen3:latest"}, {**desk.installed[0], "id": "hf.co/someone/tiny:Q4"}]
    assert (await api.get(f"/models/{name}")).json()["id"].startswith(name)


async def test_head_is_a_get_without_its_body(api: httpx.AsyncClient) -> None:
    answer = await api.head("/models")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_an_ollama_that_cannot_be_asked_is_a_503_that_may_be_tried_again(
    api: httpx.AsyncClient, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> list[dict[str, Any]]:
        raise Unreachable("Ollama does not run.")

    monkeypatch.setattr(desk, "models", away)
    answer = await api.get("/models")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["error"]["message"] == "Ollama does not run."


async def test_a_list_that_does_not_come_is_not_waited_for_long(
    api: httpx.AsyncClient, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> list[dict[str, Any]]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(desk, "models", never)
    monkeypatch.setattr("controller.api.looking.LISTING", 0.01)
    answer = await api.get("/models")
    assert (answer.status_code, "too busy" in answer.text) == (503, True)


async def test_the_operator_sees_everybody_in_the_line(api: httpx.AsyncClient, desk: FakeDesk) -> None:
    desk.line = a_line(a_ticket(1, "cline", state="granted"), a_ticket(2, "mia"))
    seen = (await api.get("/queue")).json()
    assert seen == {"object": "queue", **desk.line, "others": {"waiting": 0, "running": 0}}


@pytest.mark.parametrize(("who", "own"), [(GUEST, [2]), (None, [])])
async def test_anybody_else_sees_their_own_tickets_and_how_many_others_there_are(
    api: httpx.AsyncClient, desk: FakeDesk, door: Door, who: Principal | None, own: list[int]
) -> None:
    desk.line = a_line(a_ticket(1, "cline", state="granted"), a_ticket(2, "mia"), a_ticket(3, "n8n"))
    door.who = who
    answer = await api.get("/queue")
    seen = answer.json()
    assert [ticket["number"] for ticket in seen["tickets"]] == own
    assert seen["others"] == {"waiting": 2 - len(own), "running": 1}
    assert "cline" not in answer.text


async def test_memory_is_told_as_it_is(api: httpx.AsyncClient, desk: FakeDesk) -> None:
    assert (await api.get("/memory")).json() == {"object": "memory", **desk.room}


# --- orders ---


@pytest.mark.parametrize(
    ("path", "body", "order"),
    [
        ("load", {}, ("load", {})),
        ("unload", {}, ("unload", {})),
        ("switch", {}, ("switch", {"waiting": "keep", "when": "free"})),
        (
            "switch",
            {"from": "llama3.2", "waiting": "redirect", "when": "now"},
            ("switch", {"from_": "llama3.2", "waiting": "redirect", "when": "now"}),
        ),
        ("pin", {}, ("pin", {"on": True})),
        ("pin", {"pinned": False}, ("pin", {"on": False})),
    ],
)
async def test_an_order_is_answered_at_once_with_its_job(
    api: httpx.AsyncClient, desk: FakeDesk, path: str, body: dict[str, Any], order: tuple[str, dict[str, Any]]
) -> None:
    answer = await api.post(f"/models/{path}", json={"model": "qwen3", **body})
    assert answer.status_code == 202
    assert desk.orders == [(order[0], {"model": "qwen3", **order[1]})]
    job = answer.json()
    assert (job["object"], job["id"], job["state"], job["text"]) == ("job", "j1", "running", "It has begun.")
    assert answer.headers["location"] == "/api/v1/jobs/j1"
    desk.jobs["j1"].end("qwen3 is loaded.")
    job = (await api.get("/jobs/j1")).json()
    assert (job["state"], job["text"], job["ended"]) == ("done", "qwen3 is loaded.", desk.jobs["j1"].ended)


@pytest.mark.parametrize("how", ["query", "body"])
async def test_the_end_is_waited_for_when_asked(api: httpx.AsyncClient, desk: FakeDesk, how: str) -> None:
    begun = asyncio.Event()
    desk.on_job = lambda job: begun.set()
    asked = {"model": "qwen3", "wait": 30} if how == "body" else {"model": "qwen3"}
    query = {"wait": "30"} if how == "query" else {}
    waiting = asyncio.create_task(api.post("/models/load", json=asked, params=query))
    await begun.wait()
    assert not waiting.done()
    desk.jobs["j1"].end("qwen3 is loaded.")
    answer = await waiting
    assert (answer.status_code, answer.json()["state"]) == (200, "done")


async def test_a_wait_that_is_over_before_the_job_leaves_it_running(api: httpx.AsyncClient, desk: FakeDesk) -> None:
    answer = await api.post("/models/load", json={"model": "qwen3", "wait": 0.01})
    assert (answer.status_code, answer.json()["state"]) == (202, "running")


async def test_a_controller_that_leaves_does_not_wait_for_a_job(api: httpx.AsyncClient, desk: FakeDesk) -> None:
    desk.phase = "draining"
    answer = await api.post("/models/load", json={"model": "qwen3", "wait": 300})
    assert (answer.status_code, answer.json()["state"]) == (202, "running")


async def test_a_job_that_fails_is_an_error_to_who_waited_for_it(api: httpx.AsyncClient, desk: FakeDesk) -> None:
    desk.on_job = lambda job: job.end("The runner ended while it loaded.", "failed")
    answer = await api.post("/models/load?wait=5", json={"model": "qwen3"})
    assert answer.status_code == 502
    assert answer.json()["error"]["message"] == "The runner ended while it loaded."
    assert answer.json()["job"]["state"] == "failed"


@pytest.mark.parametrize(
    ("fault", "status"), [("unknown", 404), ("conflict", 409), ("no_room", 400), ("busy", 503), ("failed", 502)]
)
async def test_an_order_that_is_refused_says_why_in_openais_shape(
    api: httpx.AsyncClient, desk: FakeDesk, fault: OrderFault, status: int
) -> None:
    def refuse(job: FakeJob) -> None:
        raise OrderRefused("llama3.2 is not loaded.", fault)

    desk.on_job = refuse
    answer = await api.post("/models/switch", json={"model": "qwen3", "from": "llama3.2"})
    error = answer.json()["error"]
    assert (answer.status_code, error["message"], error["code"]) == (status, "llama3.2 is not loaded.", fault)
    assert ("retry-after" in answer.headers) == (fault == "busy")


async def test_a_lane_or_a_model_is_paused_and_resumed(api: httpx.AsyncClient, desk: FakeDesk) -> None:
    answer = await api.post("/queue/pause", json={"lane": 3, "model": "qwen3"})
    assert answer.json() == {"object": "pauses", "paused": ["lane 3", "qwen3"]}
    assert (await api.post("/queue/resume", json={})).json()["paused"] == []
    assert (await api.post("/queue/pause")).json()["paused"] == ["everything"]  # nothing said: all of it
    everything = (None, None)
    assert desk.orders == [("pause", (3.0, "qwen3")), ("resume", everything), ("pause", everything)]


async def test_one_request_is_cancelled_by_its_number(api: httpx.AsyncClient, desk: FakeDesk) -> None:
    desk.line = a_line(a_ticket(7, "cline", state="granted"), a_ticket(8, "mia"))
    answer = await api.post("/queue/cancel", json={"number": 7})
    assert (answer.status_code, answer.json()) == (200, {"object": "request.cancelled", "number": 7})
    assert [each["number"] for each in (await api.get("/queue")).json()["tickets"]] == [8]
    again = await api.post("/queue/cancel", json={"number": 7})
    assert again.status_code == 404
    assert again.json()["error"]["message"].startswith("There is no request 7")


async def test_a_request_for_a_model_that_does_not_exist_for_the_caller_is_none_to_cancel(
    api: httpx.AsyncClient, desk: FakeDesk, door: Door
) -> None:
    desk.line = a_line(a_ticket(7, "cline", model="qwen3"), a_ticket(8, "mia"))
    door.who = HELPER
    hidden, absent = [await api.post("/queue/cancel", json={"number": number}) for number in (7, 9)]
    assert hidden.status_code == absent.status_code == 404
    assert hidden.text.replace("7", "9") == absent.text
    assert (await api.post("/queue/cancel", json={"number": 8})).status_code == 200
    assert [each["number"] for each in desk.line["tickets"]] == [7]


async def test_models_that_do_not_exist_for_the_caller_are_not_in_their_line_and_not_paused_by_them(
    api: httpx.AsyncClient, desk: FakeDesk, door: Door
) -> None:
    desk.line = a_line(a_ticket(1, "cline", model="qwen3"), a_ticket(2, "mia")) | {"paused": ["qwen3", "lane 3"]}
    door.who = HELPER
    seen = (await api.get("/queue")).json()
    assert ([each["number"] for each in seen["tickets"]], seen["paused"]) == ([2], ["lane 3"])
    assert seen["others"] == {"waiting": 1, "running": 0}
    for path in ("/queue/pause", "/queue/resume"):
        answer = await api.post(path, json={"model": "qwen3"})
        assert (answer.status_code, desk.orders) == (404, [])
        assert "qwen3" in answer.json()["error"]["message"]
    assert (await api.post("/queue/pause", json={"model": "llama3.2"})).json()["paused"] == ["lane 3", "llama3.2"]


ORDERS = (
    *("/models/load", "/models/unload", "/models/switch", "/models/pin"),
    *("/queue/pause", "/queue/resume", "/queue/cancel"),
)


@pytest.mark.parametrize("path", ORDERS)
@pytest.mark.parametrize("who", [GUEST, None])
async def test_who_may_not_manage_is_told_how_to_get_the_right(
    api: httpx.AsyncClient, desk: FakeDesk, door: Door, path: str, who: Principal | None
) -> None:
    door.who = who
    answer = await api.post(path, json={"model": "qwen3"})
    assert (answer.status_code, desk.orders) == (403, [])
    assert "`manage: true`" in answer.json()["error"]["message"]


async def test_the_job_of_a_model_that_is_not_for_the_caller_does_not_exist(
    api: httpx.AsyncClient, desk: FakeDesk, door: Door
) -> None:
    job = (await api.post("/models/load", json={"model": "qwen3"})).json()["id"]
    assert (await api.get(f"/jobs/{job}")).status_code == 200
    door.who = Principal("mia", manage=True, models=("llama3.2",))
    hidden, absent = await api.get(f"/jobs/{job}"), await api.get("/jobs/j99")
    assert hidden.status_code == absent.status_code == 404
    assert hidden.text.replace(job, "j99") == absent.text


async def test_who_may_not_manage_sees_no_job_either(api: httpx.AsyncClient, desk: FakeDesk, door: Door) -> None:
    await desk.order("load", "qwen3")
    door.who = GUEST
    assert (await api.get("/jobs/j1")).status_code == 403


# --- mistakes ---


@pytest.mark.parametrize(
    ("path", "body", "words", "param"),
    [
        ("/models/load", "{}", "`model` is missing.", "model"),
        ("/models/load", '{"modle": "x"}', "`modle` is no member that is known here.", "modle"),
        ("/models/load", '{"model": "x", "wiat": 3}', "`wiat` is no member that is known here.", "wiat"),
        ("/models/load", '{"model": 7}', "`model`: input should be a valid string.", "model"),
        ("/models/load", '{"model": ""}', "`model`: string should have at least 1 character.", "model"),
        ("/models/load", '{"model": "x", "wait": "30"}', "`wait`: input should be a valid number.", "wait"),
        ("/models/load", '{"model": "x", "wait": 301}', "`wait`: input should be less than or equal to 300.", "wait"),
        ("/models/load?wait=soon", '{"model": "x"}', "`wait`: input should be a valid number", "wait"),
        ("/models/switch", '{"model": "x", "when": "later"}', "`when`: input should be 'free' or 'now'.", "when"),
        ("/models/pin", '{"model": "x", "pinned": "yes"}', "`pinned`: input should be a valid boolean.", "pinned"),
        ("/queue/pause", '{"lane": -1}', "`lane`: input should be greater than or equal to 0.", "lane"),
        ("/queue/pause", '{"lane": NaN}', "`lane`: input should be", "lane"),
        ("/queue/cancel", "{}", "`number` is missing.", "number"),
        ("/queue/cancel", '{"number": 0}', "`number`: input should be greater than or equal to 1.", "number"),
        ("/queue/cancel", '{"number": "7"}', "`number`: input should be a valid integer.", "number"),
        ("/queue/cancel", '{"number": 1%s}' % ("0" * 400), "`number`: input should be less than or equal to", "number"),
        ("/queue/cancel", '{"number": true}', "`number`: input should be a valid integer.", "number"),
        ("/models/load", "not json", "The body is not JSON.", None),
        ("/models/load", "", "The body is missing: it must be a JSON object.", None),
        ("/models/load", "[]", "The body: input should be a valid dictionary", None),
    ],
)
async def test_a_mistake_is_told_by_the_members_name(
    api: httpx.AsyncClient, desk: FakeDesk, path: str, body: str, words: str, param: str | None
) -> None:
    answer = await api.post(path, content=body)
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["message"].startswith(words)
    assert (error["param"], error["type"]) == (param, "invalid_request_error")
    assert desk.orders == []


async def test_a_body_may_call_itself_a_form_as_curl_does(api: httpx.AsyncClient, desk: FakeDesk) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await api.post("/models/load", content='{"model": "qwen3"}', headers=form)).status_code == 202


@pytest.mark.parametrize("pieces", [1, 2])
async def test_a_body_longer_than_any_order_is_refused(api: httpx.AsyncClient, desk: FakeDesk, pieces: int) -> None:
    async def coming() -> AsyncIterator[bytes]:
        for _ in range(pieces):
            yield b" " * (70_000 // pieces)
        yield b'{"model": "x"}'

    answer = await api.post("/models/load", content=coming())
    assert (answer.status_code, desk.orders) == (413, [])
    assert answer.json()["error"]["message"] == "This body is longer than any order."


async def test_deep_nesting_breaks_nothing(api: httpx.AsyncClient) -> None:
    answer = await api.post("/models/load", content='{"model": ' + "[" * 30_000)
    assert answer.status_code == 400
    assert (await api.get("/memory")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/jobs/j9", 404), ("DELETE", "/models/x", 405), ("GET", "/queue/pause", 405)],
)
async def test_what_is_not_there_is_said_in_openais_shape_too(
    api: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await api.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["message"].endswith(("path.", "method.", "long ago."))


async def test_a_failure_of_ours_is_noted_and_told_without_details(
    api: httpx.AsyncClient, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(FakeDesk, "memory")
    answer = await api.get("/memory")
    assert (answer.status_code, "AttributeError" in answer.text) == (500, False)
    assert "AttributeError" in desk.journal.last(1)[0].text


async def test_the_document_of_the_api_names_every_route_and_no_page_shows_it(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    assert {f"/api/v1{path}" for path in (*ORDERS, "/models", "/queue", "/memory", "/jobs/{id}")} <= set(
        document["paths"]
    )
    assert set(document["paths"]["/api/v1/models/switch"]["post"]["responses"]) >= {"200", "202", "403", "409"}
    for path in ("/docs", "/redoc"):
        assert (await api.get(path)).status_code == 404


async def test_an_api_that_cannot_be_made_is_told_once(desk: FakeDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.api.app.ROOT", "no slash")
    transport = httpx.ASGITransport(LateApi(desk))
    async with web.async_client(transport=transport, base_url="http://sea") as client:
        for _ in range(2):
            answer = await client.get("/api/v1/models")
            assert (answer.status_code, "seadragon logs" in answer.text) == (500, True)
    (told,) = [event.text for event in desk.journal.last(5)]
    assert told.startswith("Not to be had: the management API. AssertionError")
