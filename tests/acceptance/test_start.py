"""Starting, being asked, stopping: what a person meets on the first day."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from controller.obtain.find import OLLAMA_VERSION
from tests.acceptance.conftest import MakeHouse
from tests.kit import web
from tests.kit.house import FakeHouse, until
from tests.kit.ports import free_port


def test_up_answers_through_an_ollama_it_started_itself(house: FakeHouse) -> None:
    answer = web.post(f"{house.url}/api/generate", json={"model": "tiny", "prompt": "hi", "stream": False})
    assert answer.status_code == 200
    assert "dragons" in answer.json()["response"]


def test_a_command_right_after_up_waits_for_ollama_and_says_so(make_house: MakeHouse) -> None:
    house = make_house()
    house.knobs(mute=True)
    house.up()
    asked = subprocess.Popen(house.command("models"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert asked.stderr is not None
    assert asked.stderr.readline().startswith("Waiting for Ollama (0 s of ")
    house.knobs()
    listed, _ = asked.communicate(timeout=60)
    assert (asked.returncode, "tiny" in listed) == (0, True)


def test_on_a_macs_loop_it_starts_answers_begins_anew_and_leaves(make_house: MakeHouse) -> None:
    house = make_house()
    house.rig("--mac-loop")
    house.up().until_ready()
    for _ in range(2):
        answer = web.post(f"{house.url}/api/generate", json={"model": "tiny", "prompt": "hi"})
        assert (answer.status_code, "dragons" in answer.text) == (200, True)
        assert house.run("restart", limit=60).returncode == 0
        house.until_ready()
    assert house.down() == 0
    assert not house.processes()


def test_status_tells_the_contract(house: FakeHouse) -> None:
    status = house.status()
    child = status["children"]["ollama"]
    assert status["pid"] == house.pid
    assert status["version"]
    assert [one["url"] for one in status["listeners"]] == [house.url]
    assert child["state"] == "ready"
    assert psutil.Process(child["pid"]).ppid() == child["keeper_pid"]
    assert child["restarts"] == 0
    assert child["url"].startswith("http://127.0.0.1:")


def test_ctrl_c_stops_everything_and_leaves_with_zero(house: FakeHouse) -> None:
    before = {process.pid for process in house.processes()}
    assert len(before) >= 3  # controller, keeper, ollama
    assert house.down() == 0
    assert not house.processes()


def test_a_second_up_says_who_runs(house: FakeHouse) -> None:
    second = house.run("up", "--port", str(free_port()))
    assert second.returncode != 0
    assert str(house.pid) in second.stderr + second.stdout
    assert house.status()["pid"] == house.pid


def test_down_from_another_terminal_stops_it(house: FakeHouse) -> None:
    done = house.run("down", limit=60)
    assert done.returncode == 0, done.stderr
    assert house.process is not None
    assert house.process.wait(30) == 0
    assert not house.processes()


def test_a_broken_yaml_in_a_terminal_tells_every_error_and_leaves(make_house: MakeHouse) -> None:
    one = make_house()
    one.write("server", "hold: soon\nlisteners:\n  - address: nowhere\nprefixis: []\n")
    one.write("access", "allow:\n  - label: x\n    addresses: [300.1.1.1]\n")
    began = time.monotonic()
    done = one.run("up")
    assert done.returncode != 0
    assert time.monotonic() - began < 10  # asserted loosely here; `make proof` times it
    told = done.stderr + done.stdout
    for place in ("server.yaml:1", "server.yaml:3", "server.yaml:4", "access.yaml:3"):
        assert place in told, told
    assert not one.processes()


def test_a_broken_yaml_under_a_service_manager_runs_the_last_good_copy(house: FakeHouse) -> None:
    assert house.down() == 0
    house.write("server", "hold: [")
    house.up("--service").until_ready()
    status = house.status()
    assert status["config"]["stale"]
    assert any("server.yaml" in problem for problem in status["config"]["problems"])


def test_with_no_good_copy_it_comes_up_in_safe_mode_and_recovers_when_the_yaml_does(make_house: MakeHouse) -> None:
    one = make_house()
    good = (one.config / "server.yaml").read_text()
    one.write("server", "listeners: 5\n")
    one.up("--service", "--port", str(one.port))
    assert one.status()["phase"] == "safe"
    page = web.get(f"{one.url}/", headers={"accept": "text/html"})
    assert "server.yaml" in page.text
    refused = web.post(f"{one.url}/api/generate", json={"model": "tiny", "prompt": "hi"})
    assert refused.status_code == 503
    one.write("server", good)
    one.until_ready()
    assert one.status()["phase"] == "running"


def test_without_any_ollama_it_starts_says_so_and_picks_it_up_when_it_appears(make_house: MakeHouse) -> None:
    one = make_house()
    hidden = one.binary.with_name("hidden")
    one.binary.rename(hidden)
    one.configure(ollama={"binary": None})
    one.environment |= {"PATH": "/nonexistent"}
    one.up()
    seen = one.until_state("misconfigured")
    assert "ollama" in seen["reason"].lower()
    assert web.get(f"{one.url}/readyz").status_code == 503
    refused = web.post(f"{one.url}/v1/chat/completions", json={"model": "tiny", "messages": []})
    assert refused.status_code == 503
    assert refused.json()["error"]["message"]
    cached = one.folder / "cache" / "seadragon" / f"ollama-{OLLAMA_VERSION}" / "bin"
    cached.mkdir(parents=True)
    hidden.rename(cached / "ollama")
    one.until_ready()


def test_a_database_that_cannot_be_opened_at_the_start_turns_nobody_away_and_is_opened_when_it_can(
    make_house: MakeHouse,
) -> None:
    one = make_house()
    one.up().until_ready()
    key = one.run("keys", "create", "tool").stdout.split()
    with_key = {"Authorization": f"Bearer {next(word for word in key if word.startswith('sd_'))}"}
    assert web.get(f"{one.url}/api/tags", headers=with_key, timeout=30).status_code == 200
    one.down()
    with contextlib.closing(sqlite3.connect(one.data / "seadragon.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        one.up()
        refused = web.get(f"{one.url}/api/tags", headers=with_key, timeout=30)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
        assert web.get(f"{one.url}/readyz", timeout=30).text == "not ready: it is not known who has a key or an account"
        assert web.get(f"{one.url}/api/version", timeout=30).status_code in (200, 503), (
            "this computer is let in by the YAML"
        )
        assert "database is locked" in one.status()["storage"]["trouble"]
        assert "is locked" in one.run("status").stdout
        assert "is locked" in one.run("doctor").stdout
        assert "is locked" in one.run("keys", "list").stderr
    one.until_ready(60)
    assert web.get(f"{one.url}/api/tags", headers=with_key, timeout=30).status_code == 200
    assert one.status()["storage"]["trouble"] == ""


def test_a_data_folder_that_is_deleted_under_it_is_made_anew_with_what_can_be_saved(make_house: MakeHouse) -> None:
    one = make_house()
    one.up().until_ready()
    key = one.run("keys", "create", "tool").stdout.split()
    with_key = {"Authorization": f"Bearer {next(word for word in key if word.startswith('sd_'))}"}
    signing = (one.data / "secrets" / "session-keys.json").read_text()
    ollama = one.child()["pid"]
    control = one.paths.socket
    shutil.rmtree(one.data)
    control.unlink(missing_ok=True)  # which lies elsewhere where the folder's path is too long for one
    said = one.run("status")
    assert (said.returncode, "not running" in said.stderr) == (3, True), "before it was noticed there is nothing to see"
    until(lambda: one.status().get("pid") == one.pid, seconds=60, why="lock and control socket are there again")
    assert "already runs" in one.run("up").stderr, "status and up agree"
    until(lambda: (one.data / "barred.json").exists() and (one.data / "secrets").exists(), seconds=60)
    until(lambda: (one.data / "seadragon.db").exists(), seconds=60)
    assert (one.data / "secrets" / "session-keys.json").read_text() == signing
    assert web.get(f"{one.url}/api/tags", headers=with_key, timeout=30).status_code == 200
    assert one.run("restart", limit=120).returncode == 0
    one.until_ready(60)
    assert not psutil.pid_exists(ollama), "nothing that the next controller could not find is left to it"
    assert web.get(f"{one.url}/api/tags", headers=with_key, timeout=30).status_code == 200
    assert "tool" in one.run("keys", "list").stdout


def test_status_and_up_agree_while_the_control_socket_is_gone(make_house: MakeHouse) -> None:
    one = make_house()
    one.up().until_ready()
    one.paths.socket.unlink()
    assert f"Seadragon runs (process {one.pid})" in one.run("status").stderr
    assert "already runs" in one.run("up").stderr
    until(lambda: one.status().get("pid") == one.pid, seconds=60)
    until(lambda: "control socket" in (one.logs / "controller.jsonl").read_text(), why="it is told")


def test_with_the_disk_of_the_models_away_it_starts_waits_for_it_and_makes_nothing_in_its_place(
    make_house: MakeHouse,
) -> None:
    one = make_house()
    disk = one.folder / "disk"
    one.write("models", {"folder": str(disk / "models")})
    one.up()
    assert "cannot be used" in one.until_state("waiting")["reason"]
    refused = web.post(f"{one.url}/api/generate", json={"model": "tiny", "prompt": "hi"}, timeout=30)
    assert refused.status_code == 503
    assert re.search(r"^fail +models +The folder of the models", one.run("doctor").stdout, re.MULTILINE)
    assert not disk.exists()
    (disk / "models").mkdir(parents=True)
    one.until_ready()
    disk.rename(one.folder / "unplugged")
    one.until_state("waiting")
    assert not disk.exists()
    (one.folder / "unplugged").rename(disk)
    one.until_ready()


def test_a_second_listener_is_one_line(make_house: MakeHouse) -> None:
    one = make_house()
    other = free_port()
    one.configure(listeners=[{"address": f"127.0.0.1:{one.port}"}, {"address": f"127.0.0.1:{other}"}])
    one.up().until_ready()
    assert web.get(f"http://127.0.0.1:{other}/api/version").json()["version"]


@pytest.fixture
def late_address() -> Iterator[tuple[str, Callable[[], None]]]:
    """An address that this machine does not have, and what gives it to it: as a router does after a start."""
    address = "192.0.2.77"
    tool = shutil.which("ip")
    if tool is None:
        pytest.skip("giving this machine an address takes `ip` of Linux")

    def arrange(verb: str) -> int:
        return subprocess.run([tool, "addr", verb, f"{address}/32", "dev", "lo"], capture_output=True).returncode

    if arrange("add") or arrange("del"):
        pytest.skip("this machine may not be given an address")

    def come() -> None:
        assert arrange("add") == 0

    yield address, come
    arrange("del")


def test_a_service_that_starts_before_the_network_answers_here_at_once_and_there_when_it_comes(
    make_house: MakeHouse, late_address: tuple[str, Callable[[], None]]
) -> None:
    address, come = late_address
    one = make_house()
    late = f"{address}:{one.port}"
    one.configure(listeners=[{"address": late}, {"address": f"127.0.0.1:{one.port}"}])
    one.up("--service").until_ready()
    assert [each["address"] for each in one.status()["awaited"]] == [late]
    come()
    assert until(lambda: not one.status()["awaited"], seconds=30)
    assert web.get(f"http://{late}/healthz").status_code == 200
    until(lambda: f"listens on {late} now, too" in (one.logs / "controller.jsonl").read_text(), why="it is told")


def test_a_taken_listener_port_is_said_with_what_to_do(make_house: MakeHouse) -> None:
    one = make_house()
    with socket.create_server(("127.0.0.1", one.port)):
        done = one.run("up")
    assert done.returncode != 0
    assert str(one.port) in done.stderr + done.stdout
    assert not one.processes()


def test_a_taken_port_stops_no_other_listener_and_no_restart_and_is_opened_when_it_is_left(
    make_house: MakeHouse,
) -> None:
    one = make_house()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        late = f"127.0.0.1:{taken.getsockname()[1]}"
        one.configure(listeners=[{"address": late}, {"address": f"127.0.0.1:{one.port}"}])
        one.up().until_ready()
        assert f"{late}  not open yet: another program uses it" in one.run("status").stdout
        assert late in one.run("doctor").stdout
        ollama = one.child()["pid"]
        one.configure(listeners=[{"address": late}])
        assert "another program uses it" in one.run("reload").stderr, "nothing would be left: the old one serves"
        assert one.run("restart", limit=120).returncode == 0, "nothing would be gained by leaving"
        assert one.status()["listeners"] == []
        assert one.child()["pid"] == ollama
    until(lambda: not one.status()["awaited"], seconds=30)
    assert web.get(f"http://{late}/healthz", timeout=30).status_code == 200


def test_everything_it_writes_is_private(house: FakeHouse) -> None:
    web.get(f"{house.url}/api/tags")
    for folder in (house.data, house.logs):
        assert folder.stat().st_mode & 0o077 == 0
        for path in folder.rglob("*"):
            if path.name != "console.txt" and not path.is_symlink():
                assert path.lstat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("path", ["/readyz", "/metrics", "/", "/api/version", "/v1/models"])
def test_a_stranger_s_host_name_is_refused_everywhere(house: FakeHouse, path: str) -> None:
    answer = web.get(house.url + path, headers={"host": "evil.example"})
    assert answer.status_code == 421


def test_restart_keeps_the_ollama_that_answers(house: FakeHouse) -> None:
    before = house.child()
    done = house.run("restart", limit=60)
    assert done.returncode == 0, done.stderr
    house.until_ready()
    after = house.child()
    assert (after["pid"], after["restarts"]) == (before["pid"], before["restarts"])
    assert after["adopted"]


def test_one_access_line_for_each_request_and_never_a_prompt(house: FakeHouse) -> None:
    secret = "the-cat-is-called-Mousebreath"
    web.post(f"{house.url}/api/generate", json={"model": "tiny", "prompt": secret}, headers={"x-request-id": "abc-123"})
    web.get(f"{house.url}/nowhere", headers={"x-request-id": "abc-124"})

    def lines() -> list[dict[str, object]] | None:
        found = [line for line in house.events() if line.get("id") in ("abc-123", "abc-124")]
        return found if len(found) == 2 else None

    told = until(lines, why="two access lines")
    assert [line["status"] for line in told] == [200, 404]
    for log in house.logs.glob("*"):
        assert secret not in log.read_text(errors="replace"), log


def test_a_stop_lets_a_stream_finish_and_a_second_signal_does_not(make_house: MakeHouse) -> None:
    one = make_house(drain="20s")
    one.knobs(tokens=100, pause=0.1)
    one.up().until_ready()
    with web.stream("POST", f"{one.url}/api/generate", json={"model": "tiny", "prompt": "hi"}, timeout=30) as answer:
        lines = answer.iter_lines()
        next(lines)
        one.signal(signal.SIGTERM)
        until(lambda: one.status().get("phase") == "draining", why="draining")
        assert web.get(f"{one.url}/readyz").status_code == 503
        told = [json.loads(line) for line in lines]
    assert told[-1]["done"] is True
    assert one.process is not None
    assert one.process.wait(30) == 0
    one.knobs(tokens=10_000, pause=0.1)
    one.up().until_ready()
    with web.stream("POST", f"{one.url}/api/generate", json={"model": "tiny", "prompt": "hi"}, timeout=30) as answer:
        lines = answer.iter_lines()
        next(lines)
        one.signal(signal.SIGTERM)
        until(lambda: one.status().get("phase") == "draining", why="draining")
        one.signal(signal.SIGTERM)
        last = json.loads(list(lines)[-1])
    assert "error" in last  # told, never a silent cut
    assert one.process.wait(30) == 0
    assert not one.processes()
    assert os.listdir(one.data / "run")  # records stay: the next start looks at them
