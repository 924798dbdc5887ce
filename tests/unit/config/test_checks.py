"""Values that must fit each other; each case is the YAML of server.yaml, or of the file it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.config.checks import OLLAMA_VARIABLES, warnings
from controller.config.load import understand
from controller.config.problem import ConfigInvalid, Problem
from controller.config.schema import Config


def findings(text: str, file: str = "server") -> list[Problem]:
    try:
        understand({f"{file}.yaml": text.encode()}, Path("/c"), {}, look_outside=False)
    except ConfigInvalid as invalid:
        return list(invalid.problems)
    return []


def listeners(*entries: str) -> str:
    return "listeners:\n" + "".join(f"- {{{entry}}}\n" for entry in entries)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("127.0.0.1:1", "127.0.0.1:01"),
        ("127.0.0.1:1", "localhost:1"),
        ("127.0.0.1:1", "0.0.0.0:1"),
        ("'[::]:1'", "192.168.1.2:1"),
        ("unix:/a", "unix:/a"),
    ],
)
def test_two_listeners_cannot_have_one_address(first: str, second: str) -> None:
    (found,) = findings(listeners(f"address: {first}", f"address: {second}"))
    assert (found.line, found.field) == (3, "server.listeners[1].address")
    assert "listens on already" in found.found


@pytest.mark.parametrize("second", ["127.0.0.1:2", "192.168.1.2:1", "unix:/a", "127.0.0.2:1"])
def test_listeners_with_addresses_of_their_own_stand_beside_each_other(second: str) -> None:
    assert not findings(listeners("address: 127.0.0.1:1", f"address: {second}"))


def test_any_number_of_listeners_may_ask_for_a_free_port() -> None:
    assert not findings(listeners("address: 127.0.0.1:0", "address: localhost:0"))


def test_there_is_one_tunnel_listener_at_most() -> None:
    (found,) = findings(listeners("address: 127.0.0.1:1, kind: tunnel", "address: 127.0.0.1:2, kind: tunnel"))
    assert (found.line, found.field) == (3, "server.listeners[1].kind")


@pytest.mark.parametrize("address", ["0.0.0.0:1", "192.168.1.2:1", "mini.local:1"])
def test_a_tunnel_listener_is_out_of_reach_for_other_machines(address: str) -> None:
    (found,) = findings(listeners(f"address: {address}, kind: tunnel"))
    assert "is believed" in found.allowed


@pytest.mark.parametrize(
    ("text", "field", "line"),
    [
        ("ollama:\n  mode: external", "server.ollama.url", 2),
        ("ollama:\n  mode: adopt\n  url: http://192.168.1.3:11434", "server.ollama.url", 3),
        ("ollama:\n  mode: external\n  url: http://localhost:8420", "server.ollama.url", 3),
        ("ollama:\n  mode: adopt\nlisteners: [{address: '127.0.0.1:11434'}]", "server.ollama.url", 2),
        ("ollama:\n  port: 8420", "server.ollama.port", 2),
        ("tunnel:\n  mode: token", "server.tunnel.token_file", 2),
        ("tunnel:\n  edge: [127.0.0.1:1]", "server.tunnel.edge", 2),
        ("ollama:\n  environment:\n    OLLAMA_HOST: x", "server.ollama.environment.OLLAMA_HOST", 3),
        ("ollama:\n  environment:\n    OLLAMA_DEBUG: 2", "server.ollama.environment.OLLAMA_DEBUG", 3),
        ("ollama:\n  environment:\n    A=B: x", "server.ollama.environment['A=B']", 3),
        ("tunnel:\n  environment:\n    TUNNEL_TOKEN: x", "server.tunnel.environment.TUNNEL_TOKEN", 3),
        ("children:\n  x:\n    command: [a]\n    environment: {1A: x}", "server.children.x.environment.1A", 4),
    ],
)
def test_values_that_do_not_fit_each_other_are_located(text: str, field: str, line: int) -> None:
    (found,) = findings(text)
    assert (found.field, found.line, found.outside) == (field, line, False)


@pytest.mark.parametrize(
    "text",
    [
        "ollama: {mode: external, url: 'http://192.168.1.3:11434'}",
        "ollama: {mode: adopt}",
        "ollama: {environment: {OLLAMA_DEBUG: 1, OLLAMA_GPU_OVERHEAD: 1, HTTPS_PROXY: x}}",
        "tunnel: {mode: quick}",
        "tunnel: {mode: token, token_file: x}",
        "tunnel: {edge: ['127.0.0.1:1', '127.0.0.1:2']}",
        "children: {caffeinate: {command: [a], environment: {OLLAMA_HOST: x}}}",
    ],
)
def test_values_that_fit_each_other_are_taken(text: str) -> None:
    assert not findings(text)


def test_a_named_tunnel_needs_all_three_of_its_settings() -> None:
    needed = {"server.tunnel.tunnel_id", "server.tunnel.credentials_file", "server.tunnel.hostnames"}
    assert {each.field for each in findings("tunnel: {mode: named}")} == needed


@pytest.mark.parametrize(
    "name", ["ollama", "tunnel", "controller", "gateway", "Awake", "1st", "a b", "a/b", "..", "a" * 33]
)
def test_a_child_has_a_name_that_is_usable_and_free(name: str) -> None:
    (found,) = findings(f"children:\n  {name!r}: {{command: [a]}}")
    assert (found.line, found.column) == (2, 3)


@pytest.mark.parametrize("variable", OLLAMA_VARIABLES)
def test_what_seadragon_sets_for_ollama_is_refused_with_the_place_to_say_it(variable: str) -> None:
    (found,) = findings(f"ollama: {{environment: {{{variable}: x}}}}")
    assert OLLAMA_VARIABLES[variable] in found.allowed


def test_a_smaller_context_memory_needs_flash_attention() -> None:
    (found,) = findings("flash_attention: false\nkv_cache_type: q8_0", "models")
    assert (found.field, found.line) == ("models.kv_cache_type", 2)
    assert not findings("flash_attention: false\nkv_cache_type: f16", "models")
    assert not findings("kv_cache_type: q4_0", "models")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"server": {"listeners": [{"address": "0.0.0.0:1"}]}}, "can be reached from other machines"),
        ({"server": {"ollama": {"url": "http://h:1"}}}, "no effect with mode: spawn"),
        ({"access": {"origins": ["http://localhost:*", "null"]}}, "lets in every page of the web"),
        ({"access": {"allow": [{"label": "us", "addresses": ["10.0.0.0/24"], "manage": True}]}}, "may pull and delete"),
        (
            {"access": {"allow": [{"label": "a", "addresses": ["::1/128"]}, {"label": "b", "addresses": ["::1"]}]}},
            "access.allow[1]: never used",
        ),
    ],
)  # fmt: skip
def test_what_is_allowed_and_worth_a_word_is_a_warning(data: dict[str, object], words: str) -> None:
    (found,) = warnings(Config.model_validate(data))
    assert words in found


def test_the_defaults_warn_of_nothing() -> None:
    assert not list(warnings(Config()))
