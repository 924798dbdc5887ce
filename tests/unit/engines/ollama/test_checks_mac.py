"""Every verdict on Ollama on a Mac, from facts alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.doctor.findings import Facts, Finding
from controller.doctor.findings_mac import Mac
from controller.engines.ollama.checks import judged
from controller.engines.ollama.checks_mac import CHECKS
from tests.unit.doctor.test_checks import WELL, running
from tests.unit.doctor.test_checks_mac import AGENT, AT_REST, DAEMON
from tests.unit.engines.ollama.test_checks import SEEN

OF_OLLAMA = ("made_for", "quarantined")

LOST = running(children={"ollama": {"state": "gpu lost", "reason": "r"}})


def findings(changes: dict[str, object], **facts: object) -> list[Finding]:
    """Of an Ollama in order on a Mac at rest, but for `changes`."""
    of_ollama = {name: value for name, value in changes.items() if name in OF_OLLAMA}
    of_mac = {name: value for name, value in changes.items() if name not in OF_OLLAMA}
    seen = replace(SEEN, **{"made_for": frozenset({"arm64", "x86_64"}), **of_ollama})  # type: ignore[arg-type]  # the tables are typed by what the checks make of them
    mac: Mac = replace(AT_REST, **of_mac)  # type: ignore[arg-type]  # as above
    machine: Facts = replace(WELL, platform="darwin", mac=mac, **facts)  # type: ignore[arg-type]  # as above
    return judged(seen).examine_mac(machine, mac)


def test_an_ollama_in_order_on_a_mac_at_rest_gets_only_good_news() -> None:
    assert {finding.verdict for finding in findings({})} == {"ok"}


TROUBLE = [
    ("macos", "fail", {"version": (13, 6)}, {}, "macOS 13.6 is too old for Ollama"),
    ("processor", "fail", {"translated": True}, {}, "arch -arm64 make setup"),
    ("processor", "fail", {"made_for": frozenset({"x86_64"})}, {}, "/usr/bin/ollama is made for Intel Macs"),
    ("gpu", "fail", {}, {"running": LOST}, "seadragon restart ollama"),
    ("gpu", "fail", {"service": AGENT}, {"running": LOST}, "seadragon restart ollama"),
    ("gpu", "fail", {"service": DAEMON}, {"running": LOST}, "seadragon install --agent"),
    ("quarantine", "warn", {"quarantined": True}, {}, "xattr -dr com.apple.quarantine /usr/bin/ollama"),
]


@pytest.mark.parametrize(("name", "verdict", "changes", "facts", "words"), TROUBLE)
def test_trouble_is_found_and_told_with_what_to_do(
    name: str, verdict: str, changes: dict[str, object], facts: dict[str, object], words: str
) -> None:
    (finding,) = [each for each in findings(changes, **facts) if each.name == name]
    assert finding.verdict == verdict
    assert words in f"{finding.words} {finding.remedy}"
    assert finding.remedy


FINE = [
    ("macos", {"version": ()}, {}, "does not say"),
    ("processor", {"silicon": False, "made_for": frozenset({"x86_64"})}, {}, "made for this Mac"),
    ("processor", {"made_for": frozenset()}, {}, "made for this Mac"),
    ("gpu", {}, {"running": running()}, "Nothing speaks against it"),
]


@pytest.mark.parametrize(("name", "changes", "facts", "words"), FINE)
def test_what_is_no_fault_is_not_made_one(
    name: str, changes: dict[str, object], facts: dict[str, object], words: str
) -> None:
    (finding,) = [each for each in findings(changes, **facts) if each.name == name]
    assert finding.verdict == "ok"
    assert words in f"{finding.words} {finding.remedy}"


def test_the_tables_above_reach_every_check() -> None:
    names = {finding.name for finding in findings({})}
    assert len(names) == len(CHECKS)
    assert {row[0] for row in TROUBLE} == names
