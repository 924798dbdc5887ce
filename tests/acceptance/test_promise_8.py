"""Promise 8: no prompt, key or password in any log. A whole Seadragon is told secrets in every place that takes one."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import httpx

from controller.proxy.routes import ROUTES
from tests.acceptance.conftest import MakeHouse
from tests.kit.house import FakeHouse, until

PROMPT = "canary-prompt-7f3a"
KEY = "sd_canary0key9b1c_0123456789abcdef"
BEARER = "canarybearer55d2"
PASSWORD = "canary-password-e48d"
COOKIE = "canarycookie91aa"
NAME = "canary name 33c7"
CANARIES = (PROMPT, KEY, KEY[3:], BEARER, PASSWORD, COOKIE, NAME)

OWNER = {"allow": [{"label": "this computer", "addresses": ["127.0.0.1"], "manage": True}]}
HEADERS = {
    "Authorization": f"Bearer {BEARER}",
    "X-API-Key": KEY,
    "Cookie": f"session={COOKIE}",
    "X-Request-Id": KEY,
    "User-Agent": f"agent Bearer {BEARER}",
}
QUERIES = ("", f"?key={KEY}", f"?%6bey={KEY}", f"?password={PASSWORD}&ts={KEY}", f"?note=Bearer%20{BEARER}")


def bodies() -> Iterator[bytes]:
    said = {"role": "user", "content": PROMPT, "password": PASSWORD}
    whole = {"messages": [said], "prompt": PROMPT, "input": PROMPT, "system": PROMPT, "api_key": KEY}
    for model in ("tiny", NAME, KEY):
        yield json.dumps({"model": model, "name": model, "source": model, "destination": model, **whole}).encode()
    yield json.dumps({"model": "tiny", **whole}).encode()[:-9]
    yield b"\xff" + PROMPT.encode()


def tell(house: FakeHouse) -> None:
    with httpx.Client(base_url=house.url, timeout=60) as client:
        for route in ROUTES:
            path = route.path.format(digest="sha256:" + "a" * 64, model=KEY, key=KEY)
            for method in route.methods:
                for query in QUERIES:
                    client.request(method, path + query, headers=HEADERS, content=next(bodies()))
                for body in bodies():
                    client.request(method, path, headers=HEADERS, content=body)
        for path in (f"/api/{KEY}", f"/{PROMPT}", f"/login?password={PASSWORD}", f"/api/%zz{KEY}"):
            client.get(path, headers=HEADERS)


def tell_badly(house: FakeHouse) -> None:
    for raw in (
        f"GET /{KEY} nonsense\r\nAuthorization: Bearer {BEARER}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization : Bearer {BEARER}\r\n\r\n",
        f"GET /{PROMPT} HTTP/1.1\r\nHost: {PASSWORD}@localhost\r\nOrigin: http://[{PROMPT}\r\n\r\n",
        f"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{PROMPT}",
    ):
        with socket.create_connection(("127.0.0.1", house.port), timeout=20) as client:
            client.sendall(raw.encode())
            client.shutdown(socket.SHUT_WR)
            client.recv(65536)


def shown(house: FakeHouse) -> Iterator[tuple[str, str]]:
    """Everything that Seadragon writes down or shows."""
    for path in sorted(house.logs.rglob("*")):
        if path.is_file():
            yield path.name, path.read_text(errors="replace")
    yield "status", json.dumps(house.status())
    yield "seadragon logs", house.run("logs").stdout
    yield "metrics", house.metrics()
    yield "page", httpx.get(house.url, headers={"Accept": "text/html"}).text


def test_promise_8_no_prompt_key_or_password_in_any_log(make_house: MakeHouse) -> None:
    house = make_house()
    house.write("access", OWNER)
    house.up().until_ready()
    tell(house)
    tell_badly(house)
    httpx.get(f"{house.url}/api/ps", headers={"X-Request-Id": "the-end"})
    until(lambda: any(event.get("id") == "the-end" for event in house.events()), why="the last request is logged")
    assert any(event.get("model") == "?" for event in house.events())  # something was hidden
    for place, text in shown(house):
        found = [canary for canary in CANARIES if canary in text]
        assert not found, (place, found)
    house.down()
    for place, text in ((path.name, path.read_text(errors="replace")) for path in house.logs.rglob("*")):
        assert not [canary for canary in CANARIES if canary in text], place
