"""People at the door: over real sockets, a real database and real bcrypt."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from controller.auth.access import Principal
from controller.auth.hashing import Hashing
from controller.auth.sessions import ADMIN_IDLE, IDLE
from controller.auth.throttle import Throttle
from controller.clock import SystemClock
from controller.config.processes import TunnelSettings
from controller.config.schema import Config, Server
from controller.pages.hardened import policy
from tests.fakes.clock import WoundClock
from tests.fakes.desk import FakeAudit
from tests.kit.front_door import PASSWORD, FrontDoor, front_door

NEW = "octopuses have three hearts"
PROGRAM = {"Accept": "application/json", "X-Seadragon": "1"}


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[FrontDoor]:
    async with front_door(tmp_path) as opened:
        yield opened


def unslowed(door: FrontDoor) -> None:
    """Nobody has tried anything yet: for tests that are not about guessing."""
    door.signin._throttle = Throttle()


def form_of(page: httpx.Response) -> str:
    found = re.search(r'name="form" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


async def sent(client: httpx.AsyncClient, path: str, **fields: str) -> httpx.Response:
    """What sending the form of that page comes to, as a browser does it."""
    page = await client.get(path)
    origin = str(client.base_url).rstrip("/")
    headers = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
    return await client.post(path, data={"form": form_of(page), **fields}, headers=headers)


@asynccontextmanager
async def signed_in(door: FrontDoor, name: str, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    async with door.browser(**headers) as client:
        answer = await client.post("/login", json={"name": name, "password": PASSWORD}, headers=PROGRAM)
        assert answer.status_code == 201, answer.text
        client.cookies.clear()  # httpx sends none that is Secure over plain http
        client.cookies.set(*cookie_of(answer))
        yield client


def cookie_of(answer: httpx.Response) -> tuple[str, str]:
    name, _, rest = answer.headers["set-cookie"].partition("=")
    return name, rest.partition(";")[0]


# --- joining ---


async def an_invite(door: FrontDoor, role: Any = "member", uses: int = 1) -> str:
    _, token = await door.holders.invites.create(role, uses=uses, lasts=3600, label="summer", by="tests")
    return token.text


async def test_an_invite_makes_a_person_who_is_signed_in_at_once(door: FrontDoor) -> None:
    async with door.browser() as client:
        answer = await sent(client, "/join", token=await an_invite(door, "child"), name=" Mia ", password=NEW)
        assert (answer.status_code, answer.headers["location"]) == (303, "/account")
        name, value = cookie_of(answer)
        assert name == "__Host-sd"
        assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(answer.headers["set-cookie"].split("; "))
        assert "Domain" not in answer.headers["set-cookie"]
        client.cookies.set(name, value)
        account = await client.get("/account")
        assert "Hello Mia" in account.text
        assert "a child" in account.text
    user = door.holders.users.named("mia")
    assert user is not None
    assert (user.role, user.invite_id) == ("child", next(iter(door.holders.invites)))
    assert ("invite.use", "Mia", "done") in door.noted


async def test_wrong_used_and_expired_invites_get_one_and_the_same_answer(door: FrontDoor) -> None:
    used = await an_invite(door)
    revoked = await an_invite(door)
    await door.holders.invites.redeem(used, "first", "x")
    await door.holders.invites.revoke(next(id for id, row in door.holders.invites.items() if not row.used))
    answers = set()
    for n, token in enumerate(("", "nonsense", used, revoked, used[:-1] + "0", "sda_" + used[4:])):
        door.scope = {"client": (f"198.51.100.{n}", 5)}  # each from somewhere else: nobody is slowed down
        async with door.browser() as client:
            got = await client.post("/join", json={"token": token, "name": "Eve", "password": NEW}, headers=PROGRAM)
        answers.add((got.status_code, got.text))
    assert len(answers) == 1
    assert answers.pop()[0] == 403
    assert door.holders.users.named("eve") is None


async def test_of_fifty_who_redeem_an_invite_for_one_at_once_one_gets_in(door: FrontDoor) -> None:
    for again in range(3):
        token = await an_invite(door)
        door.scope = {"client": (f"198.51.100.{again}", 5)}  # who was wrong 49 times is slowed down there
        async with door.browser() as client:
            answers = await asyncio.gather(
                *(
                    client.post(
                        "/join", json={"token": token, "name": f"p{again} {n}", "password": NEW}, headers=PROGRAM
                    )
                    for n in range(50)
                )
            )
        assert [each.status_code for each in answers].count(201) == 1
        assert {each.status_code for each in answers} <= {201, 403, 429, 503}
    assert len(door.holders.users) == 3


@pytest.mark.parametrize(
    ("fields", "status", "field"),
    [
        ({"name": "Mia", "password": "short"}, 422, "password"),
        ({"name": "Mia", "password": "password123"}, 422, "password"),
        ({"name": "Mia", "password": "x" * 73}, 422, "password"),
        ({"name": "Mirabella", "password": "mirabella1"}, 422, "password"),
        ({"name": "", "password": NEW}, 422, "name"),
        ({"name": "x" * 65, "password": NEW}, 422, "name"),
        ({"name": "a\nb", "password": NEW}, 422, "name"),
        ({"name": "ＯＷＮＥＲ", "password": NEW}, 409, "name"),
    ],
)
async def test_a_name_or_password_that_will_not_do_costs_no_invite_and_says_why(
    door: FrontDoor, fields: dict[str, str], status: int, field: str
) -> None:
    await door.person("owner", "admin")
    token = await an_invite(door)
    async with door.browser() as client:
        answer = await client.post("/join", json={"token": token, **fields}, headers=PROGRAM)
        assert (answer.status_code, answer.json()["error"]["field"]) == (status, field)
        unslowed(door)
        shown = await sent(client, "/join", token=token, **fields)
        assert shown.status_code == status
        assert 'role="alert"' in shown.text
        assert re.search(rf'name="{field}"[^>]*aria-invalid="true"', shown.text)
        unslowed(door)
        good = await client.post("/join", json={"token": token, "name": "Mia", "password": NEW}, headers=PROGRAM)
        assert good.status_code == 201


# --- signing in ---


async def test_name_and_password_let_in_and_nothing_else_does(door: FrontDoor) -> None:
    await door.person("Owner", "admin")
    answers = []
    for n, (name, password) in enumerate(
        [("owner", "wrong horse"), ("nobody", PASSWORD), ("", ""), ("owner", ""), ("owner", PASSWORD + "x" * 80)]
    ):
        door.scope = {"client": (f"198.51.100.{n}", 5)}
        async with door.browser() as client:
            await asyncio.sleep(0)
            answers.append(await client.post("/login", json={"name": name, "password": password}, headers=PROGRAM))
        unslowed(door)
    assert {(each.status_code, each.text) for each in answers} == {(403, answers[0].text)}
    async with door.browser() as client:
        answer = await sent(client, "/login", name="OWNER ", password=PASSWORD)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def test_the_session_before_ends_with_a_new_one(door: FrontDoor) -> None:
    user = await door.person("mia")
    async with signed_in(door, "mia") as client:
        (before,) = door.holders.sessions.of(user)
        answer = await client.post("/login", json={"name": "mia", "password": PASSWORD}, headers=PROGRAM)
        assert answer.status_code == 201
        (after,) = door.holders.sessions.of(user)
        assert after.id != before.id


@pytest.mark.parametrize(
    ("onward", "leads"),
    [
        ("/account/devices", "/account/devices"),
        ("/?order=j1", "/?order=j1"),
        ("https://evil.example/", "/account"),
        ("//evil.example/", "/account"),
        ("/\\evil.example", "/account"),
        ("javascript:alert(1)", "/account"),
        ("/a\r\nSet-Cookie: x=y", "/account"),
        ("", "/account"),
    ],
)
async def test_nobody_is_led_to_another_site(door: FrontDoor, onward: str, leads: str) -> None:
    await door.person("mia")
    async with door.browser() as client:
        answer = await sent(client, "/login", name="mia", password=PASSWORD, onward=onward)
        assert (answer.status_code, answer.headers["location"]) == (303, leads)


async def test_somebody_who_was_disabled_is_out_at_the_next_request_and_cannot_come_back(door: FrontDoor) -> None:
    await door.person("owner", "admin")
    user = await door.person("mia")
    async with signed_in(door, "mia") as client:
        await door.holders.users.disable(user)
        assert (await client.get("/account")).headers["location"].startswith("/login")
        again = await client.post("/login", json={"name": "mia", "password": PASSWORD}, headers=PROGRAM)
        assert again.status_code == 403


async def test_a_hash_of_an_older_cost_is_replaced_at_the_next_sign_in_and_nobody_is_signed_out(
    door: FrontDoor,
) -> None:
    user = await door.person("mia")
    async with signed_in(door, "mia"):
        hashing = door.signin.hashing = Hashing(SystemClock(), cost=5, floor=0)
        async with signed_in(door, "mia"):
            assert door.holders.users[user].password.startswith("$2b$05$")
            assert len(door.holders.sessions.of(user)) == 2
        hashing.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
@pytest.mark.parametrize(
    "path", ["/login", "/join", "/reset", "/admin-code", "/logout", "/account", "/account/devices"]
)
async def test_the_page_of_another_site_does_nothing_here(door: FrontDoor, headers: dict[str, str], path: str) -> None:
    user = await door.person("mia")
    async with signed_in(door, "mia") as client:
        page = await client.get("/account")
        fields = {"form": form_of(page), "name": "mia", "password": NEW, "current": PASSWORD, "end": "others"}
        answer = await client.post(path, data=fields, headers=headers)
        assert answer.status_code in (303, 403)
        assert "set-cookie" not in answer.headers
        (session,) = door.holders.sessions.of(user)
        assert session.user_id == user
        assert (await door.signin.hashing.check(PASSWORD, door.holders.users[user].password)).right


@pytest.mark.parametrize(
    "path", ["/login", "/join", "/reset", "/admin-code", "/logout", "/account", "/account/devices"]
)
async def test_without_the_pages_token_or_a_programs_header_nothing_is_done(door: FrontDoor, path: str) -> None:
    user = await door.person("mia")
    async with signed_in(door, "mia") as client:
        fields = {"name": "mia", "password": NEW, "current": PASSWORD, "end": "others"}
        for form in ("", "1.2", "9999999999."):
            assert "set-cookie" not in (await client.post(path, data={**fields, "form": form})).headers
        answer = await client.post(path, json=fields, headers={"Accept": "application/json"})
        assert answer.status_code == 403
        assert "X-Seadragon" in answer.text
        assert len(door.holders.sessions.of(user)) == 1
        assert (await door.signin.hashing.check(PASSWORD, door.holders.users[user].password)).right


async def test_no_get_changes_anything(door: FrontDoor) -> None:
    user = await door.person("mia")
    token = await an_invite(door)
    async with signed_in(door, "mia") as client:
        for path in (
            "/logout",
            "/account/devices?end=others",
            f"/join?token={token}&name=x&password={NEW}",
            f"/login?name=mia&password={PASSWORD}",
            f"/account?current={PASSWORD}&password={NEW}",
        ):
            answer = await client.get(path)
            assert answer.status_code in (200, 405), path
        assert len(door.holders.sessions.of(user)) == 1
        assert len(door.holders.users) == 1


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{", b'{"name": ' + b"[" * 5000, b'{"a": 1e999}', b"\xff", b"x" * 20000]
)
async def test_what_is_no_form_and_no_object_is_told_so(door: FrontDoor, body: bytes) -> None:
    async with door.browser() as client:
        answer = await client.post("/login", content=body, headers={**PROGRAM, "Content-Type": "application/json"})
        assert answer.status_code in (400, 403)


# --- the cookie ---


async def test_a_cookie_of_an_ended_session_and_a_forged_one_are_nobodys(door: FrontDoor) -> None:
    user = await door.person("mia")
    async with signed_in(door, "mia") as client:
        assert (await client.get("/account")).status_code == 200
        token = client.cookies["__Host-sd"]
        claims = jwt.decode(token, options={"verify_signature": False}, algorithms=["HS256"])
        for other in (
            jwt.encode(claims, bytes(32), "HS256", headers={"kid": door.signin.keys.current}),
            jwt.encode(
                {**claims, "sub": "somebody"},
                door.signin.keys.secrets[door.signin.keys.current],
                "HS256",
                headers={"kid": door.signin.keys.current},
            ),
            claims["sid"],
            "",
        ):
            answer = await client.get("/account", headers={"Cookie": f"__Host-sd={other}"})
            assert answer.headers["location"] == "/login?onward=/account"
        await door.holders.sessions.end_all(user)
        assert (await client.get("/account")).status_code == 303


async def test_two_cookies_of_our_name_are_none(door: FrontDoor) -> None:
    await door.person("mia")
    async with signed_in(door, "mia") as client:
        token = client.cookies["__Host-sd"]
        client.cookies.clear()
        answer = await client.get("/account", headers={"Cookie": f"__Host-sd={token}; __Host-sd=x"})
        assert answer.status_code == 303


async def test_a_cookie_without_secure_is_given_and_taken_only_where_the_owner_lets_it(door: FrontDoor) -> None:
    await door.person("mia")
    door.scope = {"seadragon.plain_cookies": True}
    async with door.browser(Host="mini.local") as client:
        answer = await client.post("/login", json={"name": "mia", "password": PASSWORD}, headers=PROGRAM)
        name, token = cookie_of(answer)
        assert (name, "Secure" in answer.headers["set-cookie"]) == ("sd", False)
        with_it = {"Cookie": f"sd={token}"}
        assert (await client.get("/account", headers=with_it)).status_code == 200
        for elsewhere in ({}, {"seadragon.plain_cookies": True, "scheme": "https"}):
            door.scope = elsewhere
            assert (await client.get("/account", headers=with_it)).status_code == 303


async def test_over_plain_http_from_elsewhere_nobody_is_asked_for_a_password(door: FrontDoor) -> None:
    await door.person("mia")
    async with door.browser(Host="mini.local") as client:
        page = await client.get("/login")
        assert "not safe" in page.text
        assert "<form" not in page.text
        answer = await client.post("/login", json={"name": "mia", "password": PASSWORD}, headers=PROGRAM)
        assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
        door.scope = {"scheme": "https"}
        assert 'type="password"' in (await client.get("/login")).text
        answer = await client.post("/login", json={"name": "mia", "password": PASSWORD}, headers=PROGRAM)
        assert answer.status_code == 201
        assert "max-age=" in answer.headers["strict-transport-security"]


# --- oneself ---


async def test_a_new_password_wants_the_old_one_and_signs_the_others_out(door: FrontDoor) -> None:
    user = await door.person("mia")
    async with signed_in(door, "mia") as mine, signed_in(door, "mia") as other:
        refused = await sent(mine, "/account", current="wrong horse", password=NEW)
        assert (refused.status_code, "That is not your password." in refused.text) == (403, True)
        await asyncio.sleep(0.25)  # the throttle's first pause, on the real clock
        weak = await sent(mine, "/account", current=PASSWORD, password="12345678")
        assert weak.status_code == 422
        changed = await sent(mine, "/account", current=PASSWORD, password=NEW)
        assert (changed.status_code, changed.headers["location"]) == (303, "/account?done=password")
        assert "Your password is changed" in (await mine.get(changed.headers["location"])).text
        assert (await other.get("/account")).status_code == 303
        assert len(door.holders.sessions.of(user)) == 1
        assert (await door.signin.hashing.check(NEW, door.holders.users[user].password)).right


async def test_devices_are_listed_and_each_can_be_signed_out(door: FrontDoor) -> None:
    await door.person("mia")
    agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
    async with signed_in(door, "mia") as mine, signed_in(door, "mia", **{"User-Agent": agent}) as other:
        page = await mine.get("/account/devices")
        assert "Firefox on Windows" in page.text
        assert "127.0.0.1" in page.text
        assert page.text.count("this one") == 1
        (theirs,) = [row for row in door.holders.sessions.values() if row.device == "Firefox on Windows"]
        ended = await sent(mine, "/account/devices", end=theirs.id)
        assert (ended.status_code, ended.headers["location"]) == (303, "/account/devices")
        assert (await other.get("/account")).status_code == 303
        assert (await mine.get("/account")).status_code == 200


async def test_nobody_ends_the_session_of_somebody_else(door: FrontDoor) -> None:
    await door.person("mia")
    other = await door.person("tom")
    async with signed_in(door, "mia") as mine, signed_in(door, "tom") as theirs:
        (session,) = door.holders.sessions.of(other)
        for id in (session.id, "", "nonsense", "other"):
            answer = await mine.post("/account/devices", json={"end": id}, headers=PROGRAM)
            assert answer.status_code == 404
        assert (await mine.post("/account/devices", json={"end": "others"}, headers=PROGRAM)).status_code == 204
        assert (await theirs.get("/account")).status_code == 200


async def test_signing_out_ends_the_session_itself_and_clears_the_browser(door: FrontDoor) -> None:
    user = await door.person("mia")
    async with signed_in(door, "mia") as client:
        page = await client.get("/account")
        door.scope = {"scheme": "https"}
        answer = await client.post("/logout", data={"form": form_of(page)})
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        assert answer.headers["clear-site-data"] == '"storage", "cache"'
        assert "Max-Age=0" in answer.headers["set-cookie"]
        assert not door.holders.sessions.of(user)
        assert (await client.get("/account")).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "same-site"}, {}],
)
async def test_who_comes_without_our_cookie_signs_nobody_out_and_clears_nothing(
    door: FrontDoor, headers: dict[str, str]
) -> None:
    """The form of another site's page comes without the cookie: a browser keeps that to itself (SameSite)."""
    door.scope = {"scheme": "https"}
    async with door.browser(**headers) as client:
        answer = await client.post("/logout", data={"form": ""})
    assert answer.status_code == 403
    assert "clear-site-data" not in answer.headers
    assert "set-cookie" not in answer.headers


async def test_a_form_that_is_too_old_signs_nobody_out_and_says_so(door: FrontDoor) -> None:
    user = await door.person("mia")
    async with signed_in(door, "mia") as client:
        door.scope = {"scheme": "https"}
        answer = await client.post("/logout", data={"form": "1.2"})
    assert (answer.status_code, "open for too long" in answer.text) == (403, True)
    assert "clear-site-data" not in answer.headers
    assert len(door.holders.sessions.of(user)) == 1


async def test_a_reset_link_sets_a_password_once_and_ends_every_session(door: FrontDoor) -> None:
    user = await door.person("mia")
    link = (await door.holders.resets.create(user, lasts=3600, by="tests")).text
    async with signed_in(door, "mia") as before, door.browser() as client:
        own = await sent(client, "/reset", token=link, password="mia mia mia 1")
        assert own.status_code == 422
        unslowed(door)
        answer = await sent(client, "/reset", token=link, password=NEW)
        assert answer.status_code == 303
        assert (await before.get("/account")).status_code == 303
        assert (await door.signin.hashing.check(NEW, door.holders.users[user].password)).right
        again = await sent(client, "/reset", token=link, password=PASSWORD)
        empty = await sent(client, "/reset", token="", password=PASSWORD)
        assert (again.status_code, empty.status_code) in ((403, 403), (403, 429))
        assert (await door.signin.hashing.check(NEW, door.holders.users[user].password)).right


async def test_the_code_of_the_command_line_makes_the_first_admin(door: FrontDoor) -> None:
    code = (await door.holders.codes.create()).text
    async with door.browser() as client:
        answer = await sent(client, "/admin-code", token=code, name="Owner", password=NEW)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        client.cookies.set(*cookie_of(answer))
        assert (await client.get("/admin/invites")).status_code == 200
    async with door.browser() as client:
        assert (await sent(client, "/admin-code", token=code, name="Eve", password=NEW)).status_code == 403
    assert [user.name for user in door.holders.users.values()] == ["Owner"]


# --- admins ---


async def test_an_admin_invites_by_link_and_picture_and_revokes(door: FrontDoor) -> None:
    door.desk.config = Config(server=Server(tunnel=TunnelSettings(mode="token", hostnames=("ai.example.org",))))
    await door.person("owner", "admin")
    async with signed_in(door, "owner") as client:
        made = await sent(client, "/admin/invites", make="yes", label="Oma", role="member", uses="2", hours="24")
        assert made.status_code == 201
        assert "<svg" in made.text
        token = re.search(r"https://ai\.example\.org/join#(sdi_\w+)", made.text)
        assert token, "where the guest finds it, not where the admin sits"
        assert token[1] not in (await client.get("/admin/invites")).text  # shown once
        assert door.holders.invites.good(token[1]) is not None
        revoked = await sent(client, "/admin/invites", revoke=next(iter(door.holders.invites)))
        assert revoked.status_code == 303
        assert door.holders.invites.good(token[1]) is None
        assert "revoked" in (await client.get("/admin/invites")).text
    invite = f"invite {next(iter(door.holders.invites))}"
    assert isinstance(door.desk.audit, FakeAudit)
    assert door.desk.audit.notes == [("invites.create", invite, "done"), ("invites.revoke", invite, "done")]


async def test_an_invite_for_an_admin_wants_a_tick_and_the_password(door: FrontDoor) -> None:
    await door.person("owner", "admin")
    wish = {"make": "yes", "label": "Ann", "role": "admin", "uses": "1", "hours": "1"}
    async with signed_in(door, "owner") as client:
        for missing in ({"password": PASSWORD}, {"sure": "yes"}, {"sure": "yes", "password": "wrong horse"}):
            answer = await sent(client, "/admin/invites", **wish, **missing)
            assert answer.status_code in (403, 422)
            await asyncio.sleep(0.45)  # the throttle's first pauses, on the real clock
        assert not door.holders.invites
        answer = await sent(client, "/admin/invites", **wish, sure="yes", password=PASSWORD)
        assert answer.status_code == 201
        assert [row.role for row in door.holders.invites.values()] == ["admin"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("role", "operator"),
        ("role", ""),
        ("uses", "0"),
        ("uses", "1001"),
        ("uses", "-1"),
        ("uses", "²"),
        ("hours", "0"),
        ("hours", "8761"),
        ("hours", "1e9"),
        ("label", ""),
        ("label", "x" * 65),
        ("label", "a\nb"),
    ],
)
async def test_an_invite_that_makes_no_sense_is_not_made(door: FrontDoor, field: str, value: str) -> None:
    await door.person("owner", "admin")
    async with signed_in(door, "owner") as client:
        wish = {"make": "yes", "label": "Ann", "role": "member", "uses": "1", "hours": "1", field: value}
        assert (await sent(client, "/admin/invites", **wish)).status_code == 422
        assert not door.holders.invites


@pytest.mark.parametrize("role", ["child", "member"])
async def test_who_is_no_admin_invites_nobody(door: FrontDoor, role: str) -> None:
    await door.person("mia", role)
    async with signed_in(door, "mia") as client:
        assert (await client.get("/admin/invites")).status_code == 403
        page = await client.get("/account")
        wish = {"form": form_of(page), "make": "yes", "label": "x", "role": "member"}
        assert (await client.post("/admin/invites", data=wish)).status_code == 403
        assert "/admin/invites" not in page.text
        assert not door.holders.invites


async def test_a_signed_in_admin_gives_orders_on_the_first_page_and_others_as_their_address_may(
    door: FrontDoor,
) -> None:
    await door.person("owner", "admin")
    await door.person("mia")
    door.who = Principal("nobody in particular")
    async with door.browser() as stranger:
        page = await stranger.get("/")
        assert 'form="orders"' not in page.text
        assert 'href="/login"' in page.text
        assert (await stranger.post("/orders", data={"pause": ""})).status_code == 403
    async with signed_in(door, "mia") as member:
        assert 'form="orders"' not in (await member.get("/")).text
    async with signed_in(door, "owner") as owner:
        page = await owner.get("/")
        token = re.search(r'name="token" value="([^"]+)"', page.text)
        assert token
        answer = await owner.post("/orders", data={"token": token[1], "pause": ""})
        assert (answer.status_code, door.desk.orders) == (303, [("pause", (None, None))])


async def test_a_stranger_is_shown_the_way_in_and_told_why(door: FrontDoor) -> None:
    door.scope = {"seadragon.refused": (403, "203.0.113.7 is not on the allow-list.")}
    async with door.browser() as client:
        page = await client.get("/", headers={"Accept": "text/html"})
        assert page.status_code == 403
        assert "203.0.113.7 is not on the allow-list." in page.text
        assert 'action="/login"' in page.text
        door.scope["seadragon.may_sign_in"] = False
        kept_out = await client.get("/", headers={"Accept": "text/html"})
        assert (kept_out.status_code, 'action="/login"' in kept_out.text) == (403, False)


# --- time ---


async def test_sessions_end_and_admins_rights_lapse_by_the_clock(tmp_path: Path) -> None:
    clock = WoundClock()
    async with front_door(tmp_path, clock=clock) as door:
        await door.person("owner", "admin")
        async with signed_in(door, "owner") as client:
            assert (await client.get("/admin/invites")).status_code == 200
            clock.leap(ADMIN_IDLE - 60)
            assert (await client.get("/admin/invites")).status_code == 200  # used: it counts from here again
            clock.leap(ADMIN_IDLE - 60)
            assert (await client.get("/admin/invites")).status_code == 200
            clock.leap(ADMIN_IDLE + 60)
            lapsed = await client.get("/admin/invites")
            assert (lapsed.status_code, lapsed.headers["location"]) == (303, "/account/again?onward=/admin/invites")
            assert (await client.get("/admin/invites")).status_code == 303  # looking again does not bring them back
            assert "give your password again" in (await client.get("/")).text
            back = await sent(client, "/account/again", password=PASSWORD, onward="/admin/invites")
            assert back.headers["location"] == "/admin/invites"
            assert (await client.get("/admin/invites")).status_code == 200
            clock.leap(IDLE + 60)
            assert (await client.get("/account")).status_code == 303


# --- what every page tells the browser ---


@pytest.mark.parametrize(
    "path", ["/login", "/join", "/reset", "/admin-code", "/account", "/account/devices", "/logout"]
)
async def test_every_page_carries_the_whole_armour(door: FrontDoor, path: str) -> None:
    await door.person("mia")
    async with signed_in(door, "mia") as client:
        answer = await client.get(path)
        assert answer.headers["content-security-policy"] == policy()
        assert "require-trusted-types-for 'script'" in policy()
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        expected = "no-referrer" if path in ("/join", "/reset", "/admin-code") else "same-origin"
        assert answer.headers["referrer-policy"] == expected
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


# --- guessing ---


async def test_who_guesses_is_slowed_down_and_the_owner_still_enters(door: FrontDoor) -> None:
    await door.person("owner", "admin")
    async with signed_in(door, "owner"):  # 127.0.0.1 is known now
        statuses, throttled = [], []
        for n in range(40):
            door.scope = {"client": (f"2001:db8:{n:x}::1", 5)}
            async with door.browser() as client:
                tried = await client.post("/login", json={"name": "owner", "password": "wrong horse"}, headers=PROGRAM)
            statuses.append(tried.status_code)
            throttled += [tried] if tried.status_code == 429 else []
        assert statuses[0] == 403
        assert len(throttled) > 30
        assert int(throttled[-1].headers["retry-after"]) >= 1
        assert "try again" in throttled[-1].json()["error"]["message"]
        door.scope = {}
        async with signed_in(door, "owner"):
            pass
