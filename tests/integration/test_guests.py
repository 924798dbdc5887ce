"""What a child, and whoever is held to some models, is told: of the house nothing, by no page and by no answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from controller.supervision.spec import ChildState
from tests.fakes.desk import a_line, a_model, a_ticket, an_ollama
from tests.kit.until import until
from tests.kit.whole_door import PROGRAM, WholeDoor, whole_door

FOLDER, SETTING, HIDDEN, PROGRAM_NAME = "/Volumes/Secret/models", "num_ctx: 4711", "hidden-model", "the-printer"
NOTHING_OF = (FOLDER, "Volumes", SETTING, "4711", HIDDEN, PROGRAM_NAME, "access.yaml", "server.yaml", "51234")


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[WholeDoor]:
    """A house in which everything that can be told names something that guests are not to know."""
    async with whole_door(tmp_path) as opened:
        desk = opened.desk
        desk.data = Path(FOLDER)
        desk.config_problems = [f"server.yaml:3:5: {SETTING} under {FOLDER}"]
        desk.known = {
            "ollama": replace(
                an_ollama(),
                state=ChildState.MISCONFIGURED,
                reason=f"There is no {FOLDER}.",
                url="http://127.0.0.1:51234",
            ),
            PROGRAM_NAME: replace(an_ollama(), name=PROGRAM_NAME, state=ChildState.DEGRADED, reason=f"In {FOLDER}."),
        }
        desk.line = a_line(a_ticket(1, "Ada", model=HIDDEN), a_ticket(2, "Ada", model=HIDDEN, state="granted"))
        desk.line["paused"] = [HIDDEN]
        desk.installed = [
            a_model("shown", last_error=f"no {FOLDER}/blobs of {HIDDEN}"),
            a_model(HIDDEN, state="resident"),
        ]
        desk.room["models_loaded"] = {HIDDEN: 3.0}
        desk.listeners = [{"url": "http://10.9.8.7:51234", "kind": "direct"}]
        for source in ("controller", "ollama", "config", "models", "door"):
            desk.journal.say(source, f"{source}: {SETTING} in {FOLDER} for {HIDDEN}", level="error")
        yield opened


async def a_child(door: WholeDoor) -> str:
    id = await door.person("kim", "child")
    await door.room.holders.users.change(id, models=["shown"])
    return id


async def a_guest(door: WholeDoor) -> str:
    id = await door.person("gus", "member")
    await door.room.holders.users.change(id, models=["shown"])
    return id


def told_nothing(text: str) -> None:
    for each in NOTHING_OF:
        assert each not in text, text


Who = Callable[[WholeDoor], Awaitable[str]]


@pytest.mark.parametrize("who", [a_child, a_guest])
@pytest.mark.parametrize("phase", ["running", "safe", "draining"])
@pytest.mark.parametrize("state", [ChildState.MISCONFIGURED, ChildState.READY, ChildState.STOPPED])
async def test_no_page_and_no_event_tells_a_guest_of_the_house(
    door: WholeDoor, who: Who, phase: str, state: ChildState
) -> None:
    id = await who(door)
    door.desk.known["ollama"] = replace(door.desk.known["ollama"], state=state)
    door.desk.phase = phase
    async with door.signed_in(id) as client:
        for path in ("/", "/account", "/account/devices", "/login", "/nothing"):
            told_nothing((await client.get(path, headers={"Accept": "text/html"})).text)
        for path in ("/orders", "/metrics", "/admin/invites"):
            answer = await client.request("POST" if path == "/orders" else "GET", path, data={})
            assert answer.status_code >= 400
            told_nothing(answer.text)
        told_nothing(await streamed(client, door))


async def streamed(client: httpx.AsyncClient, door: WholeDoor) -> str:
    """What the live page sends, also when something happens."""
    text = ""
    async with client.stream("GET", "/live") as stream:
        async for piece in stream.aiter_text():
            if not text:
                door.desk.journal.say("models", f"Loaded {HIDDEN} from {FOLDER}.")
                door.desk.phase = "draining"  # which ends it, once more is told
            text += piece
    assert "fragment" in text
    return text


async def test_who_looks_after_the_house_still_sees_it(door: WholeDoor) -> None:
    admin = await door.person("ada", "admin")
    async with door.signed_in(admin) as client:
        page = (await client.get("/", headers={"Accept": "text/html"})).text
    for each in (FOLDER, SETTING, HIDDEN, PROGRAM_NAME):
        assert each in page


async def test_no_answer_of_the_api_tells_a_guests_key_of_the_house(door: WholeDoor) -> None:
    made = await door.room.holders.keys.create("guest's", by="tests", models=["shown"], scopes=("infer", "list"))
    child = await door.person("kim", "child")
    childs = await door.room.holders.keys.create("kim's", by="tests", user_id=child, models=["shown"])
    for key in (made.text, childs.text):
        async with door.browser(Authorization=f"Bearer {key}") as client:
            for path in ("models", "models/shown", f"models/{HIDDEN}", "queue", "memory", "usage", "keys", "jobs/j1"):
                answer = await client.get(f"/api/v1/{path}")
                told_nothing(answer.text.replace(f"models/{HIDDEN}", "").replace(f"'{HIDDEN}'", ""))
            for path in ("/api/pull", "/api/v1/models/load", "/api/v1/queue/pause"):
                answer = await client.post(path, json={"model": "shown"})
                assert answer.status_code == 403
                told_nothing(answer.text)


async def test_who_hangs_up_in_the_middle_of_a_form_is_one_quiet_line(
    door: WholeDoor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("controller").setLevel(logging.DEBUG)
    before = len(door.desk.journal.last(99))
    for path in ("/login", "/logout", "/join", "/account"):
        host, _, port = door.plane.url.removeprefix("http://").partition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        writer.write(f"{head}Content-Length: 500\r\n\r\nname=mia&pass".encode())
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.close()
        await writer.wait_closed()

    await until(lambda: len(door.plane.records) == 4)
    reasons = [str(each.reason) for each in door.plane.records]
    assert sorted(reasons) == ["client_gone"] * 3 + ["may_not"]  # /account is refused before its form is read
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(door.desk.journal.last(99)) == before
    async with door.browser(**PROGRAM) as client:
        assert (await client.post("/login", json={"name": "x", "password": "y"})).status_code == 403
