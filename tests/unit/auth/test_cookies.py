"""The one cookie there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.auth.cookies import carrying, taken_away, token_in


def test_over_https_the_browser_itself_sees_to_it_that_it_is_ours() -> None:
    assert carrying("t", 60, plain=False) == "__Host-sd=t; Max-Age=60; Path=/; HttpOnly; SameSite=Lax; Secure"
    assert taken_away(plain=False).startswith("__Host-sd=; Max-Age=0; ")


def test_without_https_it_has_another_name() -> None:
    assert carrying("t", 60, plain=True) == "sd=t; Max-Age=60; Path=/; HttpOnly; SameSite=Lax"


@pytest.mark.parametrize(
    ("header", "plain", "token"),
    [
        (b"__Host-sd=t", False, "t"),
        (b"a=b; __Host-sd=t;c=d", False, "t"),
        (b"sd=t", False, ""),
        (b"sd=t", True, "t"),
        (b"sd=t; __Host-sd=u", True, "u"),
        (b"__Host-sd=t; __Host-sd=u", False, ""),
        (b"__host-sd=t", False, ""),
        (b"x__Host-sd=t", True, ""),
        (b"", True, ""),
    ],
)
def test_it_is_found_among_others_by_its_whole_name_and_once(header: bytes, plain: bool, token: str) -> None:
    assert token_in(header, plain=plain) == token


@given(st.binary(), st.booleans())
def test_any_header_can_be_read(header: bytes, plain: bool) -> None:
    assert ";" not in token_in(header, plain=plain)
