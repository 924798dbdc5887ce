from __future__ import annotations

from pathlib import Path

import pytest

from controller.config.load import LoadedConfig, understand
from controller.config.problem import Problem
from controller.config.start import LastGood, how_to_start

GOOD: LoadedConfig = understand({"server.yaml": b"hold: 5s"}, Path("/c"), {})
KEPT = LastGood(GOOD, 1_700_000_000.0)
BROKEN = [Problem(Path("/c/server.yaml"), line, 1, "server", "this", "that") for line in (3, 9)]


@pytest.mark.parametrize("attended", [True, False])
@pytest.mark.parametrize("last_good", [None, KEPT])
def test_a_good_yaml_runs_wherever_it_is_started(last_good: LastGood | None, attended: bool) -> None:
    start = how_to_start(GOOD, last_good, attended=attended)
    assert (start.kind, start.loaded, start.problems) == ("run", GOOD, ())
    assert start.lines == GOOD.warnings


@pytest.mark.parametrize("last_good", [None, KEPT])
def test_in_a_terminal_a_broken_yaml_is_told_in_full_and_nothing_starts(last_good: LastGood | None) -> None:
    start = how_to_start(BROKEN, last_good, attended=True)
    assert (start.kind, start.loaded) == ("leave", None)
    assert start.lines == (*map(str, BROKEN), "2 problems in the YAML; nothing was started.")


def test_under_a_service_manager_the_last_good_copy_runs_and_is_told_with_its_age() -> None:
    start = how_to_start(BROKEN, KEPT, attended=False)
    assert (start.kind, start.loaded) == ("stale", GOOD)
    assert start.problems == tuple(map(str, BROKEN))
    assert "of 2023-11-1" in start.lines[-1]


def test_under_a_service_manager_without_a_copy_it_is_safe_mode_and_never_an_exit() -> None:
    start = how_to_start(BROKEN, None, attended=False)
    assert (start.kind, start.loaded) == ("safe", None)
    assert start.problems == tuple(map(str, BROKEN))
