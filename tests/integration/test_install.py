"""The service files, put to the tests of those who will read them, and to a folder in place of the real one."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from controller import install, steps
from controller.config.schema import Server
from controller.errors import SeadragonError
from controller.install import Installation
from controller.supervision.tools import ToolResult, run_tool

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="installing needs root")


def place_in(folder: Path) -> Installation:
    """This clone, run by whoever runs the tests, keeping its things in `folder`."""
    return install.place_of(
        pwd.getpwuid(os.geteuid()).pw_name,
        config=folder / "config",
        data=folder / "data",
        logs=folder / "lögs & more",
        server=Server(),
    )


@pytest.mark.skipif(sys.platform == "darwin", reason="systemd is Linux's")
def test_systemd_itself_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    assert analyze, "systemd-analyze is missing: `make test` installs it"
    place = place_in(tmp_path)
    unit = tmp_path / install.UNIT
    unit.write_text(install.render_unit(place))
    verdict = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, timeout=60)
    about_ours = [line for line in verdict.stderr.splitlines() if install.UNIT in line]
    assert about_ours == []
    unit.write_text(install.render_unit(place).replace("Restart=always", "Restart=perhaps"))
    doubt = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, timeout=60)
    assert install.UNIT in doubt.stderr, "a fault would not be noticed"


@pytest.mark.skipif(sys.platform != "darwin", reason="plutil is the Mac's; keys and types are tested everywhere")
def test_the_mac_itself_finds_nothing_wrong_with_the_plist(tmp_path: Path) -> None:
    file = tmp_path / f"{install.LABEL}.plist"
    file.write_text(install.render_plist(place_in(tmp_path)))
    subprocess.run(["plutil", "-lint", str(file)], check=True, timeout=60)


DONE = ToolResult(0, b"", b"")


@as_root
async def test_install_writes_the_file_before_the_first_order_and_uninstall_removes_it_after_the_last(
    tmp_path: Path,
) -> None:
    place = place_in(tmp_path)
    unit = replace(install.systemd(place), file=tmp_path / install.UNIT)
    seen: list[tuple[str, bool]] = []

    async def run(argv: Sequence[str], *, limit: float) -> ToolResult:
        await asyncio.sleep(0)
        seen.append((argv[1], unit.file.exists()))
        return DONE

    await install.install(unit, place, run, print)
    assert seen == [("daemon-reload", True), ("enable", True), ("restart", True)]
    assert unit.file.stat().st_mode & 0o777 == 0o644
    assert unit.file.read_text() == unit.text
    assert place.logs.is_dir()
    seen.clear()
    await install.uninstall(unit, run, print)
    assert seen == [("disable", True), ("daemon-reload", False)]


@as_root
@pytest.mark.parametrize(("code", "halted"), [(0, True), (5, False)])
async def test_what_is_installed_is_stopped_through_its_service_manager(
    tmp_path: Path, code: int, halted: bool
) -> None:
    seen: list[tuple[str, ...]] = []

    async def run(argv: Sequence[str], *, limit: float) -> ToolResult:
        await asyncio.sleep(0)
        seen.append(tuple(argv))
        return ToolResult(code, b"", b"")

    place = place_in(tmp_path)
    unit = replace(install.systemd(place), file=tmp_path / install.UNIT)
    assert not await install.halt(unit, run, print)
    unit.file.write_text(unit.text)
    another = install.systemd(replace(place, data=tmp_path / "another"))
    assert not await install.halt(replace(another, file=unit.file), run, print)
    assert seen == []  # nothing is installed, or it is another one's: nothing to stop
    assert await install.halt(unit, run, print) is halted
    assert seen == [("systemctl", "stop", install.UNIT)]


@as_root
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
async def test_what_install_makes_is_its_users_and_nobody_elses_to_change_whatever_the_umask(
    tmp_path: Path, umask: int
) -> None:
    async def run(argv: Sequence[str], *, limit: float) -> ToolResult:
        await asyncio.sleep(0)
        return DONE

    nobody = pwd.getpwnam("nobody")
    home = tmp_path / "home"
    data, logs = home / "sea" / "deep" / "data", home / "sea" / "logs"
    place = replace(place_in(tmp_path), data=data, logs=logs, home=home, user="nobody")
    before = os.umask(umask)
    try:
        for unit in (
            replace(install.systemd(place), file=tmp_path / install.UNIT),
            replace(install.launchd(replace(place, agent_of=nobody.pw_uid)), begin=(), by_root=True),
        ):
            unit.file.parent.mkdir(parents=True, exist_ok=True)
            await install.install(unit, place, run, print)
            assert unit.file.stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(before)
    made = [home / "sea", home / "sea" / "deep", place.data, place.logs]
    assert [oct(each.stat().st_mode & 0o777) for each in made] == ["0o755", "0o755", "0o700", "0o700"]
    assert {each.stat().st_uid for each in made} == {nobody.pw_uid}


LAUNCHCTL = r"""#!/bin/sh
# What launchctl does in the seconds after a bootout. $STATE holds: nothing, loaded, or leaving and a count-down.
state=$(cat "$STATE" 2>/dev/null)
case "$1 $state" in
bootout\ loaded) echo "leaving 4" > "$STATE"; echo "Boot-out failed: 36: Operation now in progress" >&2; exit 36;;
bootout*) echo "Boot-out failed: 3: No such process" >&2; exit 3;;
print\ loaded) exit 0;;
print\ leaving*) left=$((${state#leaving } - 1)); [ $left -gt 0 ] && echo "leaving $left" > "$STATE" && exit 0
    echo "settling 2" > "$STATE"; exit 113;;
print*) echo 'Could not find service "local.seadragon" in domain for system' >&2; exit 113;;
enable*) exit 0;;
bootstrap\ settling*) left=$((${state#settling } - 1)); echo "settling $left" > "$STATE"; [ $left -gt 0 ] || rm "$STATE"
    echo "Bootstrap failed: 5: Input/output error" >&2; exit 5;;
bootstrap\ ) [ -f "$3" ] && echo loaded > "$STATE" && exit 0; exit 5;;
*) echo "Bootstrap failed: 5: Input/output error" >&2; exit 5;;
esac
"""


@as_root
async def test_installed_twice_on_a_mac_it_is_loaded_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a launchctl that behaves as the real one was seen to, and real processes."""
    state, program = tmp_path / "state", tmp_path / "bin" / "launchctl"
    program.parent.mkdir()
    program.write_text(LAUNCHCTL)
    program.chmod(0o755)
    monkeypatch.setenv("STATE", str(state))
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(steps, "PAUSE", 0.01)
    place = place_in(tmp_path)
    file = tmp_path / f"{install.LABEL}.plist"
    planned = install.launchd(place)
    bring = replace(planned.begin[-1], argv=("launchctl", "bootstrap", "system", str(file)))
    unit = replace(planned, file=file, begin=(*planned.begin[:-1], bring))
    told: list[str] = []
    for _ in range(3):
        await install.install(unit, place, run_tool, told.append)
        assert state.read_text() == "loaded\n"
    assert len(told) == 2
    assert await install.halt(unit, run_tool, told.append)
    assert "loaded" not in state.read_text()
    await install.install(unit, place, run_tool, told.append)
    await install.uninstall(unit, run_tool, told.append)
    assert not file.exists()


def at_home(home: Path, **changes: object) -> Installation:
    """This clone, of somebody who lives at `home`."""
    return replace(place_in(home), **{"home": home, "folder": home / "seadragon", **changes})  # type: ignore[arg-type]


def test_what_macos_would_keep_from_a_service_is_told_with_the_way_out(tmp_path: Path) -> None:
    clone = tmp_path / "Documents" / "seadragon"
    clone.mkdir(parents=True)
    (tmp_path / "seadragon").symlink_to(clone)
    python = tmp_path / "python3.13"
    python.touch()
    (tmp_path / "python").symlink_to(python)
    place = at_home(tmp_path, python=tmp_path / "python")
    first, second = install.concerns(place, tmp_path / "Desktop" / "models")
    assert f"{clone} is in Documents" in first
    assert f"{tmp_path / 'Desktop' / 'models'} is on the Desktop" in first
    assert f"press Command-Shift-G and enter {python} " in second
    (asked,) = install.concerns(replace(place, agent_of=501), tmp_path / "models")
    assert "macOS will ask whether python3.13 may see" in asked
    assert install.concerns(at_home(tmp_path / "elsewhere"), tmp_path / "models") == []


@as_root
async def test_nothing_is_installed_from_a_copy_that_macos_throws_away(tmp_path: Path) -> None:
    place = at_home(tmp_path, folder=tmp_path / "AppTranslocation" / "3B0498B3" / "d" / "seadragon")
    unit = replace(install.launchd(place), file=tmp_path / "x.plist")
    with pytest.raises(SeadragonError, match="move it home"):
        await install.install(unit, place, run_tool, print)
    assert not unit.file.exists()


def test_what_is_installed_is_what_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = replace(place_in(tmp_path), home=tmp_path)
    daemons = tmp_path / "Library/LaunchDaemons"
    monkeypatch.setattr(install, "DAEMONS", daemons)
    assert install.installed(place) == place
    agent = install.agents(tmp_path) / f"{install.LABEL}.plist"
    agent.parent.mkdir(parents=True)
    agent.touch()
    assert install.installed(place).agent_of == os.geteuid()
    daemons.mkdir(parents=True)
    (daemons / agent.name).touch()
    assert install.installed(place).agent_of is None
