"""`seadragon install` and `uninstall` as on a Mac: with a launchctl that keeps its state, and other folders."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from controller import install, steps
from controller.cli import main, setting_up
from controller.control.server import serve
from tests.fakes.desk import FakeDesk
from tests.integration.test_install import LAUNCHCTL, as_root

PLIST = f"{install.LABEL}.plist"


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Mac, whose only user's home it is."""
    home = tmp_path / "Users" / "mia"
    home.mkdir(parents=True)
    program = tmp_path / "bin" / "launchctl"
    program.parent.mkdir()
    program.write_text(LAUNCHCTL)
    program.chmod(0o755)
    monkeypatch.setenv("STATE", str(tmp_path / "state"))
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SUDO_USER", "mia")
    monkeypatch.setattr(steps, "PAUSE", 0.01)
    monkeypatch.setattr(setting_up, "FIRST_WORDS", 0.5)
    monkeypatch.setattr(setting_up, "PLATFORM", "darwin")
    daemons = tmp_path / "Library" / "LaunchDaemons"
    daemons.mkdir(parents=True)
    monkeypatch.setattr(install, "DAEMONS", daemons)
    me = pwd.getpwuid(os.geteuid())
    monkeypatch.setattr(pwd, "getpwnam", lambda name: pwd.struct_passwd((*me[:5], str(home), me.pw_shell)))
    return home


@pytest.fixture
def places(tmp_path: Path) -> list[str]:
    for name in ("config", "data", "logs"):
        (tmp_path / name).mkdir(mode=0o700)
    return [word for name in ("config", "data", "logs") for word in (f"--{name}", str(tmp_path / name))]


@pytest.fixture
async def answering(tmp_path: Path, places: list[str]) -> AsyncIterator[None]:
    """What was started answers."""
    async with serve(FakeDesk(tmp_path), tmp_path / "data" / "control.sock"):
        yield


async def run(*words: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, main, words)


def loaded(tmp_path: Path) -> bool:
    state = tmp_path / "state"
    return state.exists() and state.read_text() == "loaded\n"


@as_root
@pytest.mark.usefixtures("answering")
async def test_a_daemon_is_installed_answers_and_goes(mac: Path, tmp_path: Path, places: list[str]) -> None:
    result = await run("install", *places)
    assert result.exit_code == 0, result.output
    file = install.DAEMONS / PLIST
    assert f"Installed as {file}. It runs now, and whenever this machine runs." in result.output
    assert loaded(tmp_path)
    assert (await run("uninstall", *places)).exit_code == 0
    assert not file.exists()


@pytest.mark.usefixtures("answering")
async def test_an_agent_is_installed_by_its_owner_and_found_again_to_be_taken_away(
    mac: Path, tmp_path: Path, places: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 501)
    monkeypatch.setattr(os, "chown", lambda *_: None)
    result = await run("install", "--agent", *places)
    assert result.exit_code == 0, result.output
    file = install.agents(mac) / PLIST
    assert f"Installed as {file}. It runs now, and whenever you are logged in." in result.output
    assert loaded(tmp_path)
    result = await run("uninstall", *places)
    assert result.exit_code == 0, result.output
    assert not file.exists()
    assert not loaded(tmp_path)


@as_root
async def test_a_daemon_beside_an_agent_is_refused_and_the_other_way_round(mac: Path, places: list[str]) -> None:
    for there, words, first in (
        (install.agents(mac) / PLIST, ("install",), "First: seadragon uninstall"),
        (install.DAEMONS / PLIST, ("install", "--agent"), "First: sudo seadragon uninstall"),
    ):
        there.parent.mkdir(parents=True, exist_ok=True)
        there.touch()
        result = await run(*words, *places)
        assert result.exit_code != 0
        assert f"It is installed already, as {there}. {first}" in result.output
        there.unlink()


@as_root
async def test_what_was_started_and_does_not_answer_is_no_success(
    mac: Path, tmp_path: Path, places: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone in Documents: launchd starts it, and macOS keeps it from its own files."""
    place_of = install.place_of
    clone = mac / "Documents" / "seadragon"
    monkeypatch.setattr(install, "place_of", lambda *words, **named: replace(place_of(*words, **named), folder=clone))
    result = await run("install", *places)
    assert result.exit_code != 0
    assert f"macOS keeps a service from some of its folders, without a word: {clone} is in Documents." in result.output
    assert "Full Disk Access" in result.output
    assert f"It was started, and does not answer. See what it says: tail -20 {tmp_path / 'logs' / 'boot.log'}" in (
        result.output
    )
    assert "Installed as" not in result.output


async def test_what_would_be_written_is_shown_to_anybody(mac: Path, places: list[str]) -> None:
    result = await run("install", "--agent", "--print", *places)
    assert "LimitLoadToSessionType" in result.output
    assert not (install.agents(mac) / PLIST).exists()
    assert "UserName" in (await run("install", "--print", *places)).output
