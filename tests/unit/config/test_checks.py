"""Values that must fit each other; each case is the YAML of server.yaml, or of the file it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.config.checks import warnings
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
        ("tunnel:\n  mode: token", "server.tunnel.token_file", 2),
        ("tunnel:\n  edge: [127.0.0.1:1]", "server.tunnel.edge", 2),
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


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"server": {"listeners": [{"address": "0.0.0.0:1"}]}}, "can be reached from other machines"),
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
