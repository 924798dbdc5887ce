"""Orders that take away the very right they were given by: they are carried out, answered and noted like all others."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from controller.answering.rhythm import Rhythm
from controller.auth import sessions
from controller.auth.signin import Browser, Person
from controller.desk import OPERATOR
from controller.proxy import exchange
from tests.integration.plane import CHAT, fake_ollama
from tests.kit.front_door import PASSWORD
from tests.kit.until import until
from tests.kit.whole_door import PROGRAM, WholeDoor, given, whole_door

NEW = "octopuses have three hearts"


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[WholeDoor]:
    async with whole_door(tmp_path) as opened:
        yield opened


async def sent(client: httpx.AsyncClient, page: str, path: str, **fields: str) -> httpx.Response:
    """What sending a form comes to, as a browser does it: the form is on `page`, and is sent to `path`."""
    shown = await client.get(page)
    form = re.search(r'name="form" value="([^"]+)"', shown.text)
    assert form, shown.text
    headers = {"Origin": str(client.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    return await client.post(path, data={"form": form[1], **fields}, headers=headers)


async def greeted(door: WholeDoor, cookie: str) -> str:
    """Whose browser carries this cookie."""
    async with door.browser(cookie, **PROGRAM) as client:
        answer = await client.get("/account")
        assert answer.status_code == 200, answer.text
        name: str = answer.json()["name"]
        return name


# --- pages ---


async def test_signing_out_by_the_form_takes_the_cookie_away_and_is_noted(door: WholeDoor) -> None:
    mia = await door.person("mia")
    async with door.signed_in(mia) as client:
        answer = await sent(client, "/account", "/logout")
        assert (answer.status_code, answer.headers["location"], given(answer)) == (303, "/login", "")
    assert not door.sessions(mia)
    assert await door.audited("session.end") == [("mia", "", "done")]


async def test_signing_out_as_a_program_takes_the_cookie_away_and_is_noted(door: WholeDoor) -> None:
    mia = await door.person("mia")
    async with door.signed_in(mia) as client:
        answer = await client.post("/logout", json={}, headers=PROGRAM)
        assert (answer.status_code, given(answer)) == (204, "")
    assert not door.sessions(mia)
    assert await door.audited("session.end") == [("mia", "", "done")]


async def test_signing_in_while_signed_in_gives_a_new_session_and_ends_the_old_one(door: WholeDoor) -> None:
    mia = await door.person("mia")
    async with door.signed_in(mia) as client:
        (before,) = door.sessions(mia)
        answer = await client.post("/login", json={"name": "mia", "password": PASSWORD}, headers=PROGRAM)
        assert answer.status_code == 201, answer.text
        (after,) = door.sessions(mia)
        assert after.id != before.id
        assert await greeted(door, given(answer)) == "mia"
        assert (await client.get("/account", headers=PROGRAM)).status_code in (401, 403), "the old cookie is nobody's"
    assert await door.audited("session.", 2) == [("mia", after.device, "done"), ("mia", "", "done")]


async def test_signing_in_as_somebody_else_while_signed_in_makes_one_out_of_the_other(door: WholeDoor) -> None:
    mia, tom = await door.person("mia"), await door.person("tom")
    async with door.signed_in(mia) as client:
        answer = await sent(client, "/login", "/login", name="tom", password=PASSWORD)
        assert answer.status_code == 303, answer.text
    assert await greeted(door, given(answer)) == "tom"
    assert (len(door.sessions(mia)), len(door.sessions(tom))) == (0, 1)


async def test_joining_while_signed_in_makes_the_new_person_and_signs_the_old_one_out(door: WholeDoor) -> None:
    mia = await door.person("mia")
    invite, token = await door.room.holders.invites.create("member", uses=1, lasts=3600, label="x", by="tests")
    async with door.signed_in(mia) as client:
        answer = await sent(client, "/join", "/join", token=token.text, name="Tom", password=NEW)
        assert answer.status_code == 303, answer.text
    assert await greeted(door, given(answer)) == "Tom"
    assert not door.sessions(mia)
    assert await door.audited("invite.use") == [("Tom", invite.id, "done")]
    assert await door.audited("session.end") == [("mia", "", "done")]


async def test_a_new_password_by_a_link_while_signed_in_signs_in_anew(door: WholeDoor) -> None:
    mia = await door.person("mia")
    link = await door.room.holders.resets.create(mia, by="tests")
    async with door.signed_in(mia) as client:
        answer = await sent(client, "/reset", "/reset", token=link.text, password=NEW)
        assert answer.status_code == 303, answer.text
    assert await greeted(door, given(answer)) == "mia"
    assert len(door.sessions(mia)) == 1
    assert await door.audited("password.reset") == [("mia", mia, "done")]


async def test_the_admins_code_while_signed_in_makes_an_admin_of_who_used_it(door: WholeDoor) -> None:
    mia = await door.person("mia")
    code = (await door.room.holders.codes.create()).text
    async with door.signed_in(mia) as client:
        fields = {"token": code, "name": "mia", "password": NEW}
        answer = await client.post("/admin-code", json=fields, headers=PROGRAM)
        assert (answer.status_code, answer.json()["role"]) == (201, "admin")
    assert await greeted(door, given(answer)) == "mia"
    assert await door.audited("admin-code.use") == [("mia", mia, "done")]


async def test_ending_this_very_device_leads_to_the_door_and_is_noted(door: WholeDoor) -> None:
    mia = await door.person("mia")
    async with door.signed_in(mia) as client:
        (session,) = door.sessions(mia)
        answer = await sent(client, "/account/devices", "/account/devices", end=session.id)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert not door.sessions(mia)
    assert await door.audited("session.end") == [("mia", "a browser", "done")]


# --- the management API ---


async def test_a_key_that_revokes_itself_is_told_so_once_and_it_is_noted(door: WholeDoor) -> None:
    id, text = await door.admin_key("n8n")
    async with door.browser(**{"X-API-Key": text}) as client:
        answer = await client.delete(f"/api/v1/keys/{id}")
        assert (answer.status_code, answer.json().get("state")) == (200, "revoked")
        assert (await client.get("/api/v1/keys")).status_code == 401
    ((actor, target, outcome),) = await door.audited("keys.revoke")
    assert (actor, id in target, outcome) == ("n8n", True, "done")


async def test_a_key_that_deletes_its_owner_is_told_so_once_and_it_is_noted(door: WholeDoor) -> None:
    owner = await door.person("ada", "admin")
    await door.person("bea", "admin")
    _, text = await door.admin_key("adas", owner)
    async with door.browser(**{"X-API-Key": text}) as client:
        answer = await client.delete(f"/api/v1/users/{owner}")
        assert (answer.status_code, answer.json().get("deleted")) == (200, True)
        assert (await client.get("/api/v1/keys")).status_code == 401
    assert await door.audited("users.delete") == [("adas", "ada", "done")]


async def test_an_order_that_waits_for_long_ends_when_its_right_is_gone_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "CARRYING_OUT", 1.0)
    async with whole_door(tmp_path, rhythm=Rhythm(sweep=0.05)) as door:
        id, text = await door.admin_key("n8n")
        async with door.browser(**{"X-API-Key": text}) as client:
            order = {"model": "llama3.2", "wait": 300}
            asking = asyncio.create_task(client.post("/api/v1/models/load", json=order))
            await until(lambda: door.desk.jobs)
            await door.room.office.order("keys.revoke", OPERATOR, id=id)
            async with asyncio.timeout(20):
                answer = await asking
        assert answer.status_code == 401
        assert "was taken back" in answer.text
        record = await door.plane.record()
        assert (record.reason, record.total >= 1.0) == ("right_ended", True)


# --- what has begun to answer still ends ---


async def _drained(pieces: AsyncIterator[str]) -> None:
    async for _ in pieces:
        pass


async def test_what_somebody_watches_ends_with_their_session(door: WholeDoor) -> None:
    mia = await door.person("mia")
    async with door.signed_in(mia) as watching, watching.stream("GET", "/live") as stream:
        pieces = stream.aiter_text()
        assert "edition" in await anext(pieces)
        async with door.signed_in(mia) as client:
            answer = await client.post("/account/devices", json={"end": "others"}, headers=PROGRAM)
            assert answer.status_code == 204
        with pytest.raises(httpx.RemoteProtocolError):  # cut off: nobody takes it for the end of the story
            await asyncio.wait_for(_drained(pieces), 20)
    assert [record.reason for record in door.plane.records if record.status == 200][-1:] == ["right_ended"]


async def test_what_somebody_watches_ends_with_a_session_that_was_idle_for_too_long(
    door: WholeDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    mia = await door.person("mia")
    async with door.signed_in(mia) as watching, watching.stream("GET", "/live") as stream:
        pieces = stream.aiter_text()
        assert "edition" in await anext(pieces)
        monkeypatch.setattr(sessions, "IDLE", 0.0)
        with pytest.raises(httpx.RemoteProtocolError):
            await asyncio.wait_for(_drained(pieces), 20)


async def test_what_somebody_watches_ends_and_begins_anew_when_they_see_fewer_models(door: WholeDoor) -> None:
    mia = await door.person("mia")
    async with door.signed_in(mia) as watching:
        async with watching.stream("GET", "/live") as stream:
            pieces = stream.aiter_text()
            assert "edition" in await anext(pieces)
            await door.room.office.order("users.limit", OPERATOR, user="mia", models=["qwen3"])
            with pytest.raises(httpx.RemoteProtocolError):
                await asyncio.wait_for(_drained(pieces), 20)
        async with watching.stream("GET", "/live") as again:
            assert again.status_code == 200


async def test_an_answer_that_is_being_written_ends_with_its_key(tmp_path: Path) -> None:
    async with (
        fake_ollama(tmp_path, tokens=1000, pause=0.05) as fake,
        whole_door(tmp_path, fake.address) as door,
    ):
        id, text = await door.admin_key("n8n")
        async with (
            door.browser(**{"X-API-Key": text}) as client,
            client.stream("POST", "/api/chat", json=CHAT) as answer,
        ):
            lines = answer.aiter_lines()
            assert not json.loads(await anext(lines))["done"]
            async with door.browser(**{"X-API-Key": text}) as other:
                assert (await other.delete(f"/api/v1/keys/{id}")).status_code == 200, "… by an order of its own"
            async with asyncio.timeout(20):
                rest = [json.loads(line) async for line in lines]
        assert "was taken back" in rest[-1]["error"]


# --- who hangs up ---

BROWSER = Browser("a browser", "127.0.0.1")
Deed = Callable[[WholeDoor, Person], Awaitable[object]]


DEEDS: dict[str, Deed] = {
    "session.end": lambda door, mia: door.room.signin.leave(mia, ""),
    "session.start": lambda door, mia: door.room.signin.enter("mia", PASSWORD, BROWSER),
    "session.prove": lambda door, mia: door.room.signin.prove(mia, PASSWORD, ""),
    "password.change": lambda door, mia: door.room.signin.change_password(mia, PASSWORD, NEW, ""),
    "users.rename": lambda door, mia: door.room.office.order("users.rename", OPERATOR, user="mia", name="maria"),
    "users.delete": lambda door, mia: door.room.office.order("users.delete", OPERATOR, user="mia"),
}


@pytest.mark.parametrize("what", DEEDS)
async def test_whoever_hangs_up_in_the_middle_leaves_no_deed_without_its_row_in_the_audit(
    door: WholeDoor, what: str
) -> None:
    id = await door.person("mia")
    async with door.signed_in(id):
        (session,) = door.sessions(id)
        person = Person(door.room.holders.users[id], session, proven=True)
        async with door.room.database.writing():  # nothing else is written until this block ends
            doing = asyncio.ensure_future(DEEDS[what](door, person))
            await until(lambda: door.room.holders.ledger.ordering)
            doing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doing
    ((_, _, outcome),) = await door.audited(what)
    assert outcome == "done"


async def test_who_shows_the_cookie_on_a_line_of_its_own_is_signed_in_as_with_one_header(door: WholeDoor) -> None:
    """So a browser's HTTP/2 sends it, and not every proxy puts the lines together again."""
    session = await door.room.holders.sessions.start(await door.person("mia"), "a browser", "127.0.0.1")
    ours = f"__Host-sd={door.room.signin.token(session)}"
    for lines in ([f"theme=dark; {ours}"], ["theme=dark", ours], [ours, "theme=dark", "lang=de"]):
        async with door.browser() as client:
            answer = await client.get("/account", headers=[("Cookie", line) for line in lines])
            assert (answer.status_code, "Hello mia" in answer.text) == (200, True), lines
            answer = await client.get("/account", headers=[("Cookie", line) for line in [*lines, "__Host-sd=x"]])
            assert answer.status_code == 403, "two of our name are none"
