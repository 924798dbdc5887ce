"""Every verdict on a Mac, from facts alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controller.config.listening import Listener
from controller.config.machine import PowerSettings
from controller.config.schema import Config, Server
from controller.doctor.checks_mac import CHECKS, examine_mac
from controller.doctor.findings import Facts
from controller.doctor.findings_mac import LaunchdService, Mac
from tests.unit.doctor.test_checks import WELL

PYTHON = Path("/Users/mia/.local/share/uv/python/cpython-3.13.9-macos-aarch64-none/bin/python3.13")
AT_REST = Mac(
    version=(26, 1),
    silicon=True,
    python=PYTHON,
    translated=False,
    filevault=False,
    back_after_power_cut=True,
    firewall="off",
)
PLIST = Path("/Library/LaunchDaemons/local.seadragon.plist")
DAEMON = LaunchdService(
    PLIST, "daemon", "/Users/mia/sea/.venv/bin/python", True, state="running", runs="3", last_exit="0"
)
AGENT = replace(DAEMON, file=Path("/Users/mia/Library/LaunchAgents/local.seadragon.plist"), kind="agent")
IN_THE_HOUSE = Config(server=Server(listeners=(Listener(address="127.0.0.1:8420"), Listener(address="10.0.0.2:8420"))))
DOCUMENTS = {Path("/Users/mia/Documents/sea"): "in Documents"}


def of(changes: dict[str, object], **facts: object) -> Facts:
    """A Mac at rest, but for `changes`."""
    mac = replace(AT_REST, **changes)  # type: ignore[arg-type]  # the tables are typed by what the checks make of them
    return replace(WELL, platform="darwin", mac=mac, **facts)  # type: ignore[arg-type]  # as above


def test_elsewhere_nothing_is_said_about_macs() -> None:
    assert examine_mac(WELL) == []


def test_a_mac_at_rest_gets_only_good_news() -> None:
    assert {finding.verdict for finding in examine_mac(of({}))} == {"ok"}
    assert {finding.verdict for finding in examine_mac(of({"service": DAEMON}))} == {"ok"}
    assert {finding.verdict for finding in examine_mac(of({"service": AGENT, "logged_in_as": "mia"}))} == {"ok"}


TROUBLE = [
    ("privacy", "warn", {"guarded": DOCUMENTS}, {}, "/Users/mia/Documents/sea is in Documents"),
    (
        "privacy",
        "warn",
        {"guarded": DOCUMENTS},
        {},
        f"press Command-Shift-G and enter {PYTHON}",
    ),
    ("firewall", "fail", {"firewall": "all"}, {"config": IN_THE_HOUSE}, "nobody reaches 10.0.0.2:8420"),
    ("firewall", "warn", {"firewall": "on", "let_in": False}, {"config": IN_THE_HOUSE}, f"it blocks {PYTHON}"),
    ("firewall", "warn", {"firewall": "on", "let_in": None}, {"config": IN_THE_HOUSE}, f"--unblockapp {PYTHON}"),
    ("service", "fail", {"service": replace(DAEMON, there=False)}, {}, "sudo seadragon install"),
    ("service", "fail", {"service": replace(AGENT, there=False, program="")}, {}, "seadragon install --agent"),
    ("service", "fail", {"service": replace(DAEMON, state="")}, {}, "launchd does not know"),
    ("service", "fail", {"service": replace(DAEMON, state="not running", last_exit="1")}, {}, "last exit code 1. "),
    ("service", "fail", {"service": replace(DAEMON, state="not running", last_exit="")}, {}, "it is not running. See"),
    (
        "service",
        "fail",
        {"service": replace(DAEMON, state="spawn scheduled", last_exit="78: EX_CONFIG"), "guarded": DOCUMENTS},
        {},
        "probably keeps it from its files",
    ),
    ("after a start", "warn", {"service": AGENT, "filevault": True}, {}, "Automatically log in as"),
    ("after a start", "warn", {"back_after_power_cut": False}, {}, "sudo pmset -a autorestart 1"),
    ("sleep", "warn", {"sleeps": ("sleep 10",)}, {}, "sudo pmset -a sleep 0"),
]


@pytest.mark.parametrize(("name", "verdict", "changes", "facts", "words"), TROUBLE)
def test_trouble_is_found_and_told_with_what_to_do(
    name: str, verdict: str, changes: dict[str, object], facts: dict[str, object], words: str
) -> None:
    (finding,) = [each for each in examine_mac(of(changes, **facts)) if each.name == name]
    assert finding.verdict == verdict
    assert words in f"{finding.words} {finding.remedy}"
    assert finding.remedy


FINE = [
    ("firewall", {"firewall": "all"}, {}, "Nobody else is to come in"),
    ("firewall", {"firewall": None}, {"config": IN_THE_HOUSE}, "keeps nobody"),
    ("firewall", {"firewall": "on", "let_in": True}, {"config": IN_THE_HOUSE}, "lets others speak"),
    ("firewall", {"firewall": "on", "let_in": None, "vouched": True}, {"config": IN_THE_HOUSE}, "lets others speak"),
    ("service", {}, {}, "Not installed"),
    ("service", {"service": DAEMON}, {}, "started 3 times"),
    ("after a start", {"filevault": True}, {}, "before somebody unlocks"),
    ("after a start", {"back_after_power_cut": None}, {}, "Nothing keeps it"),
    (
        "sleep",
        {"sleeps": ("sleep 10",)},
        {"config": Config(server=Server(power=PowerSettings(awake="always")))},
        "Nothing known",
    ),
]


@pytest.mark.parametrize(("name", "changes", "facts", "words"), FINE)
def test_good_news_says_what_was_seen(
    name: str, changes: dict[str, object], facts: dict[str, object], words: str
) -> None:
    (finding,) = [each for each in examine_mac(of(changes, **facts)) if each.name == name]
    assert finding.verdict == "ok"
    assert words in finding.words


def test_every_check_has_trouble_of_its_own() -> None:
    assert {name for name, *_ in TROUBLE} == {check(of({}), AT_REST).name for check in CHECKS}
