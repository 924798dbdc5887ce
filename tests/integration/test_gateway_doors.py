"""What passes the doors of the data plane, on real sockets."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from controller.config.entry import Access, Allowed
from tests.integration.plane import CHAT, MANAGER, config, exchange, fake_ollama, gateway, head_of


async def test_every_prefix_and_slip_reaches_the_same_route(tmp_path: Path) -> None:
    async with fake_ollama(tmp_path, echo=True) as fake, gateway(fake.address) as plane, plane.client() as client:
        for path in (
            "/api/chat",
            "//api/chat",
            "/api/code/api/chat",
            "/ollama/api/api/chat",
            "/v1/api/chat",
            "/api/%63hat",
        ):
            seen = (await client.post(plane.url + path, json=CHAT)).json()
            assert (seen["method"], seen["path"]) == ("POST", "/api/chat"), path
        assert {record.route for record in plane.records} == {"/api/chat"}


async def test_the_query_goes_on_but_no_credential_in_it(tmp_path: Path) -> None:
    async with fake_ollama(tmp_path, echo=True) as fake, gateway(fake.address) as plane, plane.client() as client:
        assert (await client.post("/v1/messages?beta=true&ts=1", json=CHAT)).json()[
            "path"
        ] == "/v1/messages?beta=true&ts=1"
        refused = await client.post("/v1/messages?key=sd_x", json=CHAT)
        assert refused.status_code == 400
        assert "sd_x" not in str(plane.records)


async def test_credentials_stay_here_and_the_host_is_upstreams(tmp_path: Path) -> None:
    headers = {
        "Authorization": "Bearer ollama",
        "X-API-Key": "not-needed",
        "Cookie": "a=b",
        "Referer": "http://x",
        "X-Stainless-Lang": "js",
        "Accept": "application/x-ndjson",
        "X-Request-Id": "mine-1",
        "User-Agent": "test",
    }
    async with fake_ollama(tmp_path, echo=True) as fake, gateway(fake.address) as plane, plane.client() as client:
        answer = await client.post("/api/chat", json=CHAT, headers=headers)
        seen = {name.lower(): value for name, value in answer.json()["headers"]}
        assert seen.pop("content-length").isdigit()
        assert seen == {
            "host": f"127.0.0.1:{fake.port}",
            "accept": "application/x-ndjson",
            "content-type": "application/json",
            "user-agent": "test",
            "x-request-id": "mine-1",
        }
        assert answer.headers["x-request-id"] == "mine-1"
        assert set(answer.headers) <= {"date", "server", "content-type", "content-length", "x-request-id"}


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", ""])
async def test_any_content_type_will_do(tmp_path: Path, kind: str) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane, plane.client() as client:
        answer = await client.post("/api/chat", content=json.dumps(CHAT), headers={"Content-Type": kind})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "shape"),
    [
        ("GET", "/api/nope", 404, ("error",)),
        ("POST", "/v1/nope", 404, ("error", "message")),
        ("POST", "/v1/messages/batches", 404, ("error", "type")),
        ("GET", "/api/chat", 405, ("error",)),
        ("PUT", "/v1/models", 405, ("error", "message")),
        ("GET", "/api/v1/nope", 404, ("error", "message")),
        ("GET", "/api/../pull", 400, ("error",)),
        ("GET", "/v1/models/a%05b", 400, ("error", "message")),
        ("GET", "/api/v1/models/a%05b", 400, ("error", "message")),
        ("POST", "/api/push", 403, ("error",)),
        ("POST", "/api/signout", 403, ("error",)),
        ("DELETE", "/api/user/keys/abc", 403, ("error",)),
        ("POST", "/api/me", 401, ("error",)),
        ("POST", "/api/experimental/web_search", 403, ("error",)),
        ("GET", "/api/status", 200, ("cloud", "disabled")),
        ("GET", "/api/experimental/model-recommendations", 200, ("recommendations",)),
    ],
)
async def test_what_is_not_forwarded_is_answered_in_the_callers_words(
    tmp_path: Path, method: str, path: str, status: int, shape: tuple[str, ...]
) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane:
        request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        head, _, body = (await exchange(plane.port, request, until_closed=True)).partition(b"\r\n\r\n")
        assert int(head.split()[1]) == status
        if status == 405:
            assert b"\r\nallow: " in head
        value: Any = json.loads(body)
        for name in shape:
            value = value[name]
        assert await fake.seen() == []


@pytest.mark.parametrize("path", ["/", "/api/code", "/api/code/", "/ollama/"])
async def test_the_command_lines_heartbeat_is_answered_empty(path: str) -> None:
    async with gateway(None, using=config(access=Access(allow=()))) as plane, plane.client() as client:
        answer = await client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")


async def test_the_root_is_a_page_for_browsers_and_a_word_for_programs() -> None:
    async with gateway(None) as plane, plane.client() as client:
        assert (await client.get("/", headers={"Accept": "text/html,*/*"})).text == "<p>/"
        assert (await client.get("/")).text == "Ollama is running"
        assert (await client.get("/api/code/", headers={"Accept": "text/html"})).text == "Ollama is running"
        assert (await client.get("/static/app.css")).text == "<p>/static/app.css"
        assert [record.route for record in plane.records] == ["pages", "/", "/", "pages"]


async def test_strangers_get_nothing_but_the_word_of_life() -> None:
    async with gateway(None, using=config(access=Access(allow=()))) as plane, plane.client() as client:
        for path in ("/", "/api/tags", "/api/version", "/v1/models", "/metrics", "/live"):
            answer = await client.get(path)
            assert answer.status_code == 403, path
            words = "127.0.0.1 is not on the allow-list: send this to whoever runs this server, or use a key."
            assert words in answer.text
        assert (await client.get("/healthz")).text == "ok"
        assert (await client.get("/readyz")).status_code == 503


@pytest.mark.parametrize(
    ("header", "status", "why"),
    [(("Host", "evil.example"), 421, "by that name"), (("X-Forwarded-For", "192.0.2.1"), 403, "proxy")],
)
async def test_a_person_who_is_turned_away_is_shown_a_page_and_a_program_a_document(
    header: tuple[str, str], status: int, why: str
) -> None:
    async with gateway(None) as plane, plane.client() as client:
        page = await client.get("/", headers=[header, ("Accept", "text/html")])
        document = await client.get("/", headers=[header])
        posted = await client.post("/orders", headers=[header, ("Accept", "text/html")])
    assert (page.status_code, document.status_code, posted.status_code) == (status, status, status)
    assert (page.headers["content-type"], why in page.text) == ("text/html", True)
    assert why in document.json()["error"]
    assert why in posted.json()["error"]


async def test_whoever_comes_through_a_proxy_loses_the_rights_of_its_address(tmp_path: Path) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane, plane.client() as client:
        for name in ("CF-Connecting-IP", "X-Forwarded-For", "Forwarded"):
            answer = await client.get("/api/tags", headers={name: "127.0.0.1"})
            assert answer.status_code == 403
            assert name.lower() in answer.text
        assert [record.reason for record in plane.records] == ["through_a_proxy"] * 3
        assert await fake.seen() == []


async def test_managing_needs_the_right_to_and_says_which_line_to_change(tmp_path: Path) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane, plane.client() as client:
        for method, path in (
            ("POST", "/api/pull"),
            ("POST", "/api/create"),
            ("POST", "/api/copy"),
            ("DELETE", "/api/delete"),
        ):
            answer = await client.request(method, path, json={"model": "m"})
            assert answer.status_code == 403
            assert "manage: true" in answer.json()["error"]
            assert '"this computer"' in answer.json()["error"]
        assert await fake.seen() == []
        plane.configure(config(access=MANAGER))
        assert (await client.post("/api/pull", json={"model": "m"})).status_code == 404
        assert [each["path"] for each in await fake.seen()] == ["/api/pull"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/generate", {"model": "tiny", "keep_alive": 0}),
        ("/api/generate", {"model": "tiny", "prompt": "", "keep_alive": "0s"}),
        ("/api/chat", {"model": "tiny", "messages": [], "Keep_Alive": 0}),
    ],
)
async def test_stopping_a_model_is_managing(tmp_path: Path, path: str, body: dict[str, Any]) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane, plane.client() as client:
        assert (await client.post(path, json=body)).status_code == 403
        plane.configure(config(access=MANAGER))
        assert (await client.post(path, json=body)).status_code == 200


@pytest.mark.parametrize("name", ["../../etc/passwd", "a b", "x\\y"])
async def test_a_name_that_is_no_name_never_reaches_ollama(tmp_path: Path, name: str) -> None:
    using = config(access=MANAGER)
    async with fake_ollama(tmp_path) as fake, gateway(fake.address, using=using) as plane, plane.client() as client:
        assert (await client.request("DELETE", "/api/delete", json={"Model": name})).status_code == 400
        assert (await client.post("/api/copy", json={"source": "a", "destination": name})).status_code == 400
        assert (await client.post("/api/blobs/sha256:..%2f", content=b"x")).status_code == 400
        assert (await client.post("/api/blobs/sha256:abc", content=b"x")).status_code == 400
        assert await fake.seen() == []


async def test_a_name_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane, plane.client() as client:
        for host in ("evil.example", f"evil.example:{plane.port}", "localhost.evil.example"):
            assert (await client.get("/api/tags", headers={"Host": host})).status_code == 421
        for host in ("localhost", f"127.0.0.1:{plane.port}", "LOCALHOST:1"):
            assert (await client.get("/api/tags", headers={"Host": host})).status_code == 200
        two = b"GET /api/tags HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"
        assert (await exchange(plane.port, two)).split()[1] in (b"400", b"421")


async def test_a_container_may_call_this_machine_as_it_does_and_no_page_may(tmp_path: Path) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane, plane.client() as client:
        for name in ("host.docker.internal", "host.containers.internal"):
            named = {"Host": f"{name}:{plane.port}"}
            assert (await client.post("/api/chat", json=CHAT, headers=named)).status_code == 200
            from_a_page = {**named, "Origin": f"http://{name}:{plane.port}"}
            assert (await client.post("/api/chat", json=CHAT, headers=from_a_page)).status_code == 403
            assert (await client.get("/", headers={**named, "Accept": "text/html"})).status_code == 421
            assert (await client.get("/live", headers=named)).status_code == 421


@pytest.mark.parametrize("path", ["/v1/responses", "/responses", "/api/code/v1/responses", "/v1/chat/completions"])
async def test_who_would_speak_websocket_is_told_at_once_to_use_http(tmp_path: Path, path: str) -> None:
    """As Codex asks: it goes on over HTTP after a 426, and after anything else tries five times more."""
    ask = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n".encode()
    ask += b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    ask += b"OpenAI-Beta: responses_websockets=2026-02-06\r\n\r\n"
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane:
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        for _ in range(2):  # the connection can be used again
            writer.write(ask)
            line, headers = await head_of(reader)
            assert line == "HTTP/1.1 426 Upgrade Required"
            assert (headers["upgrade"], headers["connection"]) == ("HTTP/1.1", "upgrade")
            assert "POST" in json.loads(await reader.readexactly(int(headers["content-length"])))["error"]["message"]
        writer.close()
        plain = await exchange(plane.port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert plain.startswith(b"HTTP/1.1 405 ")
        assert await fake.seen() == []


async def test_a_web_page_of_another_site_cannot_press_buttons(tmp_path: Path) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane, plane.client() as client:
        for headers in (
            {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
            {"Sec-Fetch-Site": "none", "Origin": "null"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
        ):
            answer = await client.post("/api/chat", json=CHAT, headers=headers)
            assert answer.status_code == 403, headers
            assert "access-control-allow-origin" not in answer.headers
        assert await fake.seen() == []
        for headers in (
            {"Sec-Fetch-Mode": "cors", "Accept-Language": "*"},  # Node's fetch
            {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "empty"},  # Chromium's stack
            {"Sec-Fetch-Site": "same-origin", "Origin": plane.url},
            {"Origin": plane.url},
        ):
            assert (await client.post("/api/chat", json=CHAT, headers=headers)).status_code == 200, headers


async def test_what_is_no_page_for_people_is_not_opened_from_another_site() -> None:
    linked = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    event_source = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
    framed = {**linked, "Sec-Fetch-Dest": "iframe"}
    async with gateway(None, using=config(access=MANAGER)) as plane, plane.client() as client:
        for path in ("/live", "/live?order=1", "/metrics"):
            for headers in (linked, event_source, framed, {"Origin": "https://evil.example"}):
                assert (await client.get(path, headers=headers)).status_code == 403, (path, headers)
            for headers in ({}, {**event_source, "Sec-Fetch-Site": "same-origin"}):
                assert (await client.get(path, headers=headers)).status_code == 200, (path, headers)
        home = {"Accept": "text/html"}
        assert (await client.get("/", headers={**home, **linked})).status_code == 200, "a link to a page"
        assert (await client.get("/", headers={**home, **event_source})).status_code == 403


async def test_pages_of_configured_origins_may_call_and_read(tmp_path: Path) -> None:
    origin = "vscode-webview://0a1b"
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane, plane.client() as client:
        ask = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        wanted = "authorization,content-type,x-nobody-has-heard-of-this"
        told = await client.options("/api/chat", headers={**ask, "Access-Control-Request-Headers": wanted})
        assert told.status_code == 204
        assert told.headers["access-control-allow-origin"] == origin
        assert told.headers["access-control-allow-headers"] == wanted
        assert told.headers["vary"] == "Access-Control-Request-Headers, Origin"
        for odd in (None, "a,,b", "a b", "a:b", "a" * 5000):
            asked = ask if odd is None else {**ask, "Access-Control-Request-Headers": odd}
            assert "access-control-allow-headers" not in (await client.options("/api/chat", headers=asked)).headers
        answer = await client.post("/api/chat", json=CHAT, headers={"Origin": origin, "Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["vary"] == "Origin"
        foreign = await client.options("/api/chat", headers={**ask, "Origin": "https://evil.example"})
        assert foreign.status_code == 204
        assert not [name for name in foreign.headers if name.startswith("access-control")]


async def test_a_reload_of_access_counts_from_the_next_request(tmp_path: Path) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane, plane.client() as client:
        assert (await client.get("/api/tags")).status_code == 200
        plane.configure(config(access=Access(allow=(Allowed(label="other", addresses=("10.0.0.0/24",)),))))
        assert (await client.get("/api/tags")).status_code == 403


async def test_no_line_of_the_access_log_holds_what_was_said(tmp_path: Path) -> None:
    secret = "my-secret-prompt with spaces"
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane, plane.client() as client:
        await client.post("/api/chat?note=" + "my-secret", json={**CHAT, "messages": [{"content": secret}]})
        await client.post("/api/chat", json={**CHAT, "model": secret})
        await client.get("/api/my-secret-path")
        assert "my-secret" not in str(plane.records)
        assert [record.model for record in plane.records] == ["tiny", "?", ""]
