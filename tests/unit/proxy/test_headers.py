"""Headers: what goes on, what stays, what a proxy gives away."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.answering.heads import FORWARDED, request_head
from controller.auth.cookies import token_in
from controller.proxy.headers import RequestIds, holds_secret, read

_SECRET = b"sd_secret"


def head_of(headers: list[tuple[bytes, bytes]]) -> bytes:
    found, _ = read(headers)
    return request_head(b"POST", b"/api/chat", b"", b"127.0.0.1:5000", found, b"id-1", b"content-length: 2\r\n")


def test_the_head_names_upstream_as_its_host() -> None:
    head = head_of([(b"host", b"mini.local"), (b"content-type", b"text/plain"), (b"origin", b"https://x")])
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /api/chat HTTP/1.1"
    assert sorted(lines[1:-2]) == [
        b"content-length: 2",
        b"content-type: text/plain",
        b"host: 127.0.0.1:5000",
        b"x-request-id: id-1",
    ]
    assert head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("lines", [[b"a=1; __Host-sd=t"], [b"a=1", b"__Host-sd=t"], [b"__Host-sd=t", b"a=1", b"b=2"]])
def test_several_lines_of_cookies_are_one_header(lines: list[bytes]) -> None:
    found, _ = read([(b"cookie", line) for line in lines])
    assert found[b"cookie"] == b"; ".join(lines)
    assert token_in(found[b"cookie"], plain=False) == "t"


def test_two_values_of_any_other_header_are_a_list_that_equals_no_value() -> None:
    found, _ = read([(b"sec-fetch-site", b"same-origin"), (b"cookie", b"a=1"), (b"sec-fetch-site", b"cross-site")])
    assert found[b"sec-fetch-site"] == b"same-origin, cross-site"


_names = st.sampled_from(
    [b"authorization", b"x-api-key", b"cookie", b"origin", b"referer", b"cf-connecting-ip", b"x-forwarded-for", b"via"]
    + [
        b"forwarded",
        b"host",
        b"connection",
        b"te",
        b"upgrade",
        b"keep-alive",
        b"proxy-authorization",
        b"accept-encoding",
    ]
    + [b"transfer-encoding", b"content-length", b"expect", b"x-request-id", b"x-anything", b"sec-fetch-site"]
)


@given(st.lists(st.tuples(_names, st.just(_SECRET)), max_size=12))
def test_nothing_of_the_client_goes_on_but_the_allow_list(headers: list[tuple[bytes, bytes]]) -> None:
    head = head_of(headers)
    assert _SECRET not in head
    names = {line.partition(b":")[0] for line in head.split(b"\r\n")[1:-2]}
    assert names == {b"host", b"x-request-id", b"content-length"}


@given(st.lists(st.tuples(st.sampled_from(sorted(FORWARDED)), st.sampled_from([b"a", b"b"])), max_size=4))
def test_the_allow_list_goes_on_once_each(headers: list[tuple[bytes, bytes]]) -> None:
    head = head_of(headers)
    for name in FORWARDED:
        values = [value for other, value in headers if other == name]
        assert head.count(name + b": ") == bool(values)
        assert name + b": " + b", ".join(values) in head or not values


@pytest.mark.parametrize(
    "name",
    [
        "cf-connecting-ip",
        "cf-ray",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded",
        "forwarded",
        "x-real-ip",
        "cdn-loop",
        "via",
        "true-client-ip",
        "x-original-forwarded-for",
        "x-client-ip",
    ],
)
def test_a_proxy_gives_itself_away(name: str) -> None:
    assert read([(b"host", b"x"), (name.encode(), b"1")])[1] == name.encode()


def test_a_program_is_no_proxy() -> None:
    assert (
        read([(b"host", b"x"), (b"user-agent", b"curl"), (b"x-stainless-lang", b"js"), (b"sec-fetch-mode", b"cors")])[1]
        is None
    )


def test_a_header_that_comes_twice_equals_nothing() -> None:
    assert read([(b"host", b"localhost"), (b"host", b"localhost")])[0][b"host"] == b"localhost, localhost"


@pytest.mark.parametrize("incoming", [b"abc-123", b"01JX.4_z:9", b"a" * 128])
def test_a_well_formed_request_id_is_kept(incoming: bytes) -> None:
    assert RequestIds(b"x").of(incoming) == incoming


@pytest.mark.parametrize(
    "incoming", [None, b"", b"a b", b"a" * 129, b"\xff", b"a,b", b"x\r\nhost: evil", b"sd_12345678_secret"]
)
def test_any_other_is_replaced(incoming: bytes | None) -> None:
    ids = RequestIds(b"5eed")
    assert [ids.of(incoming), ids.of(incoming)] == [b"5eed-1", b"5eed-2"]


@pytest.mark.parametrize(
    ("query", "secret"),
    [
        (b"key=1", True),
        (b"a=1&TOKEN=x", True),
        (b"api_key", True),
        (b"%6bey=1", True),
        (b"a=1;key=1", True),
        (b"%20Key%20=1", True),
        (b"ts=1&beta=true", False),
        (b"monkey=1&a=key", False),
    ],
)
def test_a_key_in_a_url_is_seen(query: bytes, secret: bool) -> None:
    assert holds_secret(query) is secret
