"""Promise 7: nothing is open that the policy table does not open. Every route is tried in every way, by everybody."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from controller.auth.policy import POLICY, Right
from controller.config.schema import Access, Config
from controller.proxy.app import ListenerKind
from controller.proxy.routes import ROUTES
from tests.integration.plane import MANAGER, config, exchange, fake_ollama, gateway

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SPELLINGS = ("{}", "/{}", "/ollama{}", "/api/code{}", "{}/", "/%2e%2e{}", "{}%00", "{};x=1", "{}x")
BODY = b'{"model":"tiny","name":"tiny","messages":[{"role":"user","content":"hi"}],"prompt":"hi","input":"hi"}'

Headers = Sequence[str]
CALLERS: dict[str, tuple[ListenerKind, Config, Headers, frozenset[Right]]] = {
    "a stranger": ("direct", config(access=Access(allow=())), (), frozenset({Right.ANYONE})),
    "this computer": ("direct", config(), (), frozenset({Right.ANYONE, Right.INFER})),
    "its owner": ("direct", config(access=MANAGER), (), frozenset({Right.ANYONE, Right.INFER, Right.MANAGE})),
    "a proxy": ("direct", config(access=MANAGER), ("X-Forwarded-For: 127.0.0.1",), frozenset({Right.ANYONE})),
    "a tunnel at the wrong door": ("direct", config(access=MANAGER), ("CF-Ray: 1",), frozenset({Right.ANYONE})),
    "a page elsewhere": ("direct", config(access=MANAGER), ("Sec-Fetch-Site: cross-site",), frozenset({Right.ANYONE})),
    "a page of no site": ("direct", config(access=MANAGER), ("Origin: null",), frozenset({Right.ANYONE})),
    "the tunnel": ("tunnel", config(access=MANAGER), ("CF-Connecting-IP: 127.0.0.1",), frozenset()),
}


def paths() -> list[str]:
    known = [
        route.path.format(digest="sha256:" + "a" * 64, model="tiny", key="k", id="1", name="a/b") for route in ROUTES
    ]
    return [*known, "/api/new", "/v1/new", "/metrics", "/static/x", "/debug/pprof/"]


def opened(route: str, method: str, rights: frozenset[Right], kind: str) -> bool:
    """Whether the table lets this through."""
    row = POLICY[route]
    if kind == "tunnel":
        return row.tunnel
    return row.needs in rights or (route == "/" and method == "HEAD")


async def status(port: int, method: str, path: str, headers: Headers) -> int:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    request = "\r\n".join([*lines, f"Content-Length: {len(BODY)}", "", ""]).encode() + BODY
    return int((await exchange(port, request)).split()[1])


@pytest.mark.parametrize("caller", CALLERS)
async def test_promise_7_nothing_is_open_that_the_policy_table_does_not_open(tmp_path: Path, caller: str) -> None:
    kind, using, headers, rights = CALLERS[caller]
    async with fake_ollama(tmp_path, echo=True) as fake, gateway(fake.address, using=using, kind=kind) as plane:
        for path in paths():
            for method in METHODS:
                before = len(plane.records)
                answered = await status(plane.port, method, path, headers)
                route = (await plane.record(before + 1)).route
                listed = route in POLICY and opened(route, method, rights, kind)
                asks = kind == "direct" and method == "OPTIONS"  # … what a page may do, and is told: nothing
                link = route == "pages" and caller.startswith("a page") and method in ("GET", "HEAD")
                assert answered >= 400 or listed or asks or link, (method, path, answered)
        asked = {each["path"] for each in await fake.seen()}
        if Right.INFER not in rights:
            assert asked == set()


@pytest.mark.parametrize("caller", ["a stranger", "the tunnel"])
async def test_promise_7_no_spelling_of_a_path_opens_it(tmp_path: Path, caller: str) -> None:
    kind, using, headers, rights = CALLERS[caller]
    async with fake_ollama(tmp_path, echo=True) as fake, gateway(fake.address, using=using, kind=kind) as plane:
        for path in paths():
            for spelling in SPELLINGS:
                for method in ("GET", "POST", "DELETE"):
                    before = len(plane.records)
                    answered = await status(plane.port, method, spelling.format(path), headers)
                    route = (await plane.record(before + 1)).route
                    assert answered >= 400 or opened(route, method, rights, kind), (method, path, spelling)
        assert await fake.seen() == []
