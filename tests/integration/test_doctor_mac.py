"""Looking at a Mac: real files and links, and tools that answer as they were seen to."""

from __future__ import annotations

import asyncio
import os
import plistlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from controller import install
from controller.config.schema import Config
from controller.doctor import facts_mac
from controller.doctor.around import Around, Hands
from controller.doctor.findings_mac import LaunchdService, Mac
from controller.doctor.mac import PROOFS, Proof
from controller.engines.ollama.look import seen
from controller.engines.ollama.seen import OllamaSeen
from controller.paths import Paths
from tests.fakes import mac_tools as mac
from tests.fakes.mac_tools import MacTools, Said, fails, says
from tests.integration.test_obtain_mac import ARM64, X86_64, fat, put

PYTHON = Path(os.path.realpath(sys.executable))


def telling(answers: dict[str, Said] | None = None) -> Callable[[Sequence[str]], Said | None]:
    """Tools that answer as they were seen to, or as is said here."""
    tools = MacTools(answers)

    def tell(argv: Sequence[str]) -> Said | None:
        try:
            return asyncio.run(tools(argv, limit=1))
        except OSError:
            return None

    return tell


def look(home: Path, *folders: Path, machine: str = "arm64", answers: dict[str, Said] | None = None) -> Mac:
    """What `home`'s Mac says of itself."""
    return facts_mac.look(telling(answers), folders, home, machine=machine)


def look_at_ollama(folder: Path, program: Path, tools: MacTools, platform: str = "darwin") -> OllamaSeen:
    """What is seen of a program that is called ollama."""
    hands = Hands(lambda *_: (Config(), ()), lambda *_: program, tools, lambda names: [])
    paths = Paths(folder / "config", folder / "data", folder / "logs")
    return seen(Around(paths, {}, hands, platform, Config(), None, frozenset(), frozenset()))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somebody's folder, on a Mac with no services but ours."""
    monkeypatch.setattr(install, "DAEMONS", tmp_path / "Library/LaunchDaemons")
    folder = tmp_path / "Users/mia"
    folder.mkdir(parents=True)
    return folder


def test_a_usual_mac_is_read_whole(home: Path) -> None:
    assert look(home, home / "seadragon") == Mac(
        version=(26, 1),
        silicon=True,
        python=PYTHON,
        translated=False,
        filevault=False,
        back_after_power_cut=True,
        firewall="off",
    )


def test_a_mac_whose_tools_are_all_missing_is_no_failure(home: Path) -> None:
    seen = facts_mac.look(lambda argv: None, [home], home, machine="x86_64")
    assert seen == Mac(version=(), silicon=False, python=PYTHON, translated=False)


def test_under_rosetta_the_processor_is_known_all_the_same(home: Path) -> None:
    assert look(home, machine="x86_64").translated
    intel = look(
        home, machine="x86_64", answers={"/usr/sbin/sysctl -n hw.optional.arm64": fails("sysctl: unknown oid\n")}
    )
    assert (intel.silicon, intel.translated) == (False, False)


def test_folders_are_judged_by_where_their_links_lead(home: Path) -> None:
    (home / "Documents/sea").mkdir(parents=True)
    (home / "seadragon").symlink_to(home / "Documents/sea")
    assert look(home, home / "seadragon", home / "seadragon/data", home / "logs").guarded == {
        Path(os.path.realpath(home / "Documents/sea")): "in Documents"
    }


def test_the_firewall_is_asked_for_its_list_only_where_it_is_on(home: Path) -> None:
    on = {f"{mac.FIREWALL} --getglobalstate": says("Firewall is enabled. (State = 1) \n")}
    listed = says(f"Total number of apps = 1 \n\n1 : {PYTHON} \n             (Block incoming connections) \n")
    assert look(home, answers=on).let_in is None
    assert look(home, answers={**on, f"{mac.FIREWALL} --listapps": listed}).let_in is False
    assert not look(home, answers=on).vouched
    assert look(home, answers={**on, "/usr/bin/codesign -dv": Said(err=mac.SIGNED.encode())}).vouched


def test_what_a_browser_brought_and_nobody_opened_is_seen(home: Path, tmp_path: Path) -> None:
    answers = {"/usr/bin/xattr -p com.apple.quarantine": says(mac.NEVER_OPENED)}
    assert look_at_ollama(tmp_path, put(tmp_path / "ollama"), MacTools(answers)).quarantined
    assert not look_at_ollama(tmp_path, put(tmp_path / "ollama"), MacTools()).quarantined


def test_on_a_mac_it_is_seen_for_which_processors_ollama_is_made_and_elsewhere_not(tmp_path: Path) -> None:
    program = put(tmp_path / "ollama", fat(X86_64, ARM64))
    assert look_at_ollama(tmp_path, program, MacTools()).made_for == {"arm64", "x86_64"}
    assert look_at_ollama(tmp_path, program, MacTools(), "linux").made_for == frozenset()


def test_the_settings_for_coming_back_are_seen(home: Path) -> None:
    answers = {
        "/usr/bin/fdesetup status": says("FileVault is On.\n"),
        "/usr/bin/defaults read /Library/Preferences/com.apple.loginwindow autoLoginUser": says("mia\n"),
        "/usr/bin/pmset -g": says(mac.PMSET),
    }
    seen = look(home, answers=answers)
    assert (seen.filevault, seen.logged_in_as, seen.back_after_power_cut) == (True, "mia", False)
    assert seen.sleeps == ("sleep 1", "disksleep 10")


def a_plist(folder: Path, program: str) -> Path:
    folder.mkdir(parents=True)
    file = folder / f"{install.LABEL}.plist"
    file.write_bytes(plistlib.dumps({"Label": install.LABEL, "ProgramArguments": [program, "-m", "controller"]}))
    return file


def test_the_daemon_is_told_with_what_launchd_knows_of_it(home: Path) -> None:
    file = a_plist(install.DAEMONS, sys.executable)
    running = look(home, answers={mac.DAEMON: says(mac.RUNNING)})
    assert running.service == LaunchdService(file, "daemon", sys.executable, True, "running", "3", "1")
    stuck = look(home, answers={mac.DAEMON: says(mac.NOT_RUNNING)}).service
    assert stuck is not None
    assert (stuck.state, stuck.last_exit) == ("spawn scheduled", "78: EX_CONFIG")
    forgotten = look(home).service
    assert forgotten == LaunchdService(file, "daemon", sys.executable, True)


def test_an_agent_is_asked_for_in_its_owners_session(home: Path) -> None:
    file = a_plist(install.agents(home), "/gone/.venv/bin/python")
    print_ = f"/bin/launchctl print gui/{os.getuid()}/local.seadragon"
    seen = look(home, answers={print_: says(mac.RUNNING)}).service
    assert seen == LaunchdService(file, "agent", "/gone/.venv/bin/python", False, "running", "3", "1")


def test_a_property_list_that_is_none_is_told_as_such(home: Path) -> None:
    a_plist(install.DAEMONS, "x").write_text("<plist")
    seen = look(home).service
    assert seen is not None
    assert (seen.program, seen.there) == ("", False)


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.what)
def test_a_shell_can_read_every_command_of_the_list(proof: Proof) -> None:
    read = subprocess.run(["sh", "-n", "-c", proof.command], capture_output=True, text=True, timeout=30)
    assert read.returncode == 0, read.stderr
