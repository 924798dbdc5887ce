"""Promise 10: every setting takes effect when it says. Each one is changed while everything runs, and what restarts,
what reopens and what goes on is compared with its impact.

Settings stand in groups that share a situation in which they matter (a token file matters to a token's tunnel only).
"""

from __future__ import annotations

import base64
import copy
import json
import shutil
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from controller.config.tree import leaves
from controller.settings.impact import Impact
from tests.acceptance.conftest import MakeHouse
from tests.fakes import cloudflared as fake_cloudflared
from tests.kit import certificates
from tests.kit.every_setting import OTHER
from tests.kit.house import FakeHouse, until
from tests.kit.ports import free_port

IMPACTS = {".".join(leaf.path): leaf.impacts[0] for leaf in leaves()}
TUNNEL_MODES: dict[str, tuple[str, ...]] = {
    "named": ("tunnel_id", "credentials_file", "hostnames", "protocol", "edge", "edge_ca", "grace", "environment",
              "binary"),
    "token": ("token_file",),
    "quick": ("mode",),
}  # fmt: skip
EXTERNAL = ("server.ollama.url", "server.ollama.mode")
LISTENERS: dict[str, tuple[str, ...]] = {
    "proxy": ("server.listeners.*.trusted", "server.listeners.*.header"),
    "home": ("server.listeners.*.plain_cookies",),
    "https": ("server.listeners.*.tls.cert", "server.listeners.*.tls.key", "server.require_https"),
}
_ELSEWHERE = {*EXTERNAL, *(name for names in LISTENERS.values() for name in names)}
PLAIN = tuple(name for name in IMPACTS if not name.startswith("server.tunnel.") and name not in _ELSEWHERE)


@pytest.fixture
def house(make_house: MakeHouse) -> FakeHouse:
    """A house with two listeners and two further children, not yet started; every file a setting may name is there."""
    one = make_house()
    for name in ("first", "second"):
        folder = one.folder / name
        folder.mkdir()
        shutil.copy(one.binary, folder / "ollama")
        fake_cloudflared.program(folder)
        (folder / "token").write_text(base64.b64encode(b'{"a":"x","s":"eA==","t":"%d"}' % len(name)).decode())
        (folder / "credentials.json").write_text(
            json.dumps({"AccountTag": name, "TunnelSecret": "eA==", "TunnelID": "0" * 8})
        )
        (folder / "ca.pem").write_text("a certificate")
        certificates.house(folder)
        for secret in ("token", "credentials.json"):
            (folder / secret).chmod(0o600)
    return one


def situation(one: FakeHouse, mode: str) -> dict[str, Any]:
    """The three files to begin with, as one tree."""
    first = one.folder / "first"
    tunnel = {
        "mode": mode, "binary": str(first / "cloudflared"), "token_file": str(first / "token"), "tunnel_id": "a-tunnel",
        "credentials_file": str(first / "credentials.json"), "hostnames": ["chat.example.org"],
        "environment": {"SEADRAGON_HOUSE": str(one.folder)},
    }  # fmt: skip
    server = {
        **one.server_tree(),
        "listeners": [{"address": f"127.0.0.1:{free_port()}"}, {"address": f"127.0.0.1:{one.port}"}],
        "children": {"awake": {"command": ["sleep", "1000"]}, "other": {"command": ["sleep", "1001"]}},
        "tunnel": tunnel,
        "line": {"lanes": {"2": {}}},
    }
    allow = [{"label": "anna", "addresses": ["192.168.1.20"]}, {"label": "me", "addresses": ["127.0.0.1"]}]
    models = {"models": {"tiny": {}}, "aliases": {"crimson": {"base": "red"}}}
    return {"server": server, "models": models, "access": {"allow": allow}}


def another(one: FakeHouse, name: str) -> Any:
    """A value for the setting that differs from the situation's, and holds."""
    second = one.folder / "second"
    own: dict[str, Any] = {
        "server.listeners.*.address": f"127.0.0.1:{free_port()}",
        "server.listeners.*.tls.cert": str(second / "house.pem"),
        "server.listeners.*.tls.key": str(second / "house.key"),
        "server.ollama.binary": str(second / "ollama"),
        "server.ollama.port": free_port(),
        "server.ollama.environment": {**one.server_tree()["ollama"]["environment"], "OTHER": "1"},
        "server.tunnel.binary": str(second / "cloudflared"),
        "server.tunnel.token_file": str(second / "token"),
        "server.tunnel.credentials_file": str(second / "credentials.json"),
        "server.tunnel.edge_ca": str(second / "ca.pem"),
        "server.tunnel.environment": {"SEADRAGON_HOUSE": str(one.folder), "OTHER": "1"},
        "server.children.*.probe": f"http://127.0.0.1:{one.port}/healthz",
        "models.folder": str(second),
    }
    return own.get(name, OTHER[name])


def put(tree: dict[str, Any], name: str, value: Any) -> None:
    """Set the setting `name`; of many entries, the first one's."""
    *way, last = name.split(".")
    holder: Any = tree
    for part in way:
        if part != "*":
            holder = holder.setdefault(part, {})
        else:
            holder = holder[0] if isinstance(holder, list) else next(iter(holder.values()))
    holder[last] = value


def save(one: FakeHouse, tree: dict[str, Any]) -> None:
    for file in ("server", "models", "access"):
        one.write(file, tree[file])


def running(one: FakeHouse) -> dict[str, tuple[int, int]]:
    """Process and restarts of every child, once all are settled."""

    def settled() -> dict[str, Any] | None:
        children = one.status().get("children", {})
        return children if all(child["state"] == "ready" for child in children.values()) else None

    return {name: (child["pid"], child["restarts"]) for name, child in until(settled, why="all are ready").items()}


def expected(impact: Impact) -> set[str]:
    """The children that a change with this impact restarts."""
    target = "awake" if impact.target == "*" else impact.target
    return {target} if impact.kind in ("drains", "restarts") else set()


class Line:
    """An idle connection to a listener: it is closed when its listener is, and only then."""

    def __init__(self, address: str, *, secure: bool) -> None:
        host, _, port = address.rpartition(":")
        self.address = address
        self.connection = socket.create_connection((host, int(port)), timeout=5)
        if secure:
            self.connection = certificates.trusting().wrap_socket(self.connection, server_hostname="localhost")
        self.connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert self.connection.recv(4096).startswith(b"HTTP/1.1 200")

    def closed(self) -> bool:
        self.connection.settimeout(0)
        try:
            return self.connection.recv(1) == b""
        except (BlockingIOError, ssl.SSLWantReadError):
            return False


def lines(one: FakeHouse, stack: ExitStack) -> Iterator[Line]:
    for listener in one.status()["listeners"]:
        if not listener["address"].startswith("unix:"):
            line = Line(listener["address"], secure=listener["url"].startswith("https:"))
            stack.enter_context(line.connection)
            yield line


def change_one_by_one(one: FakeHouse, tree: dict[str, Any], names: tuple[str, ...]) -> None:
    """Change each of the settings in turn, and hold what happens against its impact."""
    save(one, tree)
    one.up()
    before = running(one)
    for name in names:
        impact = IMPACTS[name]
        with ExitStack() as stack:
            open_lines = list(lines(one, stack))
            put(tree, name, another(one, name))
            save(one, tree)
            told = one.run("reload")
            assert told.returncode == 0, (name, told.stderr)
            restarted = expected(impact)
            until(lambda: all(one.child(child).get("pid") != before[child][0] for child in restarted), why=name)  # noqa: B023
            after = running(one)
            assert {child for child in before if after[child] != before[child]} == restarted, name
            closed = {line.address for line in open_lines if line.closed()}
            if impact.kind != "listener":
                assert not closed, name
            else:
                assert open_lines[0].address in closed, name  # the first listener is the one that changes
                assert (open_lines[1].address in closed) == name.startswith("server.limits."), name
        before = after


@pytest.mark.timeout(600)
def test_promise_10_each_setting_does_what_its_impact_says_and_nothing_else(house: FakeHouse) -> None:
    tree = situation(house, "off")
    last = "server.listeners.*.kind"  # a tunnel's listener takes none of the other settings
    order = sorted(PLAIN, key=lambda name: (name.startswith("server.listeners"), name == last))
    change_one_by_one(house, tree, tuple(order))


@pytest.mark.parametrize("mode", TUNNEL_MODES)
def test_promise_10_each_setting_of_the_tunnel_restarts_the_tunnel_alone(house: FakeHouse, mode: str) -> None:
    start = "named" if mode == "quick" else mode
    tree = situation(house, start)
    change_one_by_one(house, tree, tuple(f"server.tunnel.{name}" for name in TUNNEL_MODES[mode]))


@pytest.mark.parametrize("kind", LISTENERS)
def test_promise_10_each_setting_of_a_listener_reopens_that_listener_alone(house: FakeHouse, kind: str) -> None:
    tree, first = situation(house, "off"), house.folder / "first"
    tree["server"]["listeners"][0] |= {
        "proxy": {"kind": "proxy", "trusted": ["127.0.0.2"], "header": "x-visitor"},
        "home": {},
        "https": {"tls": {"cert": str(first / "house.pem"), "key": str(first / "house.key")}},
    }[kind]
    change_one_by_one(house, tree, LISTENERS[kind])


def test_promise_10_where_ollama_is_changes_without_touching_the_other_children(house: FakeHouse) -> None:
    tree = situation(house, "off")
    save(house, tree)
    house.up()
    before = running(house)
    near = copy.deepcopy(tree)
    put(near, "server.ollama.mode", "external")
    for number in (1, 2):
        url = f"http://127.0.0.1:{free_port()}"
        put(near, "server.ollama.url", url)
        save(house, near)
        assert house.run("reload").returncode == 0, number
        seen = house.until_state("offline")
        assert seen["pid"] is None
        assert url in seen["reason"]
    save(house, tree)
    after = running(house)
    assert {name for name in before if before[name] != after[name]} == {"ollama"}


def test_promise_10_no_setting_is_left_out() -> None:
    tried = {*PLAIN, *_ELSEWHERE, *(f"server.tunnel.{name}" for names in TUNNEL_MODES.values() for name in names)}
    assert tried == set(IMPACTS)
