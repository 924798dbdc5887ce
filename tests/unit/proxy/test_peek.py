"""Reading a body the way Go reads it."""

from __future__ import annotations

import json
import time
import tracemalloc
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.proxy.dialects import Refused
from controller.proxy.peek import Peeked, count, fold, peek, seconds, texts
from tests.kit.examples import examples


def ask(body: bytes, subject: str = "messages") -> Peeked:
    found = peek(body, subject)
    assert isinstance(found, Peeked), found
    return found


def test_it_reads_what_the_gateway_must_know() -> None:
    found = ask(b'{"model":"llama3.2","stream":false,"keep_alive":"5m","messages":[{"role":"user"}]}')
    assert (found.model, found.stream, found.keep_alive, found.empty) == ("llama3.2", False, 300, False)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","messages":[]} trailing',
        b' \n{"model":"m"}{"model":"other"}',
        b'{"MODEL":"m"}',
        b'{"Model":"m"}',
        b'{"model":"x","model":"m"}',
        b'{"model":"m","note":"\\ud800"}',
        b'{"model":"m","note":"\xff"}',
        b'{"name":"m"}',
        b'{"model":"","name":"m"}',
        b'{"model":null,"name":"m"}',
    ],
)
def test_go_would_see_model_m(body: bytes) -> None:
    assert ask(body).model == "m"


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","Model":"b"}',
        b'{"KEEP_ALIVE":0,"keep_alive":5}',
        '{"me\u017fsages":[],"messages":[1]}'.encode(),
        '{"\u212aeep_alive":0,"keep_alive":1}'.encode(),
    ],
)
def test_two_spellings_of_one_member_are_refused(body: bytes) -> None:
    found = peek(body, "messages")
    assert isinstance(found, Refused)
    assert found.status == 400
    assert "two spellings" in found.text


@pytest.mark.parametrize(
    "body", [b"{", b"{'model':1}", b'{"a":NaN}', b"\xef\xbb\xbf{}", b'{"a":1,}', b"nope", b'{"a" 1}']
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    found = peek(body)
    assert isinstance(found, Refused)
    assert found.status == 400
    assert "JSON" in found.text


@pytest.mark.parametrize("body", [b"", b"  \n", b"[]", b"null", b"3", b'"text"'])
def test_what_ollama_can_explain_better_is_let_through(body: bytes) -> None:
    assert ask(body) == Peeked()


def test_a_number_of_any_length_hides_nothing() -> None:
    body = b'{"a":' + b"1" * 10_000 + b',"keep_alive":0,"model":"m"} trailing'
    assert ask(body).unloads


def nested(depth: int) -> bytes:
    return b'{"a":' + b"[" * depth + b"]" * depth + b"}"


def test_deep_nesting_is_refused() -> None:
    found = peek(nested(200_000))
    assert isinstance(found, Refused)
    assert found.status == 400


def test_what_one_python_reads_and_another_finds_too_deep_is_refused_or_goes_on_as_it_came() -> None:
    found = peek(nested(2_000))
    if isinstance(found, Peeked):  # Python 3.12 and newer
        assert bytes(found.members["a"]) == nested(2_000)[5:-1]
    else:
        assert found.status == 400


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (b"0", 0),
        (b"0.0", 0),
        (b"-0", 0),
        (b"1e-10", 0),
        (b'"0"', 0),
        (b'"0s"', 0),
        (b'"-0m"', 0),
        (b'"0h0m"', 0),
        (b'"0.1ns"', 0),
        (b"0.9999999999e-9", 0),
        (b'"0.9999999ns"', 0),
        (b'"0.5ns0.5ns"', 0),
        (b'"1ns"', 1e-9),
        (b'".5m"', 30),
        (b'"' + b"0" * 200 + b's"', 0),
        (b"[" * 500 + b"]" * 500, 0),
        (b'"\\u0030"', 0),
        (b'"5m"', 300),
        (b'"1h30m"', 5400),
        (b'"1.5s"', 1.5),
        (b"-1", inf),
        (b'"-1s"', inf),
        (b"300", 300),
        (b'"5"', None),
        (b'""', None),
        (b"null", None),
        (b"true", None),
        (b"{}", None),
    ],
)
def test_keep_alive_is_read_as_ollama_reads_it(value: bytes, read: float | None) -> None:
    assert seconds(value) == read


@pytest.mark.parametrize(
    ("body", "subject", "unloads"),
    [
        (b'{"model":"m","keep_alive":0}', "prompt", True),
        (b'{"model":"m","prompt":"","keep_alive":"0s"}', "prompt", True),
        (b'{"model":"m","messages":[ ],"keep_alive":0}', "messages", True),
        (b'{"model":"m","messages":null,"Keep_Alive":0}', "messages", True),
        (b'{"model":"m","prompt":"hi","keep_alive":0}', "prompt", False),
        (b'{"model":"m","prompt":"","keep_alive":5}', "prompt", False),
        (b'{"model":"m","prompt":""}', "prompt", False),
    ],
)
def test_an_unload_is_recognised(body: bytes, subject: str, unloads: bool) -> None:
    assert ask(body, subject).unloads is unloads


@pytest.mark.parametrize("end", [b"}", b"} x", b',"\\ud800":0}', b',"\xff":0}', b',"x":"\\ud800","\xff":0} trailing'])
def test_what_go_takes_is_read_without_being_unfolded(end: bytes) -> None:
    crowd = b"[],[" + b"[]," * 300_000 + b"0]"
    tracemalloc.start()
    try:
        found = ask(b'{"model":"m","messages":[' + crowd + b'],"Keep_Alive":[' + crowd + b"]" + end)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (found.model, found.empty) == ("m", False)
    assert most < 20 * 2**20  # some copies of the body; its million lists would take ten times as much


def test_a_picture_of_20_megabytes_is_not_decoded() -> None:
    picture = "A" * (20 * 2**20)
    body = json.dumps({"model": "m", "messages": [{"role": "user", "images": [picture]}]}).encode()
    assert ask(body).model == "m"


def go_reads(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Go's decoder on an object: each member in turn, matched by folding, the last one stands."""
    seen: dict[str, Any] = {}
    for key, value in pairs:
        folded = "".join({"\u017f": "s", "\u212a": "k"}.get(letter, letter) for letter in key).lower()
        seen[folded] = value
    return seen


_keys = st.sampled_from(
    ["model", "MODEL", "Model", "stream", "keep_alive", "Keep_Alive", "messages", "note", "mo\u0064el"]
)
_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.floats(0, 1),
)


@examples(500)
@given(st.lists(st.tuples(_keys, _values), max_size=6), st.sampled_from(["", " ", "\n", "}", " {}", "garbage"]))
def test_it_agrees_with_go_or_refuses(pairs: list[tuple[str, Any]], after: str) -> None:
    body = "{" + ",".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in pairs) + "}" + after
    found = peek(body.encode(), "messages")
    spellings = {fold(key): {other for other, _ in pairs if fold(other) == fold(key)} for key, _ in pairs}
    if any(len(forms) > 1 for forms in spellings.values()):
        assert isinstance(found, Refused)
        return
    assert isinstance(found, Peeked)
    seen = go_reads(pairs)
    model = seen.get("model")
    assert found.model == (model if isinstance(model, str) else "")
    stream = seen.get("stream")
    assert found.stream == (stream if isinstance(stream, bool) else None)
    assert found.empty == (seen.get("messages") in (None, "", []))


@examples(300)
@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail(body: bytes) -> None:
    assert isinstance(peek(body, "prompt"), Peeked | Refused)


def test_names_are_found_under_any_spelling() -> None:
    assert texts(b'{"Source":"a","destination":"b","x":1} junk', ("source", "destination")) == {
        "source": "a",
        "destination": "b",
    }


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"input":["a","b",[1,2]]}', 3),
        (b'{"INPUT":["a","b"]}', 2),
        (b'{"input":"a"}', 1),
        (b'{"input":[]}', 1),
        (b'{"input":null}', 1),
        (b"{}", 1),
        (b"[", 1),
    ],
)
def test_entries_of_a_list_are_counted_and_anything_else_is_one(body: bytes, found: int) -> None:
    assert count(body, "input") == found


def test_a_body_with_many_members_is_refused_and_one_with_much_in_a_few_is_not() -> None:
    many = b"{" + b",".join(b'"%x":1' % number for number in range(20_000)) + b"}"
    assert isinstance(peek(many), Refused)
    assert isinstance(peek(b" " * 20_000 + many + b" trailing"), Refused)
    long = {"model": "m", "messages": [{"role": "user", "content": "a: b: c"} for _ in range(20_000)]}
    assert peek(json.dumps(long).encode(), "messages") == Peeked("m", None, False, None)
    text = {"model": "m", "prompt": ":" * 50_000}
    assert peek(json.dumps(text).encode(), "prompt") == Peeked("m", None, False, None)


@pytest.mark.proof
def test_millions_of_members_stop_nothing_for_long() -> None:
    body = b"{" + b",".join(b'"%x":1' % number for number in range(3_000_000)) + b"}"
    begun = time.perf_counter()
    assert isinstance(peek(body), Refused)
    assert time.perf_counter() - begun < 0.3
