"""Rights over the management API: real HTTP, the real office, the real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.api.app import Api
from controller.auth.access import Principal
from controller.auth.holders import Holders
from controller.auth.policy import POLICY, Right
from controller.auth.secrets import parse_key
from controller.clock import SystemClock
from controller.config.machine import AuditSettings, UsageSettings
from controller.proxy.routes import ROUTES
from controller.storage.audit import Audit
from controller.storage.database import Database
from controller.storage.file import NAME
from controller.storage.usage import UsageStore
from tests.fakes.desk import FakeDesk
from tests.kit import web
from tests.kit.holding import an_office
from tests.kit.stored import at_work
from tests.kit.uses import a_use

GUEST = Principal("n8n", kind="key", id="k1", rights=frozenset({Right.INFER, Right.LIST}))
ROOT = "/api/v1"


@dataclass
class House:
    """The API, and who calls it."""

    app: Any
    audit: Audit
    usage: UsageStore
    admin: Principal
    who: Principal | None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        told = {"seadragon.who": self.who, "seadragon.peer": "203.0.113.7", "seadragon.request": "r-7"}
        await self.app({**scope, **told}, receive, send)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    desk, clock, path = FakeDesk(tmp_path), SystemClock(), tmp_path / "data" / NAME
    holders = Holders(clock, desk.journal)
    audit, usage = Audit(clock, desk.journal, AuditSettings), UsageStore(clock, desk.journal, UsageSettings)
    desk.office, desk.audit, desk.usage = an_office(holders, audit, clock), audit, usage
    async with AsyncExitStack() as stack:
        for part in (audit, usage):
            await stack.enter_async_context(at_work(part, Database(path, clock, desk.journal)))
        holding = asyncio.create_task(holders.ledger.run(Database(path, clock, desk.journal)))
        await holders.ledger.known.wait()
        ada = (await holders.users.create("ada", "admin", by="tests")).id
        admin = Principal("ada", kind="person", id=ada, rights=frozenset(Right) - {Right.NOBODY})
        yield House(Api(desk).asgi, audit, usage, admin, admin)
        holding.cancel()
        await asyncio.wait([holding])


@pytest.fixture
async def api(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with web.async_client(transport=httpx.ASGITransport(house), base_url=f"http://house{ROOT}") as client:
        yield client


async def test_a_key_is_made_shown_once_paused_and_revoked(api: httpx.AsyncClient, house: House) -> None:
    made = await api.post("/keys", json={"name": "n8n", "lane": 2.5, "scopes": ["infer"], "lasts": 3600})
    assert made.status_code == 201
    assert parse_key(made.json()["key"])
    id = made.json()["id"]
    listed = (await api.get("/keys")).json()["data"]
    assert [(key["id"], key["by"], key["state"]) for key in listed] == [(id, "ada", "active")]
    assert "key" not in listed[0]
    assert (await api.post("/keys/pause", json={"id": id})).json()["state"] == "paused"
    assert (await api.post("/keys/resume", json={"id": id})).json()["state"] == "active"
    assert (await api.delete(f"/keys/{id}")).json()["state"] == "revoked"
    assert (await api.delete("/keys/nothing1")).status_code == 404
    newest, *_, oldest = (await api.get("/audit")).json()["data"]
    assert (oldest["actor"], oldest["what"], oldest["peer"], oldest["request"]) == (
        "ada",
        "keys.create",
        "203.0.113.7",
        "r-7",
    )
    assert (newest["what"], newest["outcome"]) == ("keys.revoke", "refused")


async def test_people_invites_and_addresses(api: httpx.AsyncClient) -> None:
    user = (await api.post("/users", json={"name": "Mia", "role": "child"})).json()
    assert user["links"][0].startswith("http://localhost:8420/reset#sdr_")
    assert user["caution"].startswith("This works on this machine only.")
    assert (await api.post("/users/role", json={"user": "mia", "role": "member"})).json()["role"] == "member"
    assert (await api.post("/users", json={"name": "mia"})).status_code == 409
    assert (await api.delete(f"/users/{user['id']}")).json()["deleted"] is True
    invite = (await api.post("/invites", json={"label": "grandma"})).json()
    assert "/join#sdi_" in invite["links"][0]
    assert (await api.delete(f"/invites/{invite['id']}")).json()["state"] == "revoked"
    address = await api.post("/allow", json={"cidr": "192.168.1.0/24", "label": "home"})
    assert address.status_code == 201
    assert len((await api.get("/allow")).json()["data"]) == 3
    assert (await api.delete(f"/allow/{address.json()['id']}")).json()["removed"] is True


async def test_a_person_is_renamed_and_given_all_their_limits_at_once(api: httpx.AsyncClient) -> None:
    await api.post("/users", json={"name": "Mia"})
    renamed = await api.post("/users/rename", json={"user": "mia", "name": "Maja"})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "Maja")
    taken = await api.post("/users/rename", json={"user": "maja", "name": "Ada"})
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "conflict")
    wanted = {"models": ["qwen3*"], "lane": 4, "running": 1}
    limited = (await api.post("/users/limit", json={"user": "maja", **wanted})).json()
    assert {name: limited[name] for name in (*wanted, "waiting")} == {**wanted, "waiting": None}
    free = (await api.post("/users/limit", json={"user": "maja"})).json()
    assert (free["models"], free["lane"], free["running"]) == ([], None, None)
    for wrong in ({"user": "maja", "running": 0}, {"user": "maja", "lane": -1}, {"lane": 1}):
        assert (await api.post("/users/limit", json=wrong)).status_code == 400
    deeds = [(row["what"], row["outcome"]) for row in (await api.get("/audit?what=users.")).json()["data"]]
    assert deeds == [
        *[("users.limit", "done")] * 2,
        ("users.rename", "refused"),
        ("users.rename", "done"),
        ("users.add", "done"),
    ]


async def test_a_key_is_changed_where_it_is_told_and_stays_as_it_was_elsewhere(api: httpx.AsyncClient) -> None:
    id = (await api.post("/keys", json={"name": "n8n", "models": ["red"], "per_minute": 5})).json()["id"]
    changed = (await api.post("/keys/change", json={"id": id, "name": "n8n at work", "per_minute": None})).json()
    assert (changed["name"], changed["models"], changed["per_minute"]) == ("n8n at work", ["red"], None)
    assert (await api.post("/keys/change", json={"id": id, "name": None, "lane": 3})).json()["name"] == "n8n at work"
    nothing = await api.post("/keys/change", json={"id": id})
    assert (nothing.status_code, "Say what is to change" in nothing.text) == (400, True)
    assert (await api.post("/keys/change", json={"id": "nothing1", "lane": 1.5})).status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/keys", {"name": "x", "colour": "red"}),
        ("/keys", {"name": "x", "lane": "1"}),
        ("/keys", {"name": "x", "scopes": ["fly"]}),
        ("/keys", {}),
        ("/users", {"name": "x", "role": "king"}),
        ("/allow", {"cidr": "0.0.0.0/0", "label": "everybody"}),
    ],
)
async def test_what_is_no_order_is_refused_and_says_why(
    api: httpx.AsyncClient, path: str, body: dict[str, object]
) -> None:
    answer = await api.post(path, json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


async def test_every_route_of_admins_turns_everybody_else_away(api: httpx.AsyncClient, house: House) -> None:
    tried = 0
    for route in ROUTES:
        if POLICY[route.path].needs is not Right.ADMIN:
            continue
        for method in route.methods:
            for who in (GUEST, None):
                house.who = who
                path = route.path.removeprefix(ROOT).replace("{id}", "x")
                answer = await api.request(method, path, json={"id": "x", "user": "x", "name": "x", "role": "admin"})
                assert answer.status_code == 403, (method, route.path)
                tried += 1
    assert tried > 30


MANAGER = Principal("mia", kind="person", id="u1", rights=frozenset({Right.CHAT, Right.LIST, Right.MANAGE}))


async def test_what_is_somebody_elses_answers_word_for_word_as_what_does_not_exist(
    api: httpx.AsyncClient, house: House
) -> None:
    made = {
        "keys": await api.post("/keys", json={"name": "n8n"}),
        "users": await api.post("/users", json={"name": "Tom"}),
        "invites": await api.post("/invites", json={"label": "grandma"}),
        "allow": await api.post("/allow", json={"cidr": "192.168.1.0/24", "label": "home"}),
    }
    there = {what: answer.json()["id"] for what, answer in made.items()}
    with_id = [route for route in ROUTES if route.path.startswith(ROOT) and route.path.endswith("/{id}")]
    assert {route.path for route in with_id} == {f"{ROOT}/{what}/{{id}}" for what in (*there, "jobs")}
    for house.who in (GUEST, MANAGER, None):
        for what, id in there.items():
            real, absent = [await api.delete(f"/{what}/{each}") for each in (id, "x" * len(id))]
            assert (real.status_code, real.text) == (403, absent.text), what
        for verb, body in (
            ("keys/pause", {"id": there["keys"]}),
            ("keys/resume", {"id": there["keys"]}),
            ("users/disable", {"user": there["users"]}),
            ("users/end_sessions", {"user": there["users"]}),
            ("users/reset_link", {"user": there["users"]}),
            ("keys/change", {"id": there["keys"], "lane": 0.5}),
            ("users/role", {"user": there["users"], "role": "admin"}),
            ("users/rename", {"user": there["users"], "name": "Tim"}),
            ("users/limit", {"user": there["users"]}),
        ):
            real = await api.post(f"/{verb}", json=body)
            absent = await api.post(f"/{verb}", json={**body, next(iter(body)): "xxxxxxxx"})
            assert (real.status_code, real.text) == (403, absent.text), verb
    house.who = house.admin
    listed = {what: (await api.get(f"/{what}")).json()["data"] for what in there}
    assert all(id in str(listed[what]) for what, id in there.items()), "and all of it is still there"
    assert listed["keys"][0]["state"] == "active"


async def test_usage_is_ones_own_unless_one_is_an_admin(api: httpx.AsyncClient, house: House) -> None:
    house.usage.note(a_use(kind="key", caller="n8n", caller_id=GUEST.identity, key_id="k1", model="red"))
    house.usage.note(a_use(kind="address", caller="anna", caller_id=Principal("anna").identity, model="blue"))
    house.usage.note(a_use(kind="person", caller="anna", caller_id="person:u9", user_id="u9", model="green"))
    house.who = GUEST
    assert [each["model"] for each in (await api.get("/usage?by=model")).json()["data"]] == ["red"]
    assert [each["model"] for each in (await api.get("/usage?requests=9")).json()["data"]] == ["red"]
    assert (await api.get("/usage?everybody=true")).status_code == 403
    assert (await api.get("/usage?by=colour")).status_code == 400
    house.who = replace(GUEST, models=("blue",))
    assert (await api.get("/usage?by=model")).json()["data"] == [], "what is hidden now is not named"
    house.who = Principal("anna", kind="address", id="")
    assert [each["model"] for each in (await api.get("/usage?by=model")).json()["data"]] == ["blue"]
    house.who = house.admin
    assert (await api.get("/usage")).json()["data"] == []
    assert len((await api.get("/usage?by=model&everybody=true")).json()["data"]) == 3


async def test_openapi_tells_of_each_with_the_body_it_takes(api: httpx.AsyncClient) -> None:
    paths = (await api.get("/openapi.json")).json()["paths"]
    served = {route.path for route in ROUTES if route.path.startswith(ROOT) and "openapi" not in route.path}
    assert {path.replace("{model}", "{name}") for path in paths} == served
    body = paths[f"{ROOT}/keys"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["$ref"].endswith("NewKey")


async def test_openapi_tells_of_what_the_door_may_answer_and_of_no_422_since_there_is_none(
    api: httpx.AsyncClient,
) -> None:
    document = (await api.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert {"400", "401", "403", "413", "415", "421", "429", "503"} <= set(operation["responses"]), path
            assert "422" not in operation["responses"], (method, path)
    assert "422" not in str(document)
    assert "HTTPValidationError" not in document["components"]["schemas"]
    assert (await api.post("/keys", json={"colour": "red"})).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/usage?since=1.7e308&by=week&everybody=true", ""),
        ("GET", "/usage?since=inf&everybody=true", ""),
        ("GET", "/usage?since=nan&everybody=true", ""),
        ("GET", "/usage?since=1e300&requests=5&everybody=true", ""),
        ("GET", "/audit?since=inf", ""),
        ("GET", "/audit?before=99999999999999999999999", ""),
        ("GET", "/audit?before=-99999999999999999999999", ""),
        ("POST", "/keys", r'{"name": "x", "\ud800": 1}'),
        ("POST", "/keys", r'{"name": "\ud800"}'),
        ("POST", "/keys", r'{"name": "x", "models": ["\udfff"]}'),
        ("POST", "/keys", r'{"name": "x", "lane": NaN}'),
        ("POST", "/keys", r'{"name": "x", "lasts": Infinity}'),
        ("POST", "/keys", r'{"name": "x", "per_minute": 1e400}'),
        ("POST", "/keys", '{"name": "x", "per_minute": ' + "9" * 5000 + "}"),
        ("POST", "/keys", '{"name": ' + "[" * 20000 + "]" * 20000 + "}"),
        ("POST", "/keys/pause", r'{"id": "\u0000"}'),
        ("POST", "/users/role", r'{"user": "\u0000", "role": "\ud800"}'),
        ("POST", "/users", r'{"name": "\u0000"}'),
        ("POST", "/allow", r'{"cidr": "fe80::1%\u0000", "label": "x"}'),
        ("POST", "/allow", r'{"cidr": "1.2.3.4/99999999999999999999", "label": "x"}'),
        ("DELETE", "/keys/%00", ""),
        ("DELETE", f"/keys/{'k' * 65}", ""),
        ("DELETE", f"/users/{'u' * 65}", ""),
        ("DELETE", f"/invites/{'i' * 65}", ""),
        ("DELETE", f"/allow/{'a' * 65}", ""),
        ("DELETE", "/users/%ED%A0%80", ""),
        ("POST", "/keys", "\x00\xff"),
    ],
)
async def test_what_no_person_would_send_is_refused_and_breaks_nothing(
    api: httpx.AsyncClient, method: str, path: str, body: str
) -> None:
    answer = await api.request(method, path, content=body.encode("latin-1"))
    assert answer.status_code in (400, 404), answer.text
    assert answer.json()["error"]["message"]
