"""Promise 7: nothing is open that the policy table does not open. Every route is tried in every way, by everybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from controller.auth.keyring import Keyring
from controller.auth.policy import POLICY, Right, Row, Tunnel, page_row, row_of
from controller.auth.visitor import DIRECT, TUNNELLED, Arrival
from controller.config.entry import Access, Allowed
from controller.config.schema import Config
from controller.proxy.routes import ROUTES
from tests.fakes.rows import Rows, key
from tests.integration.plane import MANAGER, config, exchange, fake_ollama, gateway

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SPELLINGS = ("{}", "/{}", "/ollama{}", "/api/code{}", "{}/", "/%2e%2e{}", "{}%00", "{};x=1", "{}x")
BODY = b'{"model":"tiny","name":"tiny","messages":[{"role":"user","content":"hi"}],"prompt":"hi","input":"hi"}'

HOUSE = frozenset({Right.ANYONE, Right.INFER, Right.EMBED, Right.AUDIO, Right.LIST})
NOTHING = frozenset({Right.ANYONE})
NOBODY = config(access=Access(allow=()))
VISITOR = "CF-Connecting-IP: 203.0.113.9"
FRIEND = Allowed(label="friend", addresses=("203.0.113.9",), manage=True, through_tunnel=True)


@dataclass(frozen=True)
class Caller:
    """Somebody, and the rights they have."""

    using: Config
    rights: frozenset[Right]
    headers: Sequence[str] = ()
    arrival: Arrival = field(default=DIRECT)
    page_rights: frozenset[Right] | None = None  # where a key counts for nothing


PLAIN, PLAIN_ROW = key("plain", scopes=("infer",))
MANAGING, MANAGING_ROW = key("managing", scopes=("infer", "manage"))
EMBEDDING, EMBEDDING_ROW = key("embedding", scopes=("embed",))
GONE, GONE_ROW = key("gone", scopes=("infer", "manage"), revoked_at=1.0)
KEYRING = Rows(PLAIN_ROW, MANAGING_ROW, EMBEDDING_ROW, GONE_ROW)
INFER = frozenset({Right.ANYONE, Right.INFER, Right.LIST})
EMBED = frozenset({Right.ANYONE, Right.EMBED, Right.LIST})

CALLERS: dict[str, Caller] = {
    "a stranger": Caller(NOBODY, NOTHING),
    "this computer": Caller(config(), HOUSE),
    "its owner": Caller(config(access=MANAGER), HOUSE | {Right.MANAGE}),
    "a proxy": Caller(config(access=MANAGER), NOTHING, ("X-Forwarded-For: 127.0.0.1",)),
    "a tunnel at the wrong door": Caller(config(access=MANAGER), NOTHING, ("CF-Ray: 1",)),
    "a page elsewhere": Caller(config(access=MANAGER), NOTHING, ("Sec-Fetch-Site: cross-site",)),
    "a page of no site": Caller(config(access=MANAGER), NOTHING, ("Origin: null",)),
    "the tunnel": Caller(config(access=MANAGER), NOTHING, (VISITOR,), TUNNELLED),
    "the tunnel as this computer": Caller(config(access=MANAGER), NOTHING, ("CF-Connecting-IP: 127.0.0.1",), TUNNELLED),
    "a friend in the tunnel": Caller(
        config(access=Access(allow=(FRIEND,))), HOUSE | {Right.MANAGE}, (VISITOR,), TUNNELLED
    ),
    "a key": Caller(NOBODY, INFER, (f"Authorization: Bearer {PLAIN}",), page_rights=NOTHING),
    "a key as a password": Caller(NOBODY, EMBED, (f"X-API-Key: {EMBEDDING}",), page_rights=NOTHING),
    "a managing key": Caller(NOBODY, INFER | {Right.MANAGE}, (f"X-API-Key: {MANAGING}",), page_rights=NOTHING),
    "a key in the tunnel": Caller(NOBODY, INFER, (VISITOR, f"X-API-Key: {PLAIN}"), TUNNELLED, NOTHING),
    "a managing key in the tunnel": Caller(
        NOBODY, INFER | {Right.MANAGE}, (VISITOR, f"Authorization: Bearer {MANAGING}"), TUNNELLED, NOTHING
    ),
    "a revoked key of the owner": Caller(
        config(access=MANAGER), NOTHING, (f"X-API-Key: {GONE}",), page_rights=HOUSE | {Right.MANAGE}
    ),
    "anybody, where that is enough": Caller(
        config(access=Access.model_validate({"allow": [], "roles": {"anonymous": {"may": ["list"]}}})),
        NOTHING | {Right.LIST},
    ),
    "anybody in the tunnel": Caller(
        config(access=Access.model_validate({"allow": [], "roles": {"anonymous": {"may": ["list", "infer"]}}})),
        NOTHING,
        (VISITOR,),
        TUNNELLED,
    ),
}


def paths() -> list[str]:
    known = [
        route.path.format(digest="sha256:" + "a" * 64, model="tiny", key="k", id="1", name="a/b") for route in ROUTES
    ]
    return [*known, "/api/new", "/v1/new", "/metrics", "/static/x", "/live", "/admin/x", "/debug/pprof/"]


def opened(row: Row, caller: Caller, *, page: bool) -> bool:
    """Whether the table lets this through."""
    outside = caller.arrival is TUNNELLED and row.tunnel is not Tunnel.YES
    rights = caller.page_rights if page and caller.page_rights is not None else caller.rights
    return row.needs in rights and not outside


def row_for(route: str, method: str, path: str) -> Row | None:
    if route == "pages":
        return page_row("/" + path.lstrip("/").partition("?")[0])
    return row_of(method, route) if route in POLICY else None


async def status(port: int, method: str, path: str, headers: Sequence[str]) -> int:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    request = "\r\n".join([*lines, f"Content-Length: {len(BODY)}", "", ""]).encode() + BODY
    return int((await exchange(port, request)).split()[1])


def unbounded(using: Config) -> Config:
    """Nobody is told to wait: that is tried elsewhere."""
    rates = using.access.rates.model_copy(update={"key": None, "anonymous": 10**6, "wrong": 10**6})
    return using.model_copy(update={"access": using.access.model_copy(update={"rates": rates})})


@pytest.mark.parametrize("name", CALLERS)
async def test_promise_7_nothing_is_open_that_the_policy_table_does_not_open(tmp_path: Path, name: str) -> None:
    caller = CALLERS[name]
    async with (
        fake_ollama(tmp_path, echo=True) as fake,
        gateway(fake.address, using=unbounded(caller.using), arrival=caller.arrival, keyring=Keyring(KEYRING)) as plane,
    ):
        for path in paths():
            for method in METHODS:
                before = len(plane.records)
                answered = await status(plane.port, method, path, caller.headers)
                route = (await plane.record(before + 1)).route
                row = row_for(route, method, path)
                listed = row is not None and opened(row, caller, page=route == "pages")
                asks = method == "OPTIONS"  # … what a page may do, and is told: nothing
                link = route == "pages" and name.startswith("a page") and method in ("GET", "HEAD")
                assert answered >= 400 or listed or asks or link, (method, path, answered)
                if listed and not name.startswith("a page"):
                    assert answered not in (401, 403) or route == "/api/me" or "web_" in route, (method, path, answered)
        asked = {each["path"] for each in await fake.seen()}
        if Right.INFER not in caller.rights and Right.LIST not in caller.rights:
            assert asked == set()


@pytest.mark.parametrize("name", ["a stranger", "the tunnel"])
async def test_promise_7_no_spelling_of_a_path_opens_it(tmp_path: Path, name: str) -> None:
    caller = CALLERS[name]
    async with (
        fake_ollama(tmp_path, echo=True) as fake,
        gateway(fake.address, using=caller.using, arrival=caller.arrival) as plane,
    ):
        for path in paths():
            for spelling in SPELLINGS:
                for method in ("GET", "POST", "DELETE"):
                    before = len(plane.records)
                    spelled = spelling.format(path)
                    answered = await status(plane.port, method, spelled, caller.headers)
                    route = (await plane.record(before + 1)).route
                    row = row_for(route, method, spelled)
                    listed = row is not None and opened(row, caller, page=route == "pages")
                    assert answered >= 400 or listed, (method, path, spelling)
        assert await fake.seen() == []
