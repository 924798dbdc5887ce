"""Answers of our own."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.proxy.own import count_tokens
from controller.refusal import Refused


def tokens(body: bytes) -> int:
    found = count_tokens(body)
    assert isinstance(found, bytes), found
    return int(json.loads(found)["input_tokens"])


def asking(content: object) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]}).encode()


def test_four_bytes_of_text_are_a_token() -> None:
    assert tokens(asking("x" * 4000)) == pytest.approx(1000, abs=5)


@pytest.mark.parametrize("size", [10_000, 5_000_000])
def test_a_picture_counts_the_same_whatever_its_size(size: int) -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * size}}
    assert tokens(asking([picture])) == pytest.approx(1024, abs=100)


@pytest.mark.parametrize("words", [10_000, 1_000_000])
def test_a_long_text_is_about_as_long_as_it_says(words: int) -> None:
    assert tokens(asking("seven to" * words)) == pytest.approx(2 * words, rel=0.01)


def test_a_body_of_as_many_nothings_as_may_be_is_not_unfolded() -> None:
    body = b'{"model":"m","messages":[' + b"[]," * 250_000 + b"[]]}"
    tracemalloc.start()
    try:
        tokens(body)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4 * len(body)


@given(st.binary(max_size=200) | st.sampled_from([b"[1]", b"", b"null", b"{", b'{"messages":' + b"[" * 5000]))
def test_no_bytes_make_it_fail(body: bytes) -> None:
    found = count_tokens(body)
    assert isinstance(found, bytes) or found.status == 400


@pytest.mark.parametrize("body", [b"[]", b"{}", b'"x"'])
def test_a_body_that_asks_nothing_is_refused(body: bytes) -> None:
    assert isinstance(count_tokens(body), Refused)
