"""Saving YAML while it runs: a broken file changes nothing, a good one touches only what it must."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.conftest import MakeHouse
from tests.kit import web
from tests.kit.house import OWNER, FakeHouse, until
from tests.kit.ports import free_port


def processes(house: FakeHouse) -> dict[str, tuple[int, int]]:
    """Pid and restarts of every child."""
    return {name: (child["pid"], child["restarts"]) for name, child in house.status()["children"].items()}


def told(house: FakeHouse, words: str) -> bool:
    return any(words in str(line.get("text", "")) for line in house.events())


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text("hold: ["),
        lambda path: path.write_text(path.read_text()[: len(path.read_text()) // 2] + "\n  : :"),
        lambda path: path.write_bytes(b"\xff\xfe\x00"),
        lambda path: (path.rename(path.with_suffix(".old")), path.symlink_to("/nonexistent/server.yaml")),
    ],
    ids=["unclosed", "truncated", "not text", "a link to nowhere"],
)
def test_row_25_a_broken_file_leaves_what_runs_untouched_and_is_told(
    house: FakeHouse, damage: Callable[[Path], Any]
) -> None:
    house.write("access", OWNER)
    until(lambda: "seadragon_config_stale 0" in house.metrics(), why="the metrics are for this computer to read")
    before, good = processes(house), (house.config / "server.yaml").read_text()
    damage(house.config / "server.yaml")
    until(lambda: house.status()["config"]["stale"], why="it is told")
    assert "seadragon_config_stale 1" in house.metrics()
    assert processes(house) == before
    assert web.post(f"{house.url}/api/generate", json={"model": "tiny", "prompt": "x"}).status_code == 200
    house.write("server", good)
    until(lambda: not house.status()["config"]["stale"], why="it is well again")
    assert processes(house) == before


def test_config_check_says_what_is_wrong_before_anything_is_started(make_house: MakeHouse) -> None:
    one = make_house()
    assert one.run("config", "check").returncode == 0
    one.write("server", "hold: [")
    checked = one.run("config", "check")
    assert checked.returncode != 0
    assert "server.yaml:1" in checked.stdout + checked.stderr


def test_row_27_a_change_of_one_child_restarts_that_child_alone_and_drops_no_request(make_house: MakeHouse) -> None:
    sleeper = {"command": ["/bin/sleep", "1000"]}
    one = make_house(children={"first": sleeper, "second": sleeper})
    one.knobs(tokens=30, pause=0.05)
    one.up().until_ready()
    for name in ("first", "second"):
        one.until_state("ready", name)
    before = processes(one)
    with web.stream("POST", f"{one.url}/api/generate", json={"model": "tiny", "prompt": "hi"}, timeout=30) as answer:
        lines = answer.iter_lines()
        next(lines)
        one.configure(children={"first": sleeper, "second": {"command": ["/bin/sleep", "2000"]}})
        until(lambda: processes(one)["second"] != before["second"] and one.until_state("ready", "second"))
        assert json.loads(list(lines)[-1])["done"]
    after = processes(one)
    assert {name: after[name] for name in ("ollama", "first")} == {name: before[name] for name in ("ollama", "first")}


async def test_a_change_for_ollama_lets_answers_finish_and_holds_the_others_meanwhile(make_house: MakeHouse) -> None:
    one = make_house(drain="20s")
    one.knobs(tokens=20, pause=0.05)
    one.up().until_ready()
    before = one.child()
    async with web.async_client(timeout=60) as client:
        ask = {"model": "tiny", "prompt": "x"}
        async with client.stream("POST", f"{one.url}/api/generate", json=ask) as answer:
            lines = answer.aiter_lines()
            await anext(lines)
            one.write("models", {"context_length": 4096})
            await asyncio.to_thread(until, lambda: told(one, "context_length"), why="the save is seen")
            held = asyncio.create_task(client.post(f"{one.url}/api/generate", json=ask))
            assert json.loads([line async for line in lines][-1])["done"]
        assert (await held).status_code == 200
    after = await asyncio.to_thread(one.until_state, "ready")
    assert after["pid"] != before["pid"]


def test_a_listener_that_joins_or_leaves_does_not_touch_the_other(house: FakeHouse) -> None:
    other = free_port()
    both = [{"address": f"127.0.0.1:{house.port}"}, {"address": f"127.0.0.1:{other}"}]
    with web.client() as client:
        client.get(f"{house.url}/healthz")  # a connection that stays
        house.configure(listeners=both)
        until(lambda: len(house.status()["listeners"]) == 2, why="two listeners")
        assert web.get(f"http://127.0.0.1:{other}/healthz").status_code == 200
        house.configure(listeners=both[:1])
        until(lambda: len(house.status()["listeners"]) == 1, why="one listener")
        with pytest.raises(httpx.ConnectError):
            web.get(f"http://127.0.0.1:{other}/healthz")
        assert client.get(f"{house.url}/healthz").status_code == 200


def test_a_listener_that_cannot_be_opened_is_told_and_stops_neither_the_others_nor_the_rest_of_the_yaml(
    house: FakeHouse,
) -> None:
    house.configure(listeners=[{"address": f"127.0.0.1:{house.port}"}, {"address": "203.0.113.7:9"}], hold="7s")
    until(lambda: house.status()["awaited"], why="it is told")
    assert [one["address"] for one in house.status()["listeners"]] == [f"127.0.0.1:{house.port}"]
    assert not house.status()["config"]["stale"]
    house.configure(listeners=[{"address": "203.0.113.7:9"}])
    until(lambda: house.status()["config"]["stale"], why="with nothing open the old configuration goes on")
    assert [one["address"] for one in house.status()["listeners"]] == [f"127.0.0.1:{house.port}"]


def test_reload_on_command_says_what_changed(house: FakeHouse) -> None:
    assert house.run("reload").returncode == 0
    house.write("server", "hold: [")
    broken = house.run("reload")
    assert broken.returncode != 0
    assert "server.yaml:1" in broken.stdout + broken.stderr


def test_a_change_of_the_settings_is_in_the_audit_and_one_that_was_not_taken_is_not(house: FakeHouse) -> None:
    def noted() -> list[list[str]]:
        asked = house.run("audit", "--what", "configuration.", "--json")
        rows = json.loads(asked.stdout) if asked.returncode == 0 else []  # its database may be opening still
        return [row["facts"]["changes"] for row in rows]

    good = house.server_tree()
    house.write("server", "hold: [")
    until(lambda: house.status()["config"]["stale"], why="it is told")
    house.write("server", {**good, "hold": "33s"})
    (changes,) = until(noted, why="it is noted")
    assert [change for change in changes if change.startswith("server.hold") and "33 s" in change], changes
