"""The way in from outside: open to whom access.yaml names for it; a chat streams through it."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import httpx
import pytest

from tests.acceptance.conftest import MakeHouse
from tests.kit import web
from tests.kit.house import FakeHouse, until
from tests.tunnel.outside import HOST, VISITOR, Outside

AT = "203.0.113.9"
ASK = {"model": "tiny", "prompt": "hi"}


def tunnelled(make_house: MakeHouse, outside: Outside, *, opened: bool) -> FakeHouse:
    """A house that runs a tunnel to `outside`, ready."""
    one = make_house(tunnel=outside.settings())
    visitor = {"label": "the tunnel", "addresses": [AT], "lane": 3, "through_tunnel": opened}
    one.write("access", {"allow": [{"label": "me", "addresses": ["127.0.0.1"]}, visitor]})
    one.up().until_ready()
    one.until_state("ready", "tunnel", seconds=60)
    return one


def visitor(outside: Outside) -> httpx.Client:
    headers = {"Host": HOST, VISITOR: AT}
    return web.client(base_url=outside.front, headers=headers, timeout=60)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/metrics"), ("POST", "/api/generate"), ("GET", "/v1/models"), ("GET", "/live"),
     ("POST", "/api/pull"), ("POST", "/api/v1/models/load")],
)  # fmt: skip
def test_nobody_who_is_not_named_for_it_comes_in_through_the_tunnel(
    make_house: MakeHouse, outside: Outside, method: str, path: str
) -> None:
    one = tunnelled(make_house, outside, opened=False)
    with visitor(outside) as client:
        assert client.get("/healthz").text == "ok"
        assert client.request(method, path).status_code == 403
        spoofed = client.request(method, path, headers={"cf-connecting-ip": "127.0.0.1", "x-real-ip": "127.0.0.1"})
        assert spoofed.status_code == 403
    one.down()


def test_a_chat_streams_through_the_tunnel_word_by_word(make_house: MakeHouse, outside: Outside) -> None:
    one = tunnelled(make_house, outside, opened=True)
    one.knobs(tokens=6, pause=0.2)
    with visitor(outside) as client, client.stream("POST", "/api/generate", json=ASK) as answer:
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        lines = answer.iter_lines()
        first = json.loads(next(lines))
        one.knobs(tokens=6, pause=0.2, freeze=True)  # the rest cannot be there yet
        assert not first["done"]
        one.knobs(tokens=6, pause=0.0)
        rest = [json.loads(line) for line in lines]
    assert rest[-1]["done"]

    def told() -> list[object]:
        return [line["who"] for line in one.events() if line.get("route") == "/api/generate"]

    assert until(told, why="the access line") == ["the tunnel"]


def test_an_outage_of_the_network_restarts_nothing_and_what_is_local_goes_on(
    make_house: MakeHouse, outside: Outside
) -> None:
    one = tunnelled(make_house, outside, opened=True)
    before = {name: child["pid"] for name, child in one.status()["children"].items()}
    outside.cut()
    one.until_state("offline", "tunnel", seconds=60)
    assert web.post(f"{one.url}/api/generate", json=ASK).status_code == 200
    outside.mend()
    one.until_state("ready", "tunnel", seconds=120)

    def answers() -> bool:
        with visitor(outside) as client:
            return client.post("/api/generate", json=ASK).status_code == 200

    until(answers, seconds=60, why="the tunnel carries again")
    after: dict[str, Any] = one.status()["children"]
    assert {name: child["pid"] for name, child in after.items()} == before
    assert {name: child["restarts"] for name, child in after.items()} == dict.fromkeys(before, 0)


def test_a_kill_of_cloudflared_is_mended_and_ollama_does_not_notice(make_house: MakeHouse, outside: Outside) -> None:
    one = tunnelled(make_house, outside, opened=True)
    ollama, tunnel = one.child("ollama"), one.child("tunnel")
    os.kill(tunnel["pid"], signal.SIGKILL)
    until(lambda: one.child("tunnel").get("restarts") == 1, why="another cloudflared")
    one.until_state("ready", "tunnel", seconds=60)
    assert one.child("ollama")["pid"] == ollama["pid"]
