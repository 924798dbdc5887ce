"""The machine stays awake while it answers: the whole controller, with a stand-in for the system's own tool."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeHouse
from tests.kit import web
from tests.kit.house import FakeHouse, until

TOOL = """#!/bin/sh
# As caffeinate and systemd-inhibit do: run the program named last, and hold for as long as it runs.
echo "held $(basename "$0") $*" >> "$LEDGER"
for program; do :; done
"$program"
echo "let go" >> "$LEDGER"
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """What the stand-in wrote down."""
    path = tmp_path / "ledger"
    path.touch()
    return path


@pytest.fixture
def awake(make_house: MakeHouse, ledger: Path, tmp_path: Path) -> FakeHouse:
    """A house whose setting is the usual one."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("caffeinate", "systemd-inhibit"):
        (programs / name).write_text(TOOL)
        (programs / name).chmod(0o755)
    house = make_house(power={"awake": "while_busy"})
    house.environment |= {"PATH": f"{programs}:{os.environ['PATH']}", "LEDGER": str(ledger)}
    return house


def test_it_is_held_awake_from_the_first_answer_on_and_let_go_when_the_setting_says_so(
    awake: FakeHouse, ledger: Path
) -> None:
    awake.knobs(tokens=200, pause=0.05)
    awake.up().until_ready()
    assert ledger.read_text() == ""  # nobody has asked for anything
    asking = threading.Thread(
        target=lambda: web.post(f"{awake.url}/api/generate", json={"model": "tiny", "prompt": "hi"}, timeout=60)
    )
    asking.start()
    until(lambda: "held" in ledger.read_text(), why="it is held awake")
    asking.join()
    assert "let go" not in ledger.read_text()  # for another minute
    awake.configure(power={"awake": "never"})
    until(lambda: "let go" in ledger.read_text(), why="it may sleep")
    assert ledger.read_text().count("held") == 1


@pytest.mark.parametrize("how", ["restart", "crash", "leave"])
def test_nothing_is_held_awake_by_a_controller_that_is_no_more(awake: FakeHouse, ledger: Path, how: str) -> None:
    awake.configure(power={"awake": "always"})
    awake.up().until_ready()
    until(lambda: "held" in ledger.read_text(), why="it is held awake")
    if how == "restart":
        assert awake.run("restart", limit=60).returncode == 0
        until(lambda: ledger.read_text().count("held") == 2, why="by the next one too")
        assert ledger.read_text().splitlines()[1] == "let go"
    (awake.kill if how == "crash" else awake.down)()
    until(lambda: ledger.read_text().splitlines()[-1] == "let go", why="it may sleep")
