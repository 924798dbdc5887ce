"""Leaving, resting, coming back: what signals, service managers and a failed part of the program lead to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeHouse
from tests.kit import web
from tests.kit.house import FakeHouse, until
from tests.kit.signals import as_in_a_terminal

SCRIPT = Path(sys.executable).with_name("seadragon")


def start(house: FakeHouse, *command: str, folder: Path | None = None) -> FakeHouse:
    """Start the controller by another command than usual; it is the house's from then on."""
    with (house.logs / "console.txt").open("ab") as console:
        house.process = subprocess.Popen(
            [*command, *house.command("up")[3:]],
            cwd=folder,
            stdout=console,
            stderr=console,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **house.environment},
            start_new_session=True,
        )
    return house


def told(house: FakeHouse, words: str) -> list[dict[str, object]]:
    return [line for line in house.events() if words in str(line.get("text"))]


def test_down_under_a_service_manager_stops_what_runs_and_stays_since_it_would_only_be_started_again(
    make_house: MakeHouse,
) -> None:
    house = make_house()
    house.up("--service").until_ready()
    done = house.run("down", limit=60)
    assert done.returncode == 0, done.stderr
    assert "sudo seadragon down" in done.stdout
    assert house.child()["state"] == "stopped"
    assert [process.pid for process in house.processes()] == [house.pid]
    assert web.get(f"{house.url}/healthz").status_code == 200
    assert web.get(f"{house.url}/readyz").status_code == 503
    assert house.run("start", "ollama").returncode == 0
    house.until_ready()
    assert house.run("down", limit=60).returncode == 0  # again, as if for the first time
    house.signal(signal.SIGTERM)
    assert house.process is not None
    assert house.process.wait(30) == 0
    assert not house.processes()


def test_down_in_safe_mode_leaves_it_as_safe_as_it_was(make_house: MakeHouse) -> None:
    house = make_house()
    house.write("server", "listeners: 5\n")
    house.up("--service", "--port", str(house.port))
    assert house.run("down", limit=60).returncode == 0
    assert house.status()["phase"] == "safe"


def test_a_restart_is_started_as_it_was_wherever_that_was(make_house: MakeHouse, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "controller").mkdir(parents=True)
    (elsewhere / "controller" / "__init__.py").write_text("raise SystemExit('not the right package')")
    house = start(make_house(), str(SCRIPT), folder=elsewhere)
    house.until_ready()
    before = house.child()
    done = house.run("restart", limit=60)
    assert done.returncode == 0, done.stderr + house.console()
    house.until_ready()
    assert (house.child()["pid"], house.status()["pid"]) == (before["pid"], house.pid)
    assert os.readlink(f"/proc/{house.pid}/cwd") == str(elsewhere) or sys.platform != "linux"


def test_a_restart_under_a_service_manager_stays_the_same_process_so_that_no_pause_of_its_outlasts_the_keepers(
    make_house: MakeHouse,
) -> None:
    house = make_house()
    house.up("--service").until_ready()
    before = house.child()
    for _ in range(3):
        done = house.run("restart", limit=60)
        assert done.returncode == 0, done.stderr + house.console()
        house.until_ready()
        assert (house.child()["pid"], house.child()["adopted"]) == (before["pid"], True)
        assert house.status()["pid"] == house.pid
    house.signal(signal.SIGTERM)
    assert house.process is not None
    assert house.process.wait(30) == 0


DEAF = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("by", ["TERM", "down"])
def test_whatever_was_ignored_or_blocked_at_its_start_term_and_down_both_end_it_and_all_it_runs(
    make_house: MakeHouse, by: str
) -> None:
    house = start(make_house(), sys.executable, "-c", DEAF, str(SCRIPT))
    house.until_ready()
    if by == "TERM":
        house.signal(signal.SIGTERM)
    else:
        done = house.run("down", limit=60)
        assert done.returncode == 0, done.stderr
    assert house.process is not None
    assert house.process.wait(30) == 0
    assert not house.processes()


def test_a_closed_terminal_ends_it_and_nohup_keeps_it(make_house: MakeHouse) -> None:
    with as_in_a_terminal():
        house = start(make_house(), "nohup", str(SCRIPT))
    house.until_ready()
    house.signal(signal.SIGHUP)
    house.signal(signal.SIGHUP)
    assert house.status()["phase"] == "running"
    assert house.down() == 0
    with as_in_a_terminal():
        house.up()
    house.signal(signal.SIGHUP)
    assert house.process is not None
    assert house.process.wait(30) == 0
    assert not house.processes()


def test_what_a_start_warns_of_is_in_the_log(make_house: MakeHouse) -> None:
    house = make_house()
    (house.config / "models.yaml").unlink(missing_ok=True)
    house.up()
    [line] = until(lambda: told(house, "models.yaml is not there"), why="the warning")
    assert (line["level"], line["source"]) == ("warning", "config")


FAILING = """
import asyncio, sys
from controller import cli
from controller.config.watch import Watch
async def run(self):
    await asyncio.sleep(0)
    raise KeyError("nobody foresaw this")
Watch.run = run
cli.main()
"""


def test_a_part_that_fails_ends_it_with_the_reason_in_the_log_and_the_next_one_adopts(make_house: MakeHouse) -> None:
    house = make_house()
    house.up().until_ready()
    before = house.child()
    house.kill()
    failed = start(house, sys.executable, "-c", FAILING)
    assert failed.process is not None
    assert failed.process.wait(30) == 1
    [line] = told(house, "A part of Seadragon failed")
    assert "nobody foresaw this" in str(line["text"])
    facts = line["facts"]
    assert isinstance(facts, dict)
    assert "in run" in facts["trace"]
    assert "Traceback" not in house.console()
    house.up().until_ready()
    assert (house.child()["pid"], house.child()["adopted"]) == (before["pid"], True)
