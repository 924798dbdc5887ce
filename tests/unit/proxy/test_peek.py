"""What a body asks for."""

from __future__ import annotations

import json
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.proxy.peek import Peeked, peek, seconds
from controller.refusal import Refused
from tests.kit.examples import examples


def ask(body: bytes, subject: str = "messages") -> Peeked:
    found = peek(body, subject, ("model", "name"))
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
        b'{"model":"m","note":"\\ud800"}',
        b'{"model":"m","note":"\xff"}',
        b'{"name":"m"}',
        b'{"model":"","name":"m"}',
        b'{"model":null,"name":"m"}',
    ],
)
def test_go_would_see_model_m(body: bytes) -> None:
    assert ask(body).model == "m"


@pytest.mark.parametrize("body", [b"", b"  \n", b"[]", b"null", b"3", b'"text"'])
def test_what_ollama_can_explain_better_is_let_through(body: bytes) -> None:
    assert ask(body) == Peeked()
    assert ask(body).top.written({}) == body


def test_a_number_of_any_length_hides_nothing() -> None:
    body = b'{"a":' + b"1" * 10_000 + b',"keep_alive":0,"model":"m"} trailing'
    assert ask(body).unloads


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


def test_a_picture_of_20_megabytes_is_not_decoded() -> None:
    picture = "A" * (20 * 2**20)
    body = json.dumps({"model": "m", "messages": [{"role": "user", "images": [picture]}]}).encode()
    assert ask(body).model == "m"


@pytest.mark.parametrize("value", [3, True, [], {}, "m" * 641, "\ud800"])
def test_what_can_be_no_name_of_a_model_is_refused(value: Any) -> None:
    for member in ("model", "name"):
        found = peek(json.dumps({member: value}).encode(), "", ("model", "name"))
        if value == "\ud800":  # Go takes it for a text
            assert isinstance(found, Peeked)
            continue
        assert isinstance(found, Refused)
        assert member in found.text


def test_only_the_members_that_name_models_on_this_route_do() -> None:
    found = peek(b'{"source":"a","destination":"","name":3}', "", ("source", "destination"))
    assert isinstance(found, Peeked)
    assert (found.names, found.model) == ({"source": "a"}, "a")


@examples(300)
@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail(body: bytes) -> None:
    assert isinstance(peek(body, "prompt"), Peeked | Refused)
