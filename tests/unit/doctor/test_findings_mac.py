"""What a Mac's tools print, read: as they printed it on real ones."""

from __future__ import annotations

import plistlib
from pathlib import Path

import pytest

from controller.doctor import findings_mac as read
from tests.fakes import mac_tools as mac

BREW = Path("/opt/homebrew/Cellar/python@3.13/3.13.9/Frameworks/Python.framework/Versions/3.13/Resources/Python.app")


@pytest.mark.parametrize(("said", "version"), [("26.1\n", (26, 1)), ("14.7.1\n", (14, 7, 1)), ("", ())])
def test_the_version_of_macos(said: str, version: tuple[int, ...]) -> None:
    assert read.version(said.encode()) == version


@pytest.mark.parametrize(
    ("said", "on"),
    [
        ("FileVault is On.\n", True),
        ("FileVault is Off.\n", False),
        ("FileVault is On.\nEncryption in progress: Percent completed = 12\n", True),
        ("Error: something\n", None),
    ],
)
def test_filevault(said: str, on: bool | None) -> None:
    assert read.is_on(said.encode()) is on


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("Firewall is disabled. (State = 0) \n", "off"),
        ("Firewall is enabled. (State = 1) \n", "on"),
        ("Firewall is enabled. (State = 2)\n", "all"),
        ("Firewall is blocking all non-essential incoming connections. (State = 2)\n", "all"),
        ("Firewall settings cannot be read", None),
    ],
)
def test_the_firewall(said: str, state: str | None) -> None:
    assert read.firewall(said.encode()) == state


def test_whom_the_firewall_lets_others_speak_to() -> None:
    assert read.let_in(mac.APPS.encode(), BREW) is True
    assert read.let_in(mac.APPS.encode(), Path("/usr/local/bin/node")) is False
    assert read.let_in(mac.APPS.encode(), Path("/usr/bin/python3.13")) is None
    assert read.let_in(b"", BREW) is None


def test_who_has_signed_a_program() -> None:
    assert not read.vouched(mac.AD_HOC.encode())
    assert read.vouched(mac.SIGNED.encode())
    assert not read.vouched(b"/x: code object is not signed at all\n")


def test_the_power_settings_as_they_stand_with_what_prevents_them() -> None:
    settings = read.power_settings(mac.PMSET.encode())
    assert (settings["sleep"], settings["disksleep"], settings["autorestart"], settings["womp"]) == (1, 10, 0, 1)
    assert "Sleep" not in settings
    assert read.sleeps(settings) == ("sleep 1", "disksleep 10")
    assert read.sleeps(read.power_settings(mac.PMSET_AWAKE.encode())) == ()
    assert read.power_settings(b"") == {}


@pytest.mark.parametrize(
    ("said", "held"), [(mac.NEVER_OPENED, True), (mac.OPENED, False), ("", False), ("nonsense", False)]
)
def test_what_nobody_has_opened_yet(said: str, held: bool) -> None:
    assert read.quarantined(said.encode()) is held


def test_what_launchd_knows_of_the_service_itself() -> None:
    assert read.service_fields(mac.RUNNING.encode()) == {"state": "running", "runs": "3", "last exit code": "1"}
    assert read.service_fields(mac.NOT_RUNNING.encode())["last exit code"] == "78: EX_CONFIG"
    assert read.service_fields(mac.UNKNOWN_SERVICE.encode()) == {}


def test_what_a_property_list_starts() -> None:
    assert read.program_of(plistlib.dumps({"ProgramArguments": ["/x/python", "-m", "controller"]})) == "/x/python"
    for broken in (b"", b"<plist", plistlib.dumps([1]), plistlib.dumps({"ProgramArguments": []})):
        assert read.program_of(broken) == ""
