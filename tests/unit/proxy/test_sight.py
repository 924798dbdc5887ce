"""Models that do not exist for a caller."""

from __future__ import annotations

import json

import pytest

from controller.auth.access import Principal
from controller.proxy.sight import narrow, narrowed

GUEST = Principal("guest", models=("red*",))
TAGS = b'{ "models":[{"name":"red:latest","size": 1,"x":"\\u2028"},{"name":"blue:1b","model":"blue:1b"}],"more":1}'


def test_what_is_shown_is_as_it_was_byte_for_byte() -> None:
    shown = narrow("/api/tags", TAGS, GUEST)
    assert b'{"name":"red:latest","size": 1,"x":"\\u2028"}' in shown
    assert [each["name"] for each in json.loads(shown)["models"]] == ["red:latest"]
    assert json.loads(shown)["more"] == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"models":3}', b'{"models":[3]}', b'{"models":null}', b'{"models":[{"x":1}]}', b"\xff"],
)
def test_a_list_that_cannot_be_read_is_empty(body: bytes) -> None:
    assert json.loads(narrow("/api/tags", body, GUEST))["models"] == []


def test_an_entry_of_two_names_needs_both() -> None:
    body = b'{"models":[{"name":"red","model":"blue"},{"name":"red","model":"red"}]}'
    assert len(json.loads(narrow("/api/ps", body, GUEST))["models"]) == 1


@pytest.mark.parametrize(("parent", "shown"), [("red:7b", "red:7b"), ("blue:1b", ""), ("", ""), (7, "")])
def test_what_a_model_was_made_from_is_named_to_who_may_know(parent: object, shown: str) -> None:
    entry = {"name": "red", "capabilities": ["completion"], "details": {"context_length": 9, "parent_model": parent}}
    [seen] = json.loads(narrow("/api/tags", json.dumps({"models": [entry]}).encode(), GUEST))["models"]
    assert seen == {**entry, "details": {"context_length": 9, "parent_model": shown}}


def test_an_entry_without_details_is_as_it_was() -> None:
    for details in (b"", b',"details":null', b',"details":{}', b',"details":{"a":"\\u2028"}'):
        entry = b'{"name":"red"%b}' % details
        assert entry in narrow("/api/tags", b'{"models":[%b]}' % entry, GUEST)


def test_lists_alone_are_narrowed_and_only_for_those_with_patterns() -> None:
    assert narrowed("/v1/models", GUEST)
    assert not narrowed("/api/version", GUEST)
    assert not narrowed("/v1/models", Principal("all"))
    assert not narrowed("/v1/models", None)


def test_a_guest_is_told_of_a_model_without_where_it_lies_and_what_it_was_made_of() -> None:
    body = {
        "modelfile": "# FROM blue:1b\nFROM /Volumes/x/blobs/sha256-1\nPARAMETER temperature 1",
        "template": "{{ .Prompt }}",
        "details": {"parent_model": "blue:1b", "format": "gguf"},
    }
    told = json.loads(narrow("/api/show", json.dumps(body).encode(), GUEST))
    assert told == {"modelfile": "", "template": "{{ .Prompt }}", "details": {"parent_model": "", "format": "gguf"}}
    assert narrow("/api/show", b"[", GUEST) == b"{}"


@pytest.mark.parametrize(("parent", "told"), [("red", "red"), ("blue", ""), ("/Volumes/red", ""), ("", "")])
def test_no_list_names_the_hidden_model_that_one_was_made_of(parent: str, told: str) -> None:
    body = json.dumps({"models": [{"name": "red", "details": {"parent_model": parent}}]}).encode()
    (entry,) = json.loads(narrow("/api/tags", body, GUEST))["models"]
    assert entry["details"]["parent_model"] == told


def test_a_child_with_all_models_is_a_guest_all_the_same() -> None:
    child = Principal("kim's key", kind="key", id="K1", role="key", owner_role="child")
    assert narrowed("/api/show", child)
    assert not narrowed("/api/show", Principal("ada's key", kind="key", id="K2", role="key", owner_role="admin"))
