"""Models that do not exist for a caller."""

from __future__ import annotations

import json

import pytest

from controller.auth.access import Principal
from controller.proxy.sight import picked, shown, view_of
from controller.residency.meaning import Meanings

NONE = Meanings()
REDIRECTED = Meanings({"gpt-4o": "library/red", "gpt-*": "red", "blue:1b": "red", "away": "green"})
GUEST = Principal("guest", models=("red*",))
TAGS = b'{ "models":[{"name":"red:latest","size": 1,"x":"\\u2028"},{"name":"blue:1b","model":"blue:1b"}],"more":1}'


def test_what_is_shown_is_as_it_was_byte_for_byte() -> None:
    seen = shown("/api/tags", TAGS, GUEST, NONE)
    assert b'{"name":"red:latest","size": 1,"x":"\\u2028"}' in seen
    assert [each["name"] for each in json.loads(seen)["models"]] == ["red:latest"]
    assert json.loads(seen)["more"] == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"models":3}', b'{"models":[3]}', b'{"models":null}', b'{"models":[{"x":1}]}', b"\xff"],
)
def test_a_list_that_cannot_be_read_is_empty(body: bytes) -> None:
    assert json.loads(shown("/api/tags", body, GUEST, NONE))["models"] == []


def test_an_entry_of_two_names_needs_both() -> None:
    body = b'{"models":[{"name":"red","model":"blue"},{"name":"red","model":"red"}]}'
    assert len(json.loads(shown("/api/ps", body, GUEST, NONE))["models"]) == 1


def test_a_list_is_shown_as_it_comes_to_who_may_see_all_of_it() -> None:
    for who in (None, Principal("all")):
        assert view_of("/v1/models", who, NONE) is None
        assert view_of("/v1/models", who, Meanings({"gpt-*": "red"})) is None
        assert view_of("/v1/models", who, REDIRECTED) is not None
        assert view_of("/api/ps", who, REDIRECTED) is None
    assert view_of("/v1/models", GUEST, NONE) is not None
    assert view_of("/api/version", GUEST, REDIRECTED) is None


def test_a_name_that_means_another_has_the_whole_record_of_that_one_and_a_hidden_one_has_none() -> None:
    models = json.loads(shown("/api/tags", TAGS, None, REDIRECTED))["models"]
    assert models == [
        {"name": "red:latest", "size": 1, "x": "\u2028"},
        {"name": "gpt-4o", "size": 1, "x": "\u2028"},
        {"name": "blue:1b", "size": 1, "x": "\u2028"},  # the model of that name cannot be asked for any more
    ]
    assert not json.loads(shown("/api/tags", TAGS, Principal("x", models=("gpt*", "blue*")), REDIRECTED))["models"]
    data = b'{"object":"list","data":[{"id":"red:latest","object":"model","created":1,"owned_by":"library"}]}'
    assert [each["id"] for each in json.loads(shown("/v1/models", data, None, REDIRECTED))["data"]] == [
        "red:latest",
        "gpt-4o",
        "blue:1b",
    ]


def test_one_of_a_list_is_found_by_any_of_its_names() -> None:
    body = b'{"data":[{"id":"hf.co/Me/Name:Q4","x": 1},{"id":"red:latest"}]}'
    assert picked(body, "HF.co/me/name:q4") == b'{"id":"hf.co/Me/Name:Q4","x": 1}'
    assert picked(body, "hf.co/me/name") is None
    assert picked(b"[]", "red") is None


def told_of(body: bytes) -> bytes:
    view = view_of("/api/show", GUEST, NONE)
    assert view is not None
    return view(body) or b""


@pytest.mark.parametrize(("parent", "named"), [("red:7b", "red:7b"), ("blue:1b", ""), ("", ""), (7, "")])
def test_what_a_model_was_made_from_is_named_to_who_may_know(parent: object, named: str) -> None:
    entry = {"name": "red", "capabilities": ["completion"], "details": {"context_length": 9, "parent_model": parent}}
    [seen] = json.loads(shown("/api/tags", json.dumps({"models": [entry]}).encode(), GUEST, NONE))["models"]
    assert seen == {**entry, "details": {"context_length": 9, "parent_model": named}}


def test_an_entry_without_details_is_as_it_was() -> None:
    for details in (b"", b',"details":null', b',"details":{}', b',"details":{"a":"\\u2028"}'):
        entry = b'{"name":"red"%b}' % details
        assert entry in shown("/api/tags", b'{"models":[%b]}' % entry, GUEST, NONE)


def test_a_guest_is_told_of_a_model_without_where_it_lies_and_what_it_was_made_of() -> None:
    body = {
        "modelfile": "# FROM blue:1b\nFROM /Volumes/x/blobs/sha256-1\nPARAMETER temperature 1",
        "template": "{{ .Prompt }}",
        "details": {"parent_model": "blue:1b", "format": "gguf"},
    }
    told = json.loads(told_of(json.dumps(body).encode()))
    assert told == {"modelfile": "", "template": "{{ .Prompt }}", "details": {"parent_model": "", "format": "gguf"}}
    assert told_of(b"[") == b"{}"


@pytest.mark.parametrize(("parent", "told"), [("red", "red"), ("blue", ""), ("/Volumes/red", ""), ("", "")])
def test_no_list_names_the_hidden_model_that_one_was_made_of(parent: str, told: str) -> None:
    body = json.dumps({"models": [{"name": "red", "details": {"parent_model": parent}}]}).encode()
    (entry,) = json.loads(shown("/api/tags", body, GUEST, NONE))["models"]
    assert entry["details"]["parent_model"] == told


def test_a_child_with_all_models_is_a_guest_all_the_same() -> None:
    child = Principal("kim's key", kind="key", id="K1", role="key", owner_role="child")
    assert view_of("/api/show", child, NONE)
    assert (
        view_of("/api/show", Principal("ada's key", kind="key", id="K2", role="key", owner_role="admin"), NONE) is None
    )
