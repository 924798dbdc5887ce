"""What a request becomes before it goes upstream: only what must change, and nothing else by a byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.answering.question import Keep
from controller.engines.ollama.inside import LLAMA_SERVER, OWN_RUNNER, Inside
from controller.proxy.adjust import (
    LONGEST_TOLD,
    Adjusted,
    Clamps,
    adjust,
    named,
    renamed,
    told_header,
    without_value,
)
from controller.proxy.peek import Peeked, peek
from controller.proxy.routes import Match, Route, find
from controller.refusal import Refused
from controller.residency.meaning import Meanings
from tests.kit.examples import examples

NONE = Clamps(Meanings({}))


def route(path: str) -> Route:
    match = find("POST", path)
    assert isinstance(match, Match)
    return match.route


def adjusted(
    body: bytes,
    clamps: Clamps = NONE,
    path: str = "/api/chat",
    *,
    default: str = "",
    manage: bool = False,
    inside: Inside = LLAMA_SERVER,
) -> Adjusted:
    asked = peek(body, route(path).subject)
    assert isinstance(asked, Peeked)
    found = adjust(body, asked, route(path), clamps, inside.at_load, default=default, manage=manage)
    assert isinstance(found, Adjusted)
    return found


def test_what_needs_no_change_is_the_very_same_body() -> None:
    body = b'{ "model" : "qwen3", "messages":[{"content":"\\u003c \xc3\xa9"}], "options":{"temperature":1.0e0} } '
    found = adjusted(body, Clamps(Meanings({"gpt-*": "qwen3"}), default="llama3"))
    assert found.body is body
    assert (found.model, list(found.told), found.keep) == ("qwen3", [], None)


_names = st.sampled_from(["format", "think", "raw", "suffix", "x", "tools", "é", 'a"b', "stream"])
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
_options = st.dictionaries(
    st.sampled_from([*sorted(LLAMA_SERVER.fixed), "temperature", "seed", "stop"]), _values, max_size=5
)


@examples(500)
@given(
    st.dictionaries(_names, _values, max_size=5),
    _options,
    st.sampled_from([None, "", "gpt-4o", "qwen3"]),
    st.sampled_from([None, 5, "5m", -1, 0]),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_a_changed_body_means_the_same_but_for_its_changes(
    rest: dict[str, Any], options: dict[str, Any], model: str | None, keep: object, ascii_only: bool, random: Any
) -> None:
    asked: dict[str, Any] = {**rest, "messages": [1], "options": options}
    if model is not None:
        asked["model"] = model
    if keep is not None:
        asked["keep_alive"] = keep
    items = list(asked.items())
    random.shuffle(items)
    separators = random.choice([(",", ":"), (", ", ": "), (" ,\n", " :\t")])
    body = json.dumps(dict(items), separators=separators, ensure_ascii=ascii_only).encode()
    found = adjusted(body, Clamps(Meanings({"gpt-*": "llama3"}), default="fallback"))
    wanted = {name: value for name, value in asked.items() if name != "keep_alive"}
    wanted["options"] = {name: value for name, value in options.items() if name not in LLAMA_SERVER.fixed}
    wanted["model"] = {None: "fallback", "": "fallback", "gpt-4o": "llama3"}.get(model, model)
    assert json.loads(found.body) == wanted
    assert found.model == wanted["model"]
    for value in rest.values():  # untouched, byte for byte
        assert json.dumps(value, separators=separators, ensure_ascii=ascii_only).encode() in found.body
    assert bool(found.told) == (found.body != body)


_scraps = st.lists(
    st.sampled_from(
        [
            b"{",
            b"}",
            b",",
            b":",
            b" ",
            b'"model"',
            b'"m"',
            b'"options"',
            b'{"num_ctx":1}',
            b'"keep_alive"',
            b"0",
            b"\\ud8",
        ]
        + [b'"\\ud800"', b"\xff", b'"options":{"num_ctx":1},', b'"num_ctx":2', b"null", b"[", b"]", b'"OPTIONS"']
    ),
    max_size=14,
)


@examples(2000)
@given(_scraps)
def test_no_body_upsets_it_and_none_brings_a_fixed_option_past_it(scraps: list[bytes]) -> None:
    body = b"{" + b"".join(scraps) + b"}"
    asked = peek(body, "messages")
    if isinstance(asked, Refused):
        return
    found = adjust(
        body, asked, route("/api/chat"), Clamps(Meanings({"m": "n"}), default="d", max_tokens=5), LLAMA_SERVER.at_load
    )
    if isinstance(found, Refused):
        return
    after = peek(found.body, "messages")
    assert isinstance(after, Peeked)
    assert after.top.sure
    options = after.top.value("options")
    if options is not None and options.startswith(b"{"):
        assert b"num_ctx" not in options
        assert found.body.count(b"num_ctx") == found.body.count(b'"num_ctx":2')  # a member of the top means nothing
    assert after.top.value("keep_alive") in (None, b"null")


def test_members_that_go_leave_no_comma_behind() -> None:
    for body in (
        b'{"keep_alive":5,"model":"m"}',
        b'{"model":"m","keep_alive":5}',
        b'{"keep_alive":5}',
        b'{"model":"m" , "keep_alive" : 5 , "stream":false}',
    ):
        left = json.loads(adjusted(body).body)
        assert "keep_alive" not in left


def test_options_that_are_fixed_at_load_are_dropped_and_told() -> None:
    found = adjusted(b'{"model":"m","messages":[1],"options":{"num_ctx":9,"seed":1,"NUM_GPU":0}}')
    assert found.body == b'{"model":"m","messages":[1],"options":{"seed":1}}'
    assert list(found.told) == ["num_ctx dropped", "num_gpu dropped"]


@pytest.mark.parametrize("spelling", [b'"shift":false', b'"SHIFT":true', b'"\\u0073hift":false', b'"shift":1'])
def test_a_member_that_loads_the_model_anew_is_dropped_and_told(spelling: bytes) -> None:
    body = b'{"model":"m",%b,"messages":[1]}' % spelling
    found = adjusted(body)
    assert found.body == b'{"model":"m","messages":[1]}'
    assert list(found.told) == ["shift dropped"]
    for kept in (adjusted(body, inside=OWN_RUNNER), adjusted(body, path="/api/embed")):  # there it means nothing
        assert "shift" in json.loads(kept.body)
        assert not kept.told


def test_a_member_that_says_nothing_stays() -> None:
    body = b'{"model":"m","shift":null,"messages":[1],"options":{"draft_num":1}}'
    assert adjusted(body).body is body
    assert list(adjusted(b'{"model":"m","messages":[1],"options":{"draft_num_predict":9}}').told) == [
        "draft_num_predict dropped"
    ]


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","options":{"num_ctx":9,"seed":1,"seed":1}}',
        b'{"model":"m","OPTIONS":{"num_ctx":9}}',
        b'{"model":"m","options":{"num_\\u0063tx":9}}',
        b'{"model":"m","options":{"num_ctx":9}} {"options":{}}',
    ],
)
def test_no_spelling_smuggles_one_past(body: bytes) -> None:
    found = adjusted(body).body
    assert b"num_" not in found
    assert json.loads(found)["model"] == "m"


def test_half_a_surrogate_goes_on_as_go_reads_it_and_a_whole_one_as_it_came() -> None:
    body = b'{"messages":["\\ud83d\\ude00 \\ud800"],"model":"m"}'
    assert adjusted(body).body == b'{"messages":["\\ud83d\\ude00 \\ufffd"],"model":"m"}'


@pytest.mark.parametrize(
    "options",
    [
        b'{"num_ctx":9,"num_ctx":null}',
        b'{"num_predict":1,"num_predict":null}',
        b'{"num_predict":1,"Num_Predict":2}',
        b'{"seed":1,"use_mmap":true,"use_mma\\u0070":false}',
    ],
)
def test_options_that_say_one_thing_twice_are_refused(options: bytes) -> None:
    body = b'{"model":"m","options":%b}' % options
    asked = peek(body)
    assert isinstance(asked, Peeked)
    found = adjust(body, asked, route("/api/chat"), NONE, LLAMA_SERVER.at_load)
    assert isinstance(found, Refused)
    assert found.status == 400


@pytest.mark.parametrize(
    "body",
    [b'{"model":"m","x":1,"x":2}', b'{"Model":"m"}', b'{"model":"m"} trailing', b'[] {"model":"m"}', b'null {"a":1}'],
)
def test_a_body_in_doubt_never_goes_on_as_it_came(body: bytes) -> None:
    sent = adjusted(body).body
    assert sent != body
    again = peek(sent)
    assert isinstance(again, Peeked)
    assert again.top.sure
    assert json.loads(sent) in ({"model": "m", "x": 2}, {"model": "m"}, [], None)


def test_a_name_that_only_some_readers_take_for_it_goes_on_as_it_was_read() -> None:
    for text in ("demo:///library/red", " red\n", "red:local", "https:///library/red"):
        found = adjusted(json.dumps({"model": text}).encode())
        assert json.loads(found.body)["model"] == found.model == "red:latest"
        assert list(found.told) == ["model=red:latest (spelling)"]
    for text in ("red", "Library/Red:Latest", "hf.co/Me/Name-GGUF:Q4_K_M", "http://localhost:5000/me/red"):
        body = json.dumps({"model": text}).encode()
        assert adjusted(body).body is body


@pytest.mark.parametrize(
    "text", ["a//red", "red@sha256:0", "../red", "re d", "r\u00e9d", "red:cloud:local", "/red", "\0"]
)
def test_what_is_no_name_is_refused_whoever_would_read_it(text: str) -> None:
    body = json.dumps({"model": text}).encode()
    asked = peek(body)
    assert isinstance(asked, Peeked)
    for found in (adjust(body, asked, route("/api/chat"), NONE, LLAMA_SERVER.at_load), named(body, asked, Meanings())):
        assert isinstance(found, Refused)
        assert (found.status, "`model`" in found.text) == (400, True)


def test_every_name_of_a_body_is_judged_and_each_goes_on_as_it_was() -> None:
    body = b'{"source":"red:local","destination":"x:///me/copy","y":[1, 2]}'
    asked = peek(body, "", ("source", "destination"))
    assert isinstance(asked, Peeked)
    found = named(body, asked, Meanings())
    assert isinstance(found, Adjusted)
    assert found.body == b'{"source":"red:latest","destination":"me/copy:latest","y":[1, 2]}'
    assert [found.model, *found.others] == ["red:latest", "me/copy:latest"]


def test_another_model_takes_the_place_of_the_one_that_was_asked() -> None:
    assert renamed(b'{"model":"red", "x":[1, 2]}', "blue") == b'{"model":"blue","x":[1, 2]}'


@pytest.mark.parametrize(
    ("value", "manage", "keep"),
    [
        (b"0", True, Keep.UNLOAD),
        (b'"0s"', True, Keep.UNLOAD),
        (b"-1", True, Keep.STAY),
        (b'"-3m"', True, Keep.STAY),
        (b"-0.5", True, Keep.STAY),
        (b"300", True, None),
        (b"0", False, None),
        (b"-1", False, None),
        (b'"5m"', False, None),
    ],
)
def test_keep_alive_never_passes(value: bytes, manage: bool, keep: Keep | None) -> None:
    found = adjusted(b'{"model":"m","keep_alive":%b}' % value, manage=manage)
    assert found.body == b'{"model":"m"}'
    assert found.keep is keep
    assert list(found.told) == ([] if keep else ["keep_alive dropped"])


@pytest.mark.parametrize(
    ("path", "asked", "sent"),
    [
        ("/api/chat", {"options": {"num_predict": 99}}, {"options": {"num_predict": 50}}),
        ("/api/chat", {"options": {"num_predict": -1}}, {"options": {"num_predict": 50}}),
        ("/api/chat", {"options": {"num_predict": 49}}, {"options": {"num_predict": 49}}),
        ("/api/chat", {"options": {"num_predict": "x"}}, {"options": {"num_predict": "x"}}),
        ("/api/chat", {"options": {}}, {"options": {"num_predict": 50}}),
        ("/api/generate", {}, {"options": {"num_predict": 50}}),
        ("/api/embed", {}, {}),
        ("/v1/chat/completions", {"max_tokens": 99}, {"max_tokens": 50}),
        ("/v1/chat/completions", {"max_completion_tokens": 99}, {"max_tokens": 50, "max_completion_tokens": 50}),
        ("/v1/chat/completions", {"max_completion_tokens": 9}, {"max_tokens": 50, "max_completion_tokens": 9}),
        ("/v1/responses", {"input": ""}, {"input": "", "max_output_tokens": 50}),  # `instructions` are answered
        ("/api/chat", {"options": {"num_predict": 0.5}}, {"options": {"num_predict": 50}}),
        ("/v1/chat/completions", {"max_tokens": 5}, {"max_tokens": 5}),
        ("/v1/completions", {}, {"max_tokens": 50}),
        ("/v1/responses", {"max_output_tokens": 10**30}, {"max_output_tokens": 50}),
        ("/v1/responses", {"max_output_tokens": None}, {"max_output_tokens": 50}),
        ("/v1/messages", {"max_tokens": 51}, {"max_tokens": 50}),
        ("/v1/messages", {}, {}),
    ],
)
def test_an_answer_is_asked_to_be_no_longer_than_allowed(
    path: str, asked: dict[str, Any], sent: dict[str, Any]
) -> None:
    base = {"model": "m", "messages": [1], "prompt": "p", "input": "i"}
    found = adjusted(json.dumps({**base, **asked}).encode(), Clamps(Meanings({}), max_tokens=50), path)
    assert json.loads(found.body) == {**base, **sent}
    assert bool(found.told) == (asked != sent)
    assert all("(limit)" in each for each in found.told)


def test_a_request_without_a_model_gets_the_callers_default_before_the_houses() -> None:
    clamps = Clamps(Meanings({}), default="house")
    assert adjusted(b"{}", clamps, default="mine").body == b'{"model":"mine"}'
    assert adjusted(b'{"messages":[]}', clamps).model == "house"
    assert list(adjusted(b'{"model":""}', clamps).told) == ["model=house (default)"]
    assert adjusted(b"", clamps).body == b""
    assert adjusted(b"{}").model == ""


@examples(300)
@given(st.lists(st.text(max_size=300), max_size=20))
def test_the_header_is_short_and_breaks_no_line(told: list[str]) -> None:
    value = told_header(told)
    assert len(value) <= LONGEST_TOLD
    assert value.decode("ascii").isprintable()


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        ("num_predict=512 (limit)", "num_predict (limit)"),
        ("keep_alive dropped", "keep_alive dropped"),
        ("model=red (redirect)", "model=red (redirect)"),
        ("num_predict=512", "num_predict"),
    ],
)
def test_a_guest_hears_what_was_changed_and_not_to_which_value_of_the_configuration(told: str, heard: str) -> None:
    assert without_value(told) == heard
