"""Faults of the real Ollama: its runners, its start, its death."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.kit import real
from tests.kit.below import runners_below
from tests.kit.house import House, fake_house, until


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A Seadragon on a real Ollama with the kit's models."""
    with fake_house(tmp_path / "house") as one:
        one.configure(ollama={"binary": str(real.program())})
        one.write("models", {"folder": str(real.copy_library(tmp_path / "models"))})
        yield one.up().until_ready()


def say(house: House, model: str) -> str:
    answer = httpx.post(
        f"{house.url}/api/generate", json={"model": model, "prompt": "hi", "stream": False}, timeout=60, trust_env=False
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["response"]).strip()


def runners(house: House) -> list[psutil.Process]:
    return runners_below(house.child()["pid"])


def test_row_2_a_killed_runner_costs_its_stream_and_nothing_else(house: House) -> None:
    assert say(house, "blue") == "I am blue."
    others = {runner.pid for runner in runners(house)}
    before = house.child()
    ask = {"model": "ticker", "prompt": "hi", "options": {"num_predict": 5000}}
    with httpx.stream("POST", f"{house.url}/api/generate", json=ask, timeout=60, trust_env=False) as answer:
        lines = answer.iter_lines()
        next(lines)
        [ticker] = [runner for runner in runners(house) if runner.pid not in others]
        ticker.kill()
        last = json.loads(list(lines)[-1])
    assert "error" in last
    assert say(house, "blue") == "I am blue."
    assert {runner.pid for runner in runners(house)} >= others  # blue was not loaded anew
    again = {**ask, "stream": False, "options": {"num_predict": 5}}
    assert httpx.post(f"{house.url}/api/generate", json=again, timeout=60, trust_env=False).status_code == 200
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


def test_without_a_model_it_is_ready_and_says_how_to_get_one(tmp_path: Path) -> None:
    with fake_house(tmp_path / "empty") as one:
        one.configure(ollama={"binary": str(real.program())})
        (tmp_path / "nothing").mkdir()
        one.write("models", {"folder": str(tmp_path / "nothing")})
        one.up().until_ready()
        page = httpx.get(f"{one.url}/", headers={"accept": "text/html"}, trust_env=False).text
        assert "seadragon demo" in page
        assert "seadragon demo" in one.run("doctor").stdout
        made = one.run("demo", limit=120)
        assert made.returncode == 0, made.stdout + made.stderr
        [model] = httpx.get(f"{one.url}/api/tags", trust_env=False).json()["models"]
        assert say(one, model["name"])
