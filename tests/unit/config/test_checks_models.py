"""What must fit each other among models, memory and the line; each case is YAML."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.config.load import understand
from controller.config.problem import ConfigInvalid, Problem
from controller.config.schema import Config
from controller.engines.ollama.options import OPTIONS, fits, read


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
        ("aliases:\n  a: {base: red}\n  a:latest: {base: red}", "models.aliases['a:latest']", "a in another", 3, 3),
        ("aliases:\n  a:cloud: {base: red}", "models.aliases['a:cloud']", "'a:cloud'", 2, 3),
        ("aliases:\n  a:\n    base: A", "models.aliases.a.base", "the alias itself", 3, 11),
        ("aliases:\n  a:\n    base: b\n  b: {base: red:cloud}", "models.aliases.b.base", "'red:cloud'", 4, 13),
        ("aliases:\n  a: {base: red, options: {num_ctz: 1}}", "models.aliases.a.options.num_ctz", "not know", 2, 28),
        ("aliases:\n  a: {base: red, options: {num_ctx: 4k}}", "models.aliases.a.options.num_ctx", "'4k'", 2, 37),
        ("aliases:\n  a: {base: red, options: {use_mmap: 7}}", "models.aliases.a.options.use_mmap", "'7'", 2, 38),
        ("aliases:\n  a: {base: red, options: {num_ctx: {x: 1}}}", "models.aliases.a.options.num_ctx", "block", 2, 37),
        ("aliases: {A: {base: red}}\nredirect:\n  a:latest: blue", "models.redirect['a:latest']", "alias A", 3, 3),
        ("redirect:\n  a b: blue", "models.redirect['a b']", "'a b'", 2, 3),
    ],
)
def test_settings_of_models_that_cannot_be_are_found_where_they_stand(
    text: str, field: str, found: str, line: int, column: int
) -> None:
    (problem,) = findings(text)
    assert (problem.field, problem.line, problem.column) == (field, line, column)
    assert found in problem.found


def test_aliases_that_lead_in_a_circle_are_found_each() -> None:
    problems = findings("aliases:\n  a: {base: b}\n  b: {base: C}\n  c: {base: 'a:latest'}\n  d: {base: a}")
    assert [problem.line for problem in problems] == [2, 3, 4]
    assert all("leads back" in problem.found for problem in problems)


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


def test_options_become_what_ollama_wants_of_each() -> None:
    options = "{num_ctx: 4096, temperature: 1, top_p: 0.5, use_mmap: no, stop: [a, '7'], seed: '5', num_gpu: -1}"
    config, warned = holds(f"aliases: {{a: {{base: red, options: {options}}}}}")
    assert config.models.aliases["a"].options == {
        "num_ctx": 4096, "temperature": 1, "top_p": 0.5, "use_mmap": False, "stop": ["a", "7"], "seed": 5,
        "num_gpu": -1,
    }  # fmt: skip
    assert not warned


@given(st.sampled_from(sorted(OPTIONS)), st.text(max_size=12) | st.integers().map(str) | st.floats().map(str))
def test_whatever_is_written_for_an_option_either_fits_or_stays_what_was_written(name: str, text: str) -> None:
    value = read(name, text)
    assert isinstance(value, bool | int | float | str)
    assert fits(name, value) or value == text or isinstance(value, int | float)


def test_an_alias_may_have_an_alias_for_its_base_and_stand_beside_a_redirect() -> None:
    config, warned = holds("aliases: {a: {base: red}, b: {base: a}}\nredirect: {gpt-4o*: b}")
    assert list(config.models.aliases) == ["a", "b"]
    assert not warned


def test_a_pattern_that_takes_an_alias_its_callers_is_told() -> None:
    _, warned = holds("aliases: {gpt-4o-mini: {base: red}, gpt-4o: {base: red}}\nredirect: {GPT-4o*: gpt-4o}")
    assert [words for words in warned if "gpt-4o-mini" in words] == warned != []


@pytest.mark.parametrize(
    "line", ["{min_stay: 1h}", "{times: {wait: 20s}}", "{lanes: {2: {wait: 30s}}}", "{patience: 2h}"]
)
def test_waits_that_end_before_anybody_gets_through_are_told(line: str) -> None:
    assert [words for words in holds(f"line: {line}", "server")[1] if "gives up before" in words]
