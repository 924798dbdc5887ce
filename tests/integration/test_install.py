"""The service files, put to the tests of those who will read them, and to a folder in place of the real one."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from controller import install
from controller.config.schema import Server
from controller.install import Place

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="installing needs root")


def place_in(folder: Path) -> Place:
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


@dataclass
class Done:
    """A command that went well."""

    code: int = 0
    err: bytes = b""


@as_root
async def test_install_writes_the_file_before_the_first_order_and_uninstall_removes_it_after_the_last(
    tmp_path: Path,
) -> None:
    place = place_in(tmp_path)
    unit = replace(install.systemd(place), file=tmp_path / install.UNIT)
    seen: list[tuple[str, bool]] = []

    async def run(argv: Sequence[str], *, limit: float) -> Done:
        await asyncio.sleep(0)
        seen.append((argv[1], unit.file.exists()))
        return Done()

    await install.install(unit, place, run)
    assert seen == [("daemon-reload", True), ("enable", True), ("restart", True)]
    assert unit.file.stat().st_mode & 0o777 == 0o644
    assert unit.file.read_text() == unit.text
    assert place.logs.is_dir()
    seen.clear()
    await install.uninstall(unit, run)
    assert seen == [("disable", True), ("daemon-reload", False)]


@as_root
@pytest.mark.parametrize(("code", "halted"), [(0, True), (5, False)])
async def test_what_is_installed_is_stopped_through_its_service_manager(
    tmp_path: Path, code: int, halted: bool
) -> None:
    seen: list[tuple[str, ...]] = []

    async def run(argv: Sequence[str], *, limit: float) -> Done:
        await asyncio.sleep(0)
        seen.append(tuple(argv))
        return Done(code)

    place = place_in(tmp_path)
    unit = replace(install.systemd(place), file=tmp_path / install.UNIT)
    assert not await install.halt(unit, place.data, run)
    unit.file.write_text(unit.text)
    assert not await install.halt(unit, tmp_path / "another", run)
    assert seen == []  # nothing is installed, or it is another one's: nothing to stop
    assert await install.halt(unit, place.data, run) is halted
    assert seen == [("systemctl", "stop", install.UNIT)]
