"""Promise 8: no prompt, key or password in any log. A whole Seadragon is told secrets in every place that takes one."""

from __future__ import annotations

import json
import re
import socket
from collections import defaultdict
from collections.abc import Iterator

from controller.proxy.routes import ROUTES
from tests.acceptance.conftest import MakeHouse
from tests.kit import web
from tests.kit.house import OWNER, FakeHouse, until

PROMPT = "canary-prompt-7f3a"
KEY = "sd_canary0key9b1c_0123456789abcdef"
BEARER = "canarybearer55d2"
PASSWORD = "canary-password-e48d"
COOKIE = "canarycookie91aa"
NAME = "canary name 33c7"
SECRET = re.compile(r"sd[ira]?_\w{20,}")
CANARIES = (PROMPT, KEY, KEY[3:], BEARER, PASSWORD, COOKIE, NAME)

FREELY = ("--may", "infer", "--may", "embed", "--may", "audio", "--may", "manage", "--per-minute", "100000")
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


def tell(house: FakeHouse, good: str) -> None:
    """Everything in every place: by a key that is let in, and by one that is not."""
    let_in = {**HEADERS, "Authorization": f"Bearer {good}", "X-API-Key": good}
    with web.client(base_url=house.url, timeout=60) as client:
        for route in ROUTES:
            path = route.path.format_map(defaultdict(lambda: KEY, digest="sha256:" + "a" * 64))
            for method in route.methods:
                for query in QUERIES:
                    client.request(method, path + query, headers=HEADERS, content=next(bodies()))
                for body in bodies():
                    client.request(method, path, headers=let_in, content=body)
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


def give_out(house: FakeHouse) -> list[str]:
    """Every secret that Seadragon makes, each used where it does not belong."""
    orders = (("keys", "create", "n8n"), ("invites", "create", "grandma"), ("users", "add", "Mia"), ("admin-code",))
    given = [found for order in orders for found in SECRET.findall(house.run(*order, "--json").stdout)]
    assert {text[:4] for text in given} >= {"sdi_", "sdr_", "sda_"}
    assert len(given) >= len(orders)
    with web.client(base_url=house.url, timeout=60) as client:
        for secret in given:
            client.get("/api/tags", headers={"Authorization": f"Bearer {secret}"})
            client.get("/api/tags", headers={"X-API-Key": secret, "X-Request-Id": secret})
            client.post("/api/chat", json={"model": secret, "messages": []}, headers={"Cookie": f"__Host-s={secret}"})
            for path in (f"/join?invite={secret}", f"/{secret}", f"/reset?token={secret}"):
                client.get(path, headers={"Accept": "text/html"})
    return [secret.rpartition("_")[2] for secret in given]


def written(house: FakeHouse) -> Iterator[tuple[str, bytes]]:
    """Every byte in the data folder, the database with its log and its copies among them, and every log."""
    for path in sorted([*house.data.rglob("*"), *house.logs.rglob("*")]):
        if path.is_file():
            yield path.name, path.read_bytes()


def shown(house: FakeHouse) -> Iterator[tuple[str, str]]:
    """Everything that Seadragon writes down or shows."""
    for path in sorted(house.logs.rglob("*")):
        if path.is_file():
            yield path.name, path.read_text(errors="replace")
    yield "status", json.dumps(house.status())
    yield "seadragon logs", house.run("logs").stdout
    yield "metrics", house.metrics()
    yield from (
        (f"seadragon {order}", house.run(order).stdout) for order in ("keys", "invites", "users", "audit", "usage")
    )
    yield "page", web.get(house.url, headers={"Accept": "text/html"}).text


def test_promise_8_no_prompt_key_or_password_in_any_log(make_house: MakeHouse) -> None:
    house = make_house()
    house.write("access", OWNER)
    house.up().until_ready()
    good = json.loads(house.run("keys", "create", "let in", *FREELY, "--json").stdout)["key"]
    tell(house, good)
    tell_badly(house)
    canaries = [*CANARIES, good.rpartition("_")[2], *give_out(house)]
    web.get(f"{house.url}/api/ps", headers={"X-Request-Id": "the-end"})
    until(lambda: any(event.get("id") == "the-end" for event in house.events()), why="the last request is logged")
    assert any(event.get("model") == "?" for event in house.events())  # something was hidden
    for place, text in shown(house):
        found = [canary for canary in canaries if canary in text]
        assert not found, (place, found)
    house.down()
    for place, data in written(house):
        assert not [canary for canary in canaries if canary.encode() in data], place
