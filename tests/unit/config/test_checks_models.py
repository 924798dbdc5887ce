"""What must fit each other among models, memory and the line; each case is YAML."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.config.load import understand
from controller.config.problem import ConfigInvalid, Problem
from controller.config.schema import Config


def findings(text: str, file: str = "models") -> list[Problem]:
    try:
        understand({f"{file}.yaml": text.encode()}, Path("/c"), {}, look_outside=False)
    except ConfigInvalid as invalid:
        return list(invalid.problems)
    return []


def holds(text: str, file: str = "models") -> tuple[Config, list[str]]:
    """The configuration, and the warnings about it."""
    loaded = understand({f"{file}.yaml": text.encode()}, Path("/c"), {}, look_outside=False)
    return loaded.config, [words for words in loaded.warnings if "is not there" not in words]


@pytest.mark.parametrize(
    ("text", "field", "found", "line", "column"),
    [
        ("models:\n  red: {}\n  RED: {}", "models.models.RED", "red in another spelling", 3, 3),
        ("models:\n  a b: {pin: true}", "models.models['a b']", "'a b'", 2, 3),
        ("redirect:\n  a b: blue", "models.redirect['a b']", "'a b'", 2, 3),
    ],
)
def test_settings_of_models_that_cannot_be_are_found_where_they_stand(
    text: str, field: str, found: str, line: int, column: int
) -> None:
    (problem,) = findings(text)
    assert (problem.field, problem.line, problem.column) == (field, line, column)
    assert found in problem.found


@pytest.mark.parametrize("lane", ["x", "-1", "3.0", "03", "1001", "1e2"])
def test_a_lane_is_a_number_in_one_spelling(lane: str) -> None:
    (problem,) = findings(f"line:\n  lanes:\n    {lane}: {{wait: 5m}}", "server")
    assert (problem.line, problem.column) == (3, 5)
    assert "the number of a lane" in problem.allowed


@pytest.mark.parametrize("lane", ["0", "3", "1.5", "1000"])
def test_any_lane_may_have_times_of_its_own(lane: str) -> None:
    config, warned = holds(f"line: {{lanes: {{{lane}: {{wait: 5m}}}}}}", "server")
    assert config.server.line.lanes[lane].wait == 300
    assert not warned


def test_a_budget_may_be_small_but_not_nothing() -> None:
    assert holds("memory: {budget: 1MiB}", "server")[0].server.memory.budget == 2**20
    (problem,) = findings("memory:\n  budget: 0", "server")
    assert (problem.field, problem.line) == ("server.memory.budget", 2)


@pytest.mark.parametrize(
    "line", ["{min_stay: 1h}", "{times: {wait: 20s}}", "{lanes: {2: {wait: 30s}}}", "{patience: 2h}"]
)
def test_waits_that_end_before_anybody_gets_through_are_told(line: str) -> None:
    assert [words for words in holds(f"line: {line}", "server")[1] if "gives up before" in words]
