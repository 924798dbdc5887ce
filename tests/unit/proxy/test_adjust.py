"""What a request becomes before it goes upstream: only what must change, and nothing else by a byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.inside import LLAMA_SERVER, OWN_RUNNER, Inside
from controller.proxy.adjust import (
    LONGEST_TOLD,
    Adjusted,
    Clamps,
    Keep,
    Redirects,
    adjust,
    adjusted_form,
    full_name,
    told_header,
    without_value,
)
from controller.proxy.dialects import Refused
from controller.proxy.peek import Peeked, peek
from controller.proxy.routes import Match, Route, find
from tests.kit.examples import examples

NONE = Clamps(Redirects({}))


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
    found = adjust(body, asked, route(path), clamps, inside, default=default, manage=manage)
    assert isinstance(found, Adjusted)
    return found


def test_what_needs_no_change_is_the_very_same_body() -> None:
    body = b'{ "model" : "qwen3", "messages":[{"content":"\\u003c \xc3\xa9"}], "options":{"temperature":1.0e0} } '
    found = adjusted(body, Clamps(Redirects({"gpt-*": "qwen3"}), default="llama3"))
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
    found = adjusted(body, Clamps(Redirects({"gpt-*": "llama3"}), default="fallback"))
    wanted = {name: value for name, value in asked.items() if name != "keep_alive"}
    wanted["options"] = {name: value for name, value in options.items() if name not in LLAMA_SERVER.fixed}
    wanted["model"] = {None: "fallback", "": "fallback", "gpt-4o": "llama3"}.get(model, model)
    assert json.loads(found.body) == wanted
    assert found.model == wanted["model"]
    for name, value in rest.items():  # untouched, byte for byte
        assert json.dumps(value, separators=separators, ensure_ascii=ascii_only).encode() in found.body
        assert json.dumps(name, ensure_ascii=ascii_only).encode() in found.body
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
        body, asked, route("/api/chat"), Clamps(Redirects({"m": "n"}), default="d", max_tokens=5), LLAMA_SERVER
    )
    if isinstance(found, Refused):
        return
    after = peek(found.body, "messages")
    assert isinstance(after, Peeked)
    options = after.members.get("options")
    if options is not None and bytes(options).startswith(b"{"):
        assert b"num_ctx" not in bytes(options)
        assert found.body.count(b"num_ctx") == found.body.count(b'"num_ctx":2')  # a member of the top means nothing
    assert bytes(after.members.get("keep_alive", b"null")) == b"null"


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
    assert adjusted(body, inside=OWN_RUNNER).body is body  # which did not mind
    assert adjusted(body, path="/api/embed").body is body  # nor is it one of its members there


def test_a_member_that_says_nothing_stays() -> None:
    body = b'{"model":"m","shift":null,"messages":[1],"options":{"draft_num":1}}'
    assert adjusted(body).body is body
    assert list(adjusted(b'{"model":"m","messages":[1],"options":{"draft_num_predict":9}}').told) == [
        "draft_num_predict dropped"
    ]


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","options":{"num_ctx":9},"options":{}}',
        b'{"model":"m","options":{"num_ctx":9},"opt\\u0069ons":{}}',
        b'{"options":{"num_ctx":9,"x":1},"model":"m","options":{"num_ctx":8}}',
        b'{"model":"m","options":{"num_ctx":9,"seed":1,"seed":1}}',
        b'{"model":"m","OPTIONS":{"num_ctx":9}}',
        b'{"model":"m","options":{"num_\\u0063tx":9}}',
        b'{"model":"m","options":{"num_ctx":9}} {"options":{}}',
    ],
)
def test_no_spelling_smuggles_one_past(body: bytes) -> None:
    """Go adds up two objects of one name, so the first would still count."""
    found = adjusted(body).body
    assert b"num_" not in found
    assert json.loads(found)["model"] == "m"


def test_half_a_surrogate_survives_a_change() -> None:
    body = b'{"messages":["\\ud83d\\ude00 \\ud800"],"keep_alive":"5m","model":"m"}'
    assert adjusted(body).body == b'{"messages":["\\ud83d\\ude00 \\ud800"],"model":"m"}'
    twice = b'{"messages":["\\ud800"],"options":{"num_ctx":1},"options":{}}'
    asked = peek(twice, "messages")
    assert isinstance(asked, Peeked)
    assert isinstance(adjust(twice, asked, route("/api/chat"), NONE, LLAMA_SERVER), Refused)


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
        ("/v1/chat/completions", {"max_completion_tokens": 99}, {"max_completion_tokens": 50}),
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
    found = adjusted(json.dumps({**base, **asked}).encode(), Clamps(Redirects({}), max_tokens=50), path)
    assert json.loads(found.body) == {**base, **sent}
    assert bool(found.told) == (asked != sent)
    assert all("(limit)" in each for each in found.told)


def test_a_request_without_a_model_gets_the_callers_default_before_the_houses() -> None:
    clamps = Clamps(Redirects({}), default="house")
    assert adjusted(b"{}", clamps, default="mine").body == b'{"model":"mine"}'
    assert adjusted(b'{"messages":[]}', clamps).model == "house"
    assert list(adjusted(b'{"model":""}', clamps).told) == ["model=house (default)"]
    assert adjusted(b'{"model":3}', clamps).body == b'{"model":3}'  # for Ollama to refuse
    assert adjusted(b"", clamps).body == b""
    assert adjusted(b"{}").model == ""


@pytest.mark.parametrize(
    ("model", "meant"),
    [
        ("gpt-4o", "exact"),
        ("GPT-4o:latest", "exact"),
        ("gpt-4o-mini", "longer"),
        ("gpt-4", "shorter"),
        ("gpt-3", "shorter"),
        ("qwen3", None),
        ("shorter", None),
    ],
)
def test_an_exact_name_goes_before_a_pattern_and_a_longer_before_a_shorter(model: str, meant: str | None) -> None:
    redirects = Redirects({"gpt-*": "shorter", "gpt-4o-*": "longer", "gpt-4o": "exact", "short*": "shorter"})
    assert redirects.of(model) == meant
    assert redirects.of(model) == meant  # remembered


def test_the_field_of_a_form_is_redirected_too() -> None:
    clamps = Clamps(Redirects({"whisper-1": "whisper:large"}))
    assert adjusted_form("whisper-1", (2, 11), b"..whisper-1..", clamps).body == b"..whisper:large.."
    assert adjusted_form("other", (2, 7), b"..other..", clamps).body == b"..other.."


@examples(300)
@given(st.lists(st.text(max_size=300), max_size=20))
def test_the_header_is_short_and_breaks_no_line(told: list[str]) -> None:
    value = told_header(told)
    assert len(value) <= LONGEST_TOLD
    assert value.decode("ascii").isprintable()


def test_names_have_one_spelling() -> None:
    assert full_name("Qwen3") == full_name("qwen3:LATEST") == "qwen3:latest"
    assert full_name("host:5000/lib/m") == "host:5000/lib/m:latest"


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
