"""The rule `require_https`: real listeners of every kind, in front of a real data plane."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest

from controller.auth.keyring import Keyring
from controller.auth.visitor import arrival
from controller.config.entry import Access
from controller.config.listening import LimitSettings, Listener, Surface, Surfaces, Tls
from controller.config.processes import TunnelSettings
from controller.config.schema import Config, Server
from controller.listeners import Listeners
from tests.fakes.rows import Rows, key
from tests.integration.plane import Plane, gateway
from tests.kit import certificates
from tests.kit.ports import free_port

Rule = Literal["off", "pages", "all"]
FROM_OUTSIDE = {"X-Forwarded-For": "203.0.113.9"}  # on a direct listener: others may have read it on its way
TUNNELLED = {"CF-Connecting-IP": "203.0.113.9", "Host": "ai.example.org"}
PROXIED = {"X-Real-IP": "203.0.113.9", "Host": "ai.example.org"}
SAFE = {"X-Forwarded-Proto": "https"}
HTML = {"Accept": "text/html"}
TRUST = certificates.trusting()


def ruled(rule: Rule, *names: str, **server: Any) -> Config:
    made = Server(hold=20, require_https=rule, tunnel=TunnelSettings(hostnames=names), **server)
    return Config(server=made, access=Access(hosts=("localhost", "mini.example.org", "ai.example.org")))


def a_listener(kind: str = "direct", **fields: Any) -> Listener:
    if kind == "proxy":
        fields = {"trusted": ("127.0.0.1",), "header": "x-real-ip", **fields}
    return Listener(address=f"127.0.0.1:{free_port()}", kind=kind, **fields)


@asynccontextmanager
async def house(config: Config, *listeners: Listener, rows: Rows | None = None) -> AsyncIterator[Plane]:
    """A data plane behind `listeners`, which say how a visitor came."""
    plane: Plane
    doors = Listeners(lambda listener: plane.plane.listener(arrival(listener)))
    keyring = Keyring(rows or Rows())
    async with gateway(None, using=config, keyring=keyring, https_doors=lambda: doors.https_doors) as plane:
        await doors.become(listeners, LimitSettings(), 1)
        try:
            yield plane
        finally:
            await doors.close(1)


async def asked(listener: Listener, method: str, path: str, *headers: Mapping[str, str]) -> httpx.Response:
    scheme = "https" if listener.tls.cert else "http"
    sent = {name: value for some in headers for name, value in some.items()}
    async with httpx.AsyncClient(verify=TRUST, trust_env=False) as client:
        return await client.request(method, f"{scheme}://localhost:{listener.place.port}{path}", headers=sent)


async def test_a_page_over_plain_http_leads_to_the_listener_that_speaks_https(tmp_path: Path) -> None:
    cert, private = certificates.house(tmp_path)
    plain, secure = a_listener(), a_listener(tls=Tls(cert=str(cert), key=str(private)))
    async with house(ruled("pages"), plain, secure) as plane:
        for accept in ({}, HTML):
            led = await asked(plain, "GET", "/login?onward=%2Faccount", FROM_OUTSIDE, accept)
            assert led.status_code == 307, "for now alone: the rule may be taken back"
            assert led.headers["location"] == f"https://localhost:{secure.place.port}/login?onward=%2Faccount"
        there = await asked(secure, "GET", "/login")
        assert (there.status_code, there.text) == (200, "<p>/login")
        posted = await asked(plain, "POST", "/login", FROM_OUTSIDE)
        assert (posted.status_code, "is not used" in posted.json()["error"]) == (403, True)
        assert (await asked(plain, "GET", "/healthz", FROM_OUTSIDE)).status_code == 200
        assert {record.reason for record in plane.records if record.status in (307, 403)} == {"plain_http"}


async def test_with_nowhere_to_lead_to_a_page_says_so() -> None:
    plain = a_listener()
    async with house(ruled("pages"), plain):
        told = await asked(plain, "GET", "/login", FROM_OUTSIDE, HTML)
        assert (told.status_code, "https only" in told.text) == (403, True)
    async with house(ruled("pages", "ai.example.org"), plain):
        led = await asked(plain, "GET", "/login", FROM_OUTSIDE)
        assert led.headers["location"] == "https://ai.example.org/login"


@pytest.mark.parametrize(("kind", "how"), [("tunnel", TUNNELLED), ("proxy", PROXIED)])
async def test_through_a_tunnel_or_proxy_what_it_says_of_the_visitor_counts(kind: str, how: Mapping[str, str]) -> None:
    text, row = key("tool")
    door, shown = a_listener(kind), {"X-API-Key": text}
    async with house(ruled("all", "ai.example.org"), door, rows=Rows(row)):
        led = await asked(door, "GET", "/login", how)
        assert (led.status_code, led.headers["location"]) == (307, "https://ai.example.org/login")
        assert (await asked(door, "GET", "/login", how, SAFE)).status_code == 200
        assert (await asked(door, "GET", "/api/version", how, shown)).status_code == 403
        assert (await asked(door, "GET", "/api/version", how, shown, SAFE)).status_code == 200


@pytest.mark.parametrize("spelled", ["X-API-Key: {}", "Authorization: Bearer {}", "Authorization: {}"])
async def test_a_key_in_the_clear_is_refused_by_its_name_and_never_accepted(spelled: str) -> None:
    text, row = key("tool")
    wrong, other = key("of another house")
    plain, rows = a_listener(), Rows(row)
    name, value = spelled.split(": ", 1)
    async with house(ruled("all"), plain, rows=rows) as plane:
        for shown, id, last4 in ((text, row.id, row.last4), (wrong, other.id, other.last4)):
            for path in ("/api/version", "/api/tags", "/v1/models"):
                refused = await asked(plain, "GET", path, FROM_OUTSIDE, {name: value.format(shown)})
                assert refused.status_code == 403, "whether it is right is not told"
                assert f"The key {id} (ending in {last4}) came over plain http" in refused.text
                assert shown not in refused.text
        assert rows.uses == []
        assert text[12:] not in str(plane.records)
        here = await asked(plain, "GET", "/api/version", {name: value.format(text)})
        assert here.status_code == 200, "this computer talks to itself"
        assert rows.uses == [("key", row.id, "127.0.0.1")]


@pytest.mark.parametrize(("rule", "page", "api"), [("off", 200, 200), ("pages", 307, 200), ("all", 307, 403)])
async def test_each_rule_goes_as_far_as_it_says(rule: Rule, page: int, api: int) -> None:
    text, row = key("tool")
    plain = a_listener()
    async with house(ruled(rule, "ai.example.org"), plain, rows=Rows(row)) as plane:
        assert (await asked(plain, "GET", "/login", FROM_OUTSIDE)).status_code == page
        assert (await asked(plain, "GET", "/api/version", FROM_OUTSIDE, {"X-API-Key": text})).status_code == api
        assert (await asked(plain, "GET", "/login")).status_code == 200
        plane.configure(ruled("off"))
        assert (await asked(plain, "GET", "/login", FROM_OUTSIDE)).status_code == 200, "from the next request on"


async def test_an_admins_key_manages_through_the_tunnel_only_where_server_yaml_says_so() -> None:
    text, row = key("ada", scopes=("infer", "manage", "admin"))
    door, shown = a_listener("tunnel"), {**TUNNELLED, **SAFE, "X-API-Key": text}
    opened = Surfaces(admin=Surface(tunnel=True))
    async with house(ruled("off", "ai.example.org"), door, rows=Rows(row)) as plane:
        for method, path in (("GET", "/api/v1/keys"), ("GET", "/api/v1/audit"), ("POST", "/api/v1/queue/pause")):
            closed = await asked(door, method, path, shown)
            assert closed.status_code == 403, path
            assert "`surfaces: {admin: {tunnel: true}}` in server.yaml" in closed.text
        plane.configure(ruled("off", "ai.example.org", surfaces=opened))
        told = await asked(door, "GET", "/api/v1/keys", shown)
        assert (told.status_code, told.json()["who"]) == (200, "ada")
        stranger = await asked(door, "GET", "/api/v1/keys", TUNNELLED, SAFE)
        assert stranger.status_code == 403, "it opens the way, and gives no right"
