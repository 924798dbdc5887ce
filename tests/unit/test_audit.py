"""What the audit of dependencies makes of an answer, and of none."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence

from tests.kit.audit import audit, verdict

CLEAN = {"name": "anyio", "version": "4.0", "vulns": []}
HOLE = {"name": "jinja2", "version": "3.0", "vulns": [{"id": "CVE-1", "fix_versions": ["3.1.6"]}]}


def answer(*packages: object) -> str:
    return json.dumps({"dependencies": packages})


def test_a_known_hole_fails_the_proof_and_says_where_it_is_mended() -> None:
    assert verdict(0, answer(CLEAN, HOLE), "") == (["jinja2 3.0: CVE-1; mended in 3.1.6"], 1)


def test_no_known_hole_is_told_with_how_many_were_asked_about() -> None:
    assert verdict(0, answer(CLEAN), "") == (["seadragon: 1 dependencies, none with a known hole."], 0)


def test_without_a_network_it_says_so_and_goes_on() -> None:
    for said in ("", "not JSON", "[]", answer()):
        (line,), code = verdict(0, said, "trace\nConnectionError: no route")
        assert code == 0
        assert line.endswith("going on without: ConnectionError: no route")


def test_a_tool_that_cannot_be_started_is_no_network_either() -> None:
    def none(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        raise FileNotFoundError("no uv")

    assert audit("uv", none) == (["seadragon: the dependencies could not be audited, going on without: no uv"], 0)


def test_every_locked_package_is_asked_about_and_none_of_the_tests_own() -> None:
    calls: list[Sequence[str]] = []

    def tool(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        calls.append(argv)
        return subprocess.CompletedProcess(argv, 0, answer(CLEAN) if "pip-audit" in argv else "anyio==4.0", "")

    assert audit("uv", tool)[1] == 0
    assert "--no-default-groups" in calls[0]
    assert {"--locked", "--require-hashes"} <= {*calls[0], *calls[1]}
