"""Keys, sessions and the tunnel's visitors at the doors, on real sockets."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import openai
import pytest

from controller.auth.keyring import Keyring
from controller.auth.rows import AllowRow, Role
from controller.auth.visitor import TUNNELLED, Proxied
from controller.config.entry import Access
from controller.config.listening import Surface, Surfaces
from controller.config.models import Models
from controller.config.schema import Config, Server
from tests.fakes.rows import Rows, key
from tests.fakes.turns import runner
from tests.integration.plane import CHAT, config, fake_ollama, gateway
from tests.kit.until import until

VISITOR = {"CF-Connecting-IP": "203.0.113.9"}


def access(**given: Any) -> Config:
    """Nobody's address counts unless a test says so."""
    return config(access=Access.model_validate({"allow": [], **given}))


SHAPES = [("/api/chat", ("error",)), ("/v1/chat/completions", ("error", "message"))]


@pytest.mark.parametrize(("path", "shape"), SHAPES)
async def test_a_wrong_key_is_told_in_the_callers_words_and_not_to_be_tried_again(
    tmp_path: Path, path: str, shape: tuple[str, ...]
) -> None:
    text, row = key("tool")
    wrong, _ = key("of another house")
    async with (
        fake_ollama(tmp_path) as fake,
        gateway(fake.address, keyring=Keyring(Rows(row))) as plane,
        plane.client() as client,
    ):
        assert (await client.post(path, json=CHAT, headers={"X-API-Key": text})).status_code == 200
        refused = await client.post(path, json=CHAT, headers={"Authorization": f"Bearer {wrong}"})
        assert refused.status_code == 401, "this computer's own rights do not make up for it"
        assert refused.headers["www-authenticate"] == 'Bearer realm="seadragon"'
        assert refused.headers["x-should-retry"] == "false"
        value: Any = refused.json()
        for name in shape:
            value = value[name]
        assert "not known here" in value
        foreign = await client.post(path, json=CHAT, headers={"Authorization": "Bearer ollama"})
        assert foreign.status_code == 200, "no key of ours, so the address speaks"
        assert [record.who for record in plane.records] == ["tool", "", "this computer"]
        assert text[12:] not in str(plane.records)


async def test_until_all_rights_are_known_a_request_waits_and_is_neither_refused_nor_let_in(tmp_path: Path) -> None:
    text, row = key("tool")
    rows, known = Rows(), asyncio.Event()
    async with (
        fake_ollama(tmp_path) as fake,
        gateway(fake.address, using=access(), keyring=Keyring(rows), known=known) as plane,
        plane.client() as client,
    ):
        asking = asyncio.create_task(client.post("/api/chat", json=CHAT, headers={"X-API-Key": text}))
        await until(lambda: len(plane.plane.open))
        assert (await client.get("/healthz")).status_code == 200
        assert not asking.done()
        rows.put(row)
        known.set()
        assert (await asking).status_code == 200


async def test_two_keys_are_one_too_many_and_a_key_in_the_url_is_none(tmp_path: Path) -> None:
    one, first = key("one")
    two, second = key("two")
    async with gateway(None, using=access(), keyring=Keyring(Rows(first, second))) as plane, plane.client() as client:
        headers = {"X-API-Key": one, "Authorization": f"Bearer {two}"}
        assert (await client.get("/api/version", headers=headers)).status_code == 400
        headers = {"X-API-Key": one, "Authorization": f"Bearer {one}"}
        assert (await client.get("/api/version", headers=headers)).status_code == 200
        for path in (f"/api/version?note={one}", "/api/version?api-key=x", f"/api/{one}", f"/v1/models/%73{one[1:]}"):
            refused = await client.get(path, headers={"X-API-Key": one})
            assert refused.status_code == 400, path
            assert "URL" in refused.text
        assert one not in str(plane.records)


async def test_a_key_taken_back_ends_its_stream_at_once_and_is_refused(tmp_path: Path) -> None:
    text, row = key("tool")
    rows = Rows(row)
    async with (
        fake_ollama(tmp_path, tokens=1000, pause=0.05) as fake,
        gateway(fake.address, using=access(), keyring=Keyring(rows)) as plane,
        plane.client(headers={"X-API-Key": text}) as client,
        client.stream("POST", "/api/chat", json=CHAT) as answer,
    ):
        lines = answer.aiter_lines()
        assert not json.loads(await anext(lines))["done"]
        rows.put(replace(row, revoked_at=1.0))
        plane.plane.rights_changed("key", row.id)
        async with asyncio.timeout(10):
            rest = [json.loads(line) async for line in lines]
        assert "was taken back" in rest[-1]["error"]
        assert (await plane.record()).reason == "right_ended"
        refused = await client.get("/api/tags")
        assert (refused.status_code, '"tool" was taken back' in refused.json()["error"]) == (401, True)


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        ({"scopes": ("list",)}, True),
        ({"models": ("big",)}, True),
        ({"models": ("tiny", "big")}, False),
        ({"lane": 7.0, "name": "another name"}, False),
    ],
    ids=[
        "may not ask any more",
        "may not see this model any more",
        "still sees this model",
        "is only called otherwise",
    ],
)
async def test_an_open_stream_ends_when_its_key_would_not_get_it_any_more_and_only_then(
    tmp_path: Path, change: dict[str, Any], ends: bool
) -> None:
    text, row = key("tool")
    rows = Rows(row)
    async with (
        fake_ollama(tmp_path, tokens=60, pause=0.05) as fake,
        gateway(fake.address, using=access(), keyring=Keyring(rows)) as plane,
        plane.client(headers={"X-API-Key": text}) as client,
        client.stream("POST", "/api/chat", json=CHAT) as answer,
    ):
        lines = answer.aiter_lines()
        assert not json.loads(await anext(lines))["done"]
        rows.put(replace(row, **change))
        plane.plane.rights_changed("key", row.id)
        async with asyncio.timeout(20):
            rest = [json.loads(line) async for line in lines]
        assert ("changed meanwhile" in rest[-1].get("error", ""), rest[-1].get("done", False)) == (ends, not ends)


async def test_a_right_that_runs_out_ends_its_stream_within_a_moment(tmp_path: Path) -> None:
    text, row = key("tool")
    rows = Rows(row)
    async with (
        fake_ollama(tmp_path, tokens=1000, pause=0.05) as fake,
        gateway(fake.address, using=access(), keyring=Keyring(rows)) as plane,
        plane.client(headers={"X-API-Key": text}) as client,
        client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as answer,
    ):
        lines = answer.aiter_lines()
        await anext(lines)
        rows.put(replace(row, expires_at=1.0))  # nobody tells the data plane
        async with asyncio.timeout(10):
            rest = [line async for line in lines]
        assert any("has expired" in line for line in rest)
        assert "data: [DONE]" not in rest


async def test_guessing_is_slowed_and_the_right_key_gets_in_all_the_same() -> None:
    text, row = key("tool")
    using = access(rates={"wrong": 5})
    async with gateway(None, using=using, keyring=Keyring(Rows(row))) as plane, plane.client() as client:
        wrong, _ = key("guess")
        told = [(await client.get("/api/version", headers={"X-API-Key": wrong})).status_code for _ in range(8)]
        assert told == [401] * 5 + [429] * 3
        slowed = await client.get("/api/version", headers={"X-API-Key": wrong})
        assert 1 <= int(slowed.headers["retry-after"]) <= 60
        assert (await client.get("/api/version", headers={"X-API-Key": text})).status_code == 200


@pytest.mark.parametrize("api_key", ["", "sk-of-another-house"], ids=["a mistyped key", "another house's key"])
async def test_a_program_with_a_bad_key_tries_once_each_time_is_not_banned_and_gets_in_with_a_good_one(
    tmp_path: Path, api_key: str
) -> None:
    """As Codex does it: with OpenAI's way of trying again, over the API of responses."""
    text, row = key("tool")
    async with (
        fake_ollama(tmp_path) as fake,
        gateway(fake.address, using=access(), keyring=Keyring(Rows(row))) as plane,
        openai.AsyncOpenAI(base_url=f"{plane.url}/v1", api_key=api_key or text[:-1] + "?") as bad,
        openai.AsyncOpenAI(base_url=f"{plane.url}/v1", api_key=text) as good,
    ):
        for _ in range(3):
            with pytest.raises(openai.AuthenticationError):
                await bad.responses.create(model="tiny", input="hi")
        assert [record.status for record in plane.records] == [401] * 3, "no library tries a bad key again by itself"
        answer = await good.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "hi"}])
        assert answer.choices, "and this at once, from the same address"


async def test_a_key_that_asks_too_often_is_told_when_to_come_back_and_others_are_not() -> None:
    text, row = key("tool", per_minute=3)
    other, second = key("other")
    async with gateway(None, using=access(), keyring=Keyring(Rows(row, second))) as plane, plane.client() as client:
        told = [(await client.get("/api/version", headers={"X-API-Key": text})).status_code for _ in range(5)]
        assert told[3:] == [429, 429]
        limited = await client.get("/api/version", headers={"X-API-Key": text})
        assert limited.headers["retry-after"] == "20"
        assert "3 times a minute" in limited.json()["error"]
        assert (await client.get("/api/version", headers={"X-API-Key": other})).status_code == 200


async def test_models_that_are_not_for_a_key_do_not_exist_for_it(tmp_path: Path) -> None:
    text, row = key("tool", scopes=("infer", "manage"), models=("tin*",))
    none, blind = key("blind", models=("nothing",))
    async with (
        fake_ollama(tmp_path) as fake,
        gateway(fake.address, keyring=Keyring(Rows(row, blind))) as plane,
        plane.client() as client,
    ):
        for _ in range(2):  # asked, and then from what is kept
            seen = (await client.get("/api/tags", headers={"X-API-Key": text})).json()["models"]
            everything = (await client.get("/api/tags")).json()["models"]
            assert seen == [each for each in everything if each["name"].startswith("tin")] != []
            assert (await client.get("/api/tags", headers={"X-API-Key": none})).json() == {"models": []}
            assert (await client.get("/v1/models", headers={"X-API-Key": none})).json()["data"] == []
        asked = len(await fake.seen())
        for method, path, body in (
            ("POST", "/api/chat", CHAT),
            ("POST", "/api/show", {"model": "tiny"}),
            ("POST", "/v1/messages", {**CHAT, "max_tokens": 5}),
            ("GET", "/v1/models/tiny", None),
        ):
            hidden = await client.request(method, path, json=body, headers={"X-API-Key": none})
            other = None if body is None else {**body, "model": "absent"}
            absent = await client.request(
                method, path.replace("tiny", "absent"), json=other, headers={"X-API-Key": none}
            )
            assert hidden.status_code == absent.status_code == 404, path
            assert "'tiny' not found" in hidden.text
            assert set(hidden.headers) == set(absent.headers)
        gone = await client.post(
            "/api/copy", json={"source": "big", "destination": "tiny2"}, headers={"X-API-Key": text}
        )
        assert gone.status_code == 404
        assert len(await fake.seen()) == asked


async def test_a_request_without_a_model_does_not_tell_a_guest_which_is_usual_here(tmp_path: Path) -> None:
    text, row = key("guest", models=("tin*",))
    using = Config(access=access().access, models=Models(default="big"))
    async with (
        fake_ollama(tmp_path) as fake,
        gateway(fake.address, using=using, keyring=Keyring(Rows(row))) as plane,
        plane.client() as client,
    ):
        body = {name: value for name, value in CHAT.items() if name != "model"}
        answer = await client.post("/api/chat", json=body, headers={"X-API-Key": text})
        assert (answer.status_code, "big" in answer.text) == (400, False)


async def test_while_nobody_knows_who_is_kept_out_an_address_opens_nothing_and_it_is_said(tmp_path: Path) -> None:
    text, row = key("tool")
    known = Rows(row)
    open_to_all = access(allow=[{"label": "home", "addresses": ["127.0.0.1"]}], roles={"anonymous": {"may": ["list"]}})
    async with (
        fake_ollama(tmp_path) as fake,
        gateway(fake.address, using=open_to_all, keyring=Keyring(known)) as plane,
        plane.client() as client,
    ):
        assert (await client.get("/api/tags")).status_code == 200
        known.addresses_off = "Neither can be read."
        for headers in ({}, {"Authorization": "Bearer ollama"}):
            closed = await client.get("/api/tags", headers=headers)
            assert (closed.status_code, "not known at this moment" in closed.json()["error"]) == (403, True)
        assert (await client.get("/api/tags", headers={"X-API-Key": text})).status_code == 200
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.text) == (
            503,
            "not ready: it is not known who is kept out, so addresses are off",
        )
        assert (await client.get("/healthz")).status_code == 200
        known.addresses_off = ""
        assert (await client.get("/api/tags")).status_code == 200
        assert (await client.get("/readyz")).text == "ready"


async def test_while_nobody_knows_who_has_a_right_credentials_are_asked_to_come_back_and_known_addresses_served(
    tmp_path: Path,
) -> None:
    text, row = key("tool")
    known = Rows(row)
    home = access(allow=[{"label": "home", "addresses": ["127.0.0.1"]}])
    with_key, signed_in = {"X-API-Key": text}, {"cookie": "__Host-sd=token", "accept": "text/html"}
    async with (
        fake_ollama(tmp_path) as fake,
        gateway(fake.address, using=home, keyring=Keyring(known)) as plane,
        plane.client() as client,
    ):
        known.unread = "The database is locked."
        for path, headers in (("/api/tags", with_key), ("/", signed_in), ("/login", signed_in), ("/logout", signed_in)):
            asked = await client.get(path, headers=headers)
            assert (asked.status_code, asked.headers["retry-after"]) == (503, "10"), path
        assert (await client.get("/api/tags")).status_code == 200, "the YAML lets this computer in"
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.text) == (503, "not ready: it is not known who has a key or an account")
        plane.settings[0] = access(allow=[])
        stranger = await client.get("/api/tags")
        assert (stranger.status_code, stranger.headers["retry-after"]) == (503, "10"), "a row may let it in"
        for _ in range(40):
            assert (await client.get("/api/tags", headers=with_key)).status_code == 503, "nobody guesses here"
        known.unread = ""
        assert (await client.get("/api/tags", headers=with_key)).status_code == 200
        assert (await client.get("/api/tags")).status_code == 403


async def test_a_guests_key_hears_of_no_folder_when_the_model_fails_and_everybody_else_does(tmp_path: Path) -> None:
    text, row = key("guest", models=("tin*",))
    other, whole = key("whole")
    error = "open /Volumes/x/blobs/sha256-1: no such file"
    async with (
        fake_ollama(tmp_path) as fake,
        gateway(fake.address, keyring=Keyring(Rows(row, whole))) as plane,
        plane.client() as client,
    ):
        fake.knobs(fail_next=6, fail_status=400, fail_error=error)
        for path, body in (
            ("/api/chat", CHAT),
            ("/v1/chat/completions", CHAT),
            ("/v1/messages", {**CHAT, "max_tokens": 5}),
        ):
            for shown, told in ((text, False), (other, True)):
                answer = await client.post(path, json=body, headers={"X-API-Key": shown})
                assert (answer.status_code, "Volumes" in answer.text) == (400, told), path
        seen = await client.post("/api/show", json={"model": "tiny"}, headers={"X-API-Key": text})
        assert (seen.status_code, seen.json()["modelfile"]) == (200, "")
        whole_one = await client.post("/api/show", json={"model": "tiny"}, headers={"X-API-Key": other})
        assert "FROM" in whole_one.json()["modelfile"]
        absent = await client.post("/api/show", json={"model": "tinier"}, headers={"X-API-Key": text})
        assert absent.status_code == 404


async def test_in_the_tunnel_a_key_counts_and_an_address_only_if_it_is_named_for_it(tmp_path: Path) -> None:
    text, row = key("tool", scopes=("infer", "manage"))
    home = {"label": "home", "addresses": ["203.0.113.9"]}
    friend = {"label": "friend", "addresses": ["203.0.113.10"], "through_tunnel": True}
    using = access(allow=[home, friend], hosts=["chat.example.org"])
    async with (
        fake_ollama(tmp_path) as fake,
        gateway(fake.address, using=using, arrival=TUNNELLED, keyring=Keyring(Rows(row))) as plane,
        plane.client(headers={"Host": "chat.example.org"}) as client,
    ):
        stranger = await client.post("/api/chat", json=CHAT, headers=VISITOR)
        assert stranger.status_code == 403
        assert stranger.json()["error"].startswith("203.0.113.9 is not on the allow-list: send this to whoever runs")
        assert (await client.post("/api/chat", json=CHAT, headers={**VISITOR, "X-API-Key": text})).status_code == 200
        assert (
            await client.post("/api/chat", json=CHAT, headers={"CF-Connecting-IP": "203.0.113.10"})
        ).status_code == 200
        managed = await client.post("/api/pull", json=CHAT, headers={**VISITOR, "X-API-Key": text})
        assert (managed.status_code, "surfaces: {admin: {tunnel: true}}" in managed.text) == (403, True)
        for forged in ([], [("CF-Connecting-IP", "x")], [("CF-Connecting-IP", "203.0.113.10")] * 2):
            headers = [("X-API-Key", text), ("X-Forwarded-For", "203.0.113.10"), *forged]
            assert (await client.get("/api/tags", headers=headers)).status_code == 400
        elsewhere = {**VISITOR, "Host": "evil.example", "X-API-Key": text}
        assert (await client.get("/api/tags", headers=elsewhere)).status_code == 421
        assert (await client.get("/healthz", headers={"Host": "evil.example"})).text == "ok"
        assert {(record.who, record.peer) for record in plane.records if record.status == 200 and record.who} == {
            ("tool", "203.0.113.9"),
            ("friend", "203.0.113.10"),
        }


async def test_what_stays_loaded_is_not_said_through_the_tunnel_unless_managing_is_opened_there(tmp_path: Path) -> None:
    text, row = key("tool", scopes=("infer", "embed", "manage"))
    closed = access(hosts=["chat.example.org"])
    outside = Server(hold=20.0, surfaces=Surfaces(admin=Surface(tunnel=True)))
    opened = Config(server=outside, access=closed.access)
    headers = {"Host": "chat.example.org", **VISITOR, "X-API-Key": text}
    async with (
        fake_ollama(tmp_path) as fake,
        gateway(fake.address, using=closed, arrival=TUNNELLED, keyring=Keyring(Rows(row))) as plane,
        plane.client(headers=headers) as client,
    ):
        for path in ("/api/generate", "/api/chat", "/api/embed", "/api/embeddings"):
            stopped = await client.post(path, json={"model": "tiny", "keep_alive": 0})
            assert (stopped.status_code, "surfaces: {admin: {tunnel: true}}" in stopped.json()["error"]) == (403, True)
        for wish in (0, -1):
            asked = await client.post("/api/chat", json={**CHAT, "keep_alive": wish})
            assert (asked.status_code, asked.headers["x-seadragon-adjusted"]) == (200, "keep_alive dropped")
        assert (await client.post("/api/generate", json={"model": "tiny", "keep_alive": -1})).status_code == 200
        assert plane.line.orders == []
        plane.configure(opened)
        assert (await client.post("/api/generate", json={"model": "tiny", "keep_alive": 0})).status_code == 200
        assert (await client.post("/api/chat", json={**CHAT, "keep_alive": -1})).status_code == 200
        assert plane.line.orders == [("unload", "tiny"), ("stay after", "tiny")]


async def test_an_operators_switch_gives_nobody_a_model_that_is_not_for_them(tmp_path: Path) -> None:
    text, row = key("tool", models=("tin*",))
    async with (
        fake_ollama(tmp_path) as fake,
        gateway(fake.address, slots=0, keyring=Keyring(Rows(row))) as plane,
        plane.client(headers={"X-API-Key": text}) as client,
    ):
        asking = asyncio.create_task(client.post("/api/chat", json={**CHAT, "stream": False}))
        await until(lambda: plane.line.tickets)
        [ticket] = plane.line.tickets
        ticket.model, ticket.runner = "blue:latest", runner("blue")
        plane.line.open(1)
        answer = await asking
        assert (answer.status_code, "may not use" in answer.json()["error"]) == (503, True)
        assert "blue" not in answer.text + str(answer.headers)
        assert (await plane.record()).reason == "switched"
        assert not [each for each in await fake.seen() if each["path"] == "/api/chat"], "no model was asked"


@pytest.mark.parametrize(
    ("role", "models", "status"),
    [("child", ("tin*",), 403), ("child", (), 403), ("member", (), 403), ("admin", (), 200)],
)
async def test_the_metrics_name_every_model_and_are_only_for_who_manages(
    role: Role, models: tuple[str, ...], status: int
) -> None:
    rows = Rows()
    rows.person("mia", role=role, models=models)
    keyring = Keyring(rows, lambda cookie, now: cookie.decode().removeprefix("s=") or None)
    here = {"label": "prometheus", "addresses": ["127.0.0.1"]}
    async with gateway(None, using=access(), keyring=keyring) as plane, plane.client() as client:
        assert (await client.get("/metrics", headers={"Cookie": "s=mia"})).status_code == status
        for entry, expected in ((here, 403), ({**here, "manage": True}, 200)):
            plane.configure(access(allow=[entry]))
            assert (await client.get("/metrics")).status_code == expected


async def test_a_cookie_opens_pages_and_a_key_opens_the_api_and_neither_the_other() -> None:
    text, row = key("tool")
    rows = Rows(row)
    rows.person("mia")
    keyring = Keyring(rows, lambda cookie, now: cookie.decode().removeprefix("s=") or None)
    async with gateway(None, using=access(), keyring=keyring) as plane, plane.client() as client:
        signed_in, with_key = {"Cookie": "s=mia"}, {"X-API-Key": text}
        assert (await client.get("/account", headers=signed_in)).status_code == 200
        assert (await client.get("/api/version", headers=signed_in)).status_code == 403
        assert (await client.get("/account", headers=with_key)).status_code == 403
        assert (await client.get("/api/version", headers=with_key)).status_code == 200
        assert (await client.get("/admin/people", headers=signed_in)).status_code == 403
        assert (await client.get("/login")).status_code == 200
        assert (await client.get("/nowhere", headers=signed_in)).status_code == 404
        from_elsewhere = {**signed_in, "Sec-Fetch-Site": "cross-site"}
        assert (await client.post("/account/x", headers=from_elsewhere)).status_code == 403
        assert rows.uses == [("person", "mia", "127.0.0.1"), ("key", row.id, "127.0.0.1")]


async def test_behind_a_proxy_of_ours_a_visitor_is_who_it_says_and_nobody_else_is_let_in() -> None:
    using = access(allow=[{"label": "anna", "addresses": ["192.168.1.20"]}])
    ours, theirs = (
        Proxied((ip_network("127.0.0.0/8"),), b"x-real-ip"),
        Proxied((ip_network("10.0.0.0/8"),), b"x-real-ip"),
    )
    async with gateway(None, using=using, arrival=ours) as plane, plane.client() as client:
        assert (await client.get("/api/version", headers={"X-Real-IP": "192.168.1.20"})).status_code == 200
        assert (await client.get("/api/version", headers={"X-Real-IP": "192.168.1.21"})).status_code == 403
        chain = {"X-Real-IP": "192.168.1.20, 192.168.1.21"}
        assert (await client.get("/api/version", headers=chain)).status_code == 403
        assert (await client.get("/api/version")).status_code == 400
    async with gateway(None, using=using, arrival=theirs) as plane, plane.client() as client:
        assert (await client.get("/api/version", headers={"X-Real-IP": "192.168.1.20"})).status_code == 403


async def test_an_address_that_is_kept_out_sees_no_page_at_all_and_hears_of_it() -> None:
    rows = Rows()
    rows.addresses["a"] = AllowRow("a", "pest", "127.0.0.1/32", "deny", 2.0, ("infer",), (), 0.0, "test")
    async with gateway(None, keyring=Keyring(rows)) as plane, plane.client() as client:
        for path in ("/login", "/join", "/static/site.css", "/"):
            refused = await client.get(path, headers={"Accept": "text/html"})
            assert (refused.status_code, "kept out" in refused.text) == (403, True), path
        assert (await client.post("/login", json={"name": "x"})).status_code == 403
        assert {record.reason for record in plane.records} == {"kept_out"}
        rows.addresses.clear()
        plane.plane.rights_changed("allow", "a")
        assert (await client.get("/login")).status_code == 200
