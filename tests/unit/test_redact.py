"""No key, password or token gets past."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from controller.redact import HIDDEN, may_hold_secret, redact, redact_all

BODY = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", min_size=24, max_size=60)
PROSE = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40)
SHAPES = st.sampled_from(
    [
        "sd_{}",
        "sdi_{}",
        "https://house.example/join#sdi_{}",
        "sdr_{}",
        "sda_{}",
        "$2b$12${}",
        "?reset_token={}",
        "Bearer {}",
        "authorization: Bearer {}",
        "Authorization: Basic {}",
        "bearer: {}",
        "eyJhbGciOi.{}.x",
        "Cookie: __Host-sd={}",
        "set-cookie: a=1; b={}",
        "/join?ts={}",
        "/x?a=1&key={}",
        "/x?token={}&b=2",
        "password={}",
        '"api_key": "{}"',
        "sk-ant-{}",
    ]
)


@given(shape=SHAPES, body=BODY, before=PROSE, after=PROSE)
def test_whatever_stands_around_it_a_secret_is_hidden(shape: str, body: str, before: str, after: str) -> None:
    assume(body not in before + after)
    told = redact(f"{before} {shape.format(body)} {after}")
    assert body not in told
    assert HIDDEN in told


@given(shape=SHAPES, body=BODY)
def test_the_quick_look_never_misses_what_the_rules_would_hide(shape: str, body: str) -> None:
    assert may_hold_secret(json.dumps({"path": shape.format(body)}))


@given(body=BODY, field=st.sampled_from(["password", "Authorization", "cookie", "set-cookie", "x-api-key", "token"]))
def test_a_field_named_like_a_secret_is_hidden_whole_however_deep(body: str, field: str) -> None:
    assert body not in json.dumps(redact_all({"facts": [{"headers": {field: body}}]}))


@pytest.mark.parametrize(
    "text",
    [
        "ollama answers on http://127.0.0.1:51234",
        "config/server.yaml:12:7 server.tunnel.token_file: found 'x'; allowed: a file",
        "asked for llama3.2:1b, 4096 tokens",
        "the key to the garden",
    ],
)
def test_plain_words_stay_as_they_are(text: str) -> None:
    assert redact(text) == text


def test_what_is_not_text_keeps_its_value() -> None:
    assert redact_all({"pid": 12, "ready": True, "ratio": 0.5, "none": None}) == {
        "pid": 12,
        "ready": True,
        "ratio": 0.5,
        "none": None,
    }
