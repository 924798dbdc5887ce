from __future__ import annotations

import pytest

from controller.config.processes import TUNNEL
from controller.config.schema import Config
from controller.config.tree import ANY, Leaf, keys_at, leaf_at, leaves
from controller.engines.ollama.settings import OLLAMA
from controller.settings.impact import OWN
from tests.kit.every_setting import OTHER


def name(leaf: Leaf) -> str:
    return ".".join(leaf.path)


@pytest.mark.parametrize("leaf", leaves(), ids=name)
def test_every_setting_says_what_it_is_and_exactly_once_when_it_takes_effect(leaf: Leaf) -> None:
    assert len(leaf.impacts) == 1
    assert leaf.field.description
    assert leaf.field.description.endswith((".", ")"))
    assert leaf.allowed


@pytest.mark.parametrize("leaf", leaves(), ids=name)
def test_every_setting_that_touches_a_child_names_one_that_can_be_meant(leaf: Leaf) -> None:
    expected = {OWN} if "children" in leaf.path else {OLLAMA, TUNNEL}
    assert leaf.impact.target in (expected if leaf.impact.kind in ("drains", "restarts") else {""})


def test_every_setting_is_known_to_the_tests_that_change_each() -> None:
    assert [name(leaf) for leaf in leaves()] == list(OTHER)


def test_a_place_in_the_yaml_leads_to_its_setting() -> None:
    found = leaf_at(("server", "listeners", 3, "address"))
    assert found is not None
    assert found.path == ("server", "listeners", ANY, "address")
    assert leaf_at(("server", "ollama", "environment", "NAME")) == leaf_at(("server", "ollama", "environment"))
    assert leaf_at(("server", "prefixes", 2)) == leaf_at(("server", "prefixes"))


@pytest.mark.parametrize("location", [("server",), ("nowhere",), ("server", "children", "x"), ("server", "x", "y")])
def test_a_place_that_is_no_setting_leads_to_none(location: tuple[str, ...]) -> None:
    assert leaf_at(location) is None


def test_the_keys_of_a_block_are_known_and_those_an_operator_chooses_are_not() -> None:
    assert keys_at(("server", "log")) == ("level", "access", "file_size", "files")
    assert keys_at(("server", "children", "any name"))[0] == "command"
    assert keys_at(("server", "children")) == keys_at(("server", "hold")) == keys_at(("x",)) == ()
    assert keys_at(()) == ("server", "models", "access")


@pytest.mark.parametrize(
    ("way", "allowed", "default"),
    [
        ("server.hold", "(at least 0 s, at most 86400 s)", "60 s"),
        ("server.limits.body", "(at least 1 KiB)", "32 MiB"),
        ("server.ollama.port", "a whole number (at least 1024, at most 65535), or empty", "empty"),
        ("models.keep_alive", "or forever", "forever"),
        ("server.memory.budget", "auto or a size", "auto"),
        ("server.line.lanes.*.wait", "or empty", "empty"),
        ("models.aliases.*.options", "num_ctx: 16384", "{}"),
        ("models.redirect", "gpt-4o*: qwen3:32b", "{}"),
        ("server.tunnel.mode", "one of off, token, named, quick", "off"),
        ("server.log.access", "true or false", "true"),
        ("server.prefixes", "a list, each a path", "[/api/code, /ollama]"),
        ("server.ollama.environment", "NAME: value", "(not shown)"),
    ],
)
def test_a_setting_says_what_it_allows_and_its_default_for_people(way: str, allowed: str, default: str) -> None:
    leaf = next(each for each in leaves() if name(each) == way)
    assert allowed in leaf.allowed
    assert leaf.write(leaf.field.get_default(call_default_factory=True, validated_data={})) == default


def test_a_block_of_settings_by_name_is_walked_to_its_end() -> None:
    found = leaf_at(("models", "models", "qwen3:32b", "times", "gap"))
    assert found is not None
    assert found.path == ("models", "models", ANY, "times", "gap")
    assert keys_at(("server", "line", "lanes", "3")) == ("wait", "load", "first_byte", "gap", "answer")
    assert leaf_at(("models", "redirect", "gpt-4o*")) == leaf_at(("models", "redirect"))


def test_secrets_and_paths_are_marked() -> None:
    assert {name(leaf) for leaf in leaves() if leaf.private} == {
        "server.ollama.environment",
        "server.tunnel.environment",
        "server.children.*.environment",
    }
    assert "models.folder" in {name(leaf) for leaf in leaves() if leaf.is_path}


def test_a_configuration_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().server.hold = 1  # type: ignore[misc]  # what the test is about
