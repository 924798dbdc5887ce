"""What must hold of the YAML's part about Ollama; each case is the YAML of one file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.config.checks import warnings
from controller.config.load import understand
from controller.config.problem import ConfigInvalid, Problem
from controller.config.schema import Config
from controller.engines.ollama.options import OPTIONS, fits, read
from controller.engines.ollama.rules import VARIABLES


def findings(text: str, file: str = "models") -> list[Problem]:
    try:
        understand({f"{file}.yaml": text.encode()}, Path("/c"), {}, look_outside=False)
    except ConfigInvalid as invalid:
        return list(invalid.problems)
    return []


def holds(text: str) -> tuple[Config, list[str]]:
    """The configuration, and the warnings about it."""
    loaded = understand({"models.yaml": text.encode()}, Path("/c"), {}, look_outside=False)
    return loaded.config, [words for words in loaded.warnings if "is not there" not in words]


@pytest.mark.parametrize(
    ("text", "field", "line"),
    [
        ("ollama:\n  mode: external", "server.ollama.url", 2),
        ("ollama:\n  mode: adopt\n  url: http://192.168.1.3:11434", "server.ollama.url", 3),
        ("ollama:\n  mode: external\n  url: http://localhost:8420", "server.ollama.url", 3),
        ("ollama:\n  mode: adopt\nlisteners: [{address: '127.0.0.1:11434'}]", "server.ollama.url", 2),
        ("ollama:\n  port: 8420", "server.ollama.port", 2),
        ("ollama:\n  environment:\n    OLLAMA_HOST: x", "server.ollama.environment.OLLAMA_HOST", 3),
        ("ollama:\n  environment:\n    OLLAMA_DEBUG: 2", "server.ollama.environment.OLLAMA_DEBUG", 3),
        ("ollama:\n  environment:\n    A=B: x", "server.ollama.environment['A=B']", 3),
    ],
)
def test_settings_of_ollama_that_do_not_fit_each_other_are_located(text: str, field: str, line: int) -> None:
    (found,) = findings(text, "server")
    assert (found.field, found.line, found.outside) == (field, line, False)


@pytest.mark.parametrize(
    "text",
    [
        "ollama: {mode: external, url: 'http://192.168.1.3:11434'}",
        "ollama: {mode: adopt}",
        "ollama: {environment: {OLLAMA_DEBUG: 1, OLLAMA_GPU_OVERHEAD: 1, HTTPS_PROXY: x}}",
    ],
)
def test_settings_of_ollama_that_fit_each_other_are_taken(text: str) -> None:
    assert not findings(text, "server")


@pytest.mark.parametrize("variable", VARIABLES)
def test_what_seadragon_sets_for_ollama_is_refused_with_the_place_to_say_it(variable: str) -> None:
    (found,) = findings(f"ollama: {{environment: {{{variable}: x}}}}", "server")
    assert VARIABLES[variable] in found.allowed


def test_a_smaller_context_memory_needs_flash_attention() -> None:
    (found,) = findings("flash_attention: false\nkv_cache_type: q8_0")
    assert (found.field, found.line) == ("models.kv_cache_type", 2)
    assert not findings("flash_attention: false\nkv_cache_type: f16")
    assert not findings("kv_cache_type: q4_0")


def test_an_address_that_has_no_effect_is_told() -> None:
    (found,) = warnings(Config.model_validate({"server": {"ollama": {"url": "http://h:1"}}}))
    assert "no effect with mode: spawn" in found


@pytest.mark.parametrize(
    ("text", "field", "found", "line", "column"),
    [
        ("aliases:\n  a: {base: red}\n  a:latest: {base: red}", "models.aliases['a:latest']", "a in another", 3, 3),
        ("aliases:\n  a:cloud: {base: red}", "models.aliases['a:cloud']", "'a:cloud'", 2, 3),
        ("aliases:\n  a:\n    base: A", "models.aliases.a.base", "the alias itself", 3, 11),
        ("aliases:\n  a:\n    base: b\n  b: {base: red:cloud}", "models.aliases.b.base", "'red:cloud'", 4, 13),
        ("aliases:\n  a: {base: red, options: {num_ctz: 1}}", "models.aliases.a.options.num_ctz", "not know", 2, 28),
        ("aliases:\n  a: {base: red, options: {num_ctx: 4k}}", "models.aliases.a.options.num_ctx", "'4k'", 2, 37),
        ("aliases:\n  a: {base: red, options: {use_mmap: 7}}", "models.aliases.a.options.use_mmap", "'7'", 2, 38),
        ("aliases:\n  a: {base: red, options: {num_ctx: {x: 1}}}", "models.aliases.a.options.num_ctx", "block", 2, 37),
        ("aliases: {A: {base: red}}\nredirect:\n  a:latest: blue", "models.redirect['a:latest']", "alias A", 3, 3),
    ],
)
def test_aliases_that_cannot_be_are_found_where_they_stand(
    text: str, field: str, found: str, line: int, column: int
) -> None:
    (problem,) = findings(text)
    assert (problem.field, problem.line, problem.column) == (field, line, column)
    assert found in problem.found


def test_aliases_that_lead_in_a_circle_are_found_each() -> None:
    problems = findings("aliases:\n  a: {base: b}\n  b: {base: C}\n  c: {base: 'a:latest'}\n  d: {base: a}")
    assert [problem.line for problem in problems] == [2, 3, 4]
    assert all("leads back" in problem.found for problem in problems)


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
