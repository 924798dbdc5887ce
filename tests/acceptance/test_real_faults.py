"""Faults of the real Ollama: its runners, its start, its death."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from controller.engines.ollama.inside import RunnerKind, inside_of
from tests.kit import real, web
from tests.kit.below import runners_below
from tests.kit.house import FakeHouse, House, fake_house, until
from tests.kit.models import SLOW


@pytest.fixture
def house(tmp_path: Path) -> Iterator[FakeHouse]:
    """A Seadragon on a real Ollama with the kit's models."""
    with fake_house(tmp_path / "house") as one:
        one.configure(ollama={"binary": str(real.program())})
        one.write("models", {"folder": str(real.copy_library(tmp_path / "models"))})
        one.up().until_ready()
        yield one


def say(house: House, model: str) -> str:
    answer = web.post(f"{house.url}/api/generate", json={"model": model, "prompt": "hi", "stream": False}, timeout=60)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["response"]).strip()


def runners(house: House) -> list[psutil.Process]:
    return runners_below(house.child()["pid"])


def test_row_2_a_killed_runner_costs_its_stream_and_nothing_else(house: House) -> None:
    assert say(house, "blue") == "I am blue."
    others = {runner.pid for runner in runners(house)}
    before = house.child()
    ask = {"model": "ticker", "prompt": "hi", "options": {"num_predict": 80_000}}  # more than it is let say
    with web.stream("POST", f"{house.url}/api/generate", json=ask, timeout=60) as answer:
        lines = answer.iter_lines()
        next(lines)
        [ticker] = [runner for runner in runners(house) if runner.pid not in others]
        ticker.kill()
        last = json.loads(list(lines)[-1])
    assert "error" in last
    assert say(house, "blue") == "I am blue."
    assert {runner.pid for runner in runners(house)} >= others  # blue was not loaded anew
    again = {**ask, "stream": False, "options": {"num_predict": 5}}
    assert web.post(f"{house.url}/api/generate", json=again, timeout=60).status_code == 200
    after = house.child()
    assert (after["pid"], after["restarts"]) == (before["pid"], 0)


def test_row_1_a_killed_real_ollama_is_back_and_leaves_no_runner_behind(house: House) -> None:
    say(house, "red")
    before, old = house.child(), runners(house)
    os.kill(before["pid"], signal.SIGKILL)
    assert say(house, "red") == "I am red."
    after = house.until_state("ready")
    assert after["restarts"] == 1
    assert after["pid"] != before["pid"]
    until(lambda: not any(runner.is_running() for runner in old), why="the old runners are gone")


def test_a_crash_of_the_controller_unloads_no_model_that_still_answers(house: House) -> None:
    say(house, "red")
    loaded = {runner.pid for runner in runners(house)}
    house.kill()
    house.up().until_ready()
    assert say(house, "red") == "I am red."
    assert {runner.pid for runner in runners(house)} == loaded


@pytest.mark.proof
def test_row_15_twenty_kills_of_the_controller_leave_a_real_ollama_with_its_runner_as_it_was(house: FakeHouse) -> None:
    house.configure(adopt_grace="60s")
    say(house, "red")
    before, moments = house.child()["pid"], random.Random(3)
    [runner] = runners_below(before)
    for _ in range(20):
        house.kill()
        assert [each.pid for each in runners_below(before)] == [runner.pid]
        house.up()
        time.sleep(moments.uniform(0, 1.5))  # the random moment itself, not a wait for something
        assert [each.pid for each in runners_below(before)] == [runner.pid]
    house.until_ready()
    assert say(house, "red") == "I am red."
    assert house.until_state("ready")["pid"] == before
    assert [each.pid for each in runners_below(before)] == [runner.pid]
    assert house.down() == 0
    assert not house.processes()


def test_a_runner_without_memory_is_told_in_one_line_and_costs_the_others_nothing(tmp_path: Path) -> None:
    if inside_of(real.version()).kind is not RunnerKind.LLAMA_SERVER:
        pytest.skip("before 0.30 a runner is Ollama's own program, which no test can put a limit before")
    if sys.platform != "linux":
        pytest.skip("only Linux limits what a process has of its own")
    with fake_house(tmp_path / "house") as house:
        binary, limit = limited(tmp_path / "ollama")
        house.configure(ollama={"binary": str(binary)})
        house.write("models", {"folder": str(real.copy_library(tmp_path / "models"))})
        house.up().until_ready()
        SLOW.create(house.child()["url"], tmp_path)
        assert say(house, "red") == "I am red."
        [small] = runners(house)
        limit.write_text(str(small.memory_info().data // 1024 + 50_000))  # the other one takes 100 MB more
        ask = {"model": "slow", "prompt": "hi", "stream": False, "options": {"num_predict": 3}}
        answer = web.post(f"{house.url}/api/generate", json=ask, timeout=120)
        assert answer.status_code == 503
        error = answer.json()["error"]
        assert "could not be loaded: llama-server" in error
        assert "memory" in error
        assert "\n" not in error
        assert say(house, "red") == "I am red."
        limit.write_text("unlimited")
        assert web.post(f"{house.url}/api/generate", json=ask, timeout=120).status_code == 200
        assert house.child()["restarts"] == 0


def limited(folder: Path) -> tuple[Path, Path]:
    """An Ollama whose llama-server may take as much memory of its own as the returned file says, in KiB."""
    given = real.program().parent.parent
    shutil.copytree(given / "lib", folder / "lib")
    (folder / "bin").mkdir()
    binary = Path(shutil.copy(given / "bin" / "ollama", folder / "bin"))
    server = folder / "lib" / "ollama" / "llama-server"
    real_one, limit = server.rename(server.with_name("llama-server-itself")), folder / "limit"
    limit.write_text("unlimited")
    server.write_text(f'#!/bin/bash\nulimit -d "$(cat {limit})"\nexec -a "$0" {real_one} "$@"\n')
    server.chmod(0o755)
    return binary, limit


def test_the_demo_right_after_the_start_waits_until_ollama_is_there(tmp_path: Path) -> None:
    with fake_house(tmp_path / "quick") as one:
        one.configure(ollama={"binary": str(real.program())})
        (tmp_path / "nothing").mkdir()
        one.write("models", {"folder": str(tmp_path / "nothing")})
        one.up()
        made = one.run("demo", limit=120)
        assert made.returncode == 0, made.stdout + made.stderr
        assert made.stdout.startswith("The model 'demo' is ready.")
        assert say(one, "demo")


def test_without_a_model_it_is_ready_and_says_how_to_get_one(tmp_path: Path) -> None:
    with fake_house(tmp_path / "empty") as one:
        one.configure(ollama={"binary": str(real.program())})
        (tmp_path / "nothing").mkdir()
        one.write("models", {"folder": str(tmp_path / "nothing")})
        one.up().until_ready()
        page = web.get(f"{one.url}/", headers={"accept": "text/html"}).text
        assert "seadragon demo" in page
        assert "seadragon demo" in one.run("doctor").stdout
        made = one.run("demo", limit=120)
        assert made.returncode == 0, made.stdout + made.stderr
        [model] = web.get(f"{one.url}/api/tags").json()["models"]
        assert say(one, model["name"])
