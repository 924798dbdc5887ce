"""How a request came, and what the rule `require_https` says to it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.certificate import Certificate
from controller.proxy.cleartext import Came, HttpsDoor, Kind, Rule, by_https, key, page, secure_url

PROTO, VISITOR = b"x-forwarded-proto", b"cf-visitor"
DOOR = HttpsDoor(Certificate(("localhost", "mini.example.org", "*.wild.example"), 0.0, 1.0), 8443)
FROM_LAN = Came("direct", False, "192.168.1.5", False, "GET", "192.168.1.10:8420", "/account?x=1")


@pytest.mark.parametrize(
    ("kind", "headers", "https"),
    [
        ("tunnel", [(PROTO, b"https")], True),
        ("tunnel", [(VISITOR, b'{"scheme":"https"}')], True),
        ("tunnel", [(PROTO, b"https"), (VISITOR, b'{"scheme":"https"}')], True),
        ("tunnel", [], False),
        ("tunnel", [(PROTO, b"http")], False),
        ("tunnel", [(PROTO, b"https"), (VISITOR, b'{"scheme":"http"}')], False),
        ("tunnel", [(PROTO, b"https"), (PROTO, b"http")], False),
        ("tunnel", [(PROTO, b"https, http")], False),
        ("tunnel", [(VISITOR, b"https")], False),
        ("tunnel", [(VISITOR, b'["https"]')], False),
        ("tunnel", [(VISITOR, b"[" * 100_000)], False),
        ("proxy", [(PROTO, b"HTTPS ")], True),
        ("proxy", [(VISITOR, b'{"scheme":"https"}')], False),
        ("direct", [(PROTO, b"https"), (VISITOR, b'{"scheme":"https"}')], False),
    ],
)
def test_what_is_said_of_the_visitor_counts_only_where_it_cannot_be_forged(
    kind: Kind, headers: list[tuple[bytes, bytes]], https: bool
) -> None:
    assert by_https(kind, "http", headers) is https
    assert by_https(kind, "https", headers)


def test_a_stranger_on_the_proxys_listener_is_not_believed() -> None:
    assert not by_https("proxy", "http", [(PROTO, b"https")], trusted=False)


NAMES = st.sampled_from([PROTO, VISITOR, b"forwarded", b"x-forwarded-for"])


@given(st.lists(st.tuples(NAMES, st.binary(max_size=40))))
def test_no_header_makes_a_direct_connection_https(headers: list[tuple[bytes, bytes]]) -> None:
    assert not by_https("direct", "http", headers)


@pytest.mark.parametrize(
    ("came", "plain"),
    [
        (FROM_LAN, True),
        (replace(FROM_LAN, https=True), False),
        (replace(FROM_LAN, peer="127.0.0.1"), False),
        (replace(FROM_LAN, peer="::1"), False),
        (replace(FROM_LAN, peer="::ffff:127.0.0.1"), False),
        (replace(FROM_LAN, peer=""), False),
        (replace(FROM_LAN, peer="127.0.0.1", proxied=True), True),
        (replace(FROM_LAN, kind="tunnel", peer=""), True),
        (replace(FROM_LAN, kind="proxy", peer="127.0.0.1"), True),
    ],
)
def test_only_this_machine_talking_to_itself_needs_no_https(came: Came, plain: bool) -> None:
    assert came.plain is plain


@pytest.mark.parametrize(
    ("came", "url"),
    [
        (FROM_LAN, "https://mini.example.org:8443/account?x=1"),
        (replace(FROM_LAN, host="mini.example.org"), "https://mini.example.org:8443/account?x=1"),
        (replace(FROM_LAN, host="a.wild.example:8420"), "https://a.wild.example:8443/account?x=1"),
        (replace(FROM_LAN, kind="tunnel", host="ai.example.org"), "https://ai.example.org/account?x=1"),
        (replace(FROM_LAN, kind="proxy", host="[fd00::5]:8422"), "https://[fd00::5]/account?x=1"),
    ],
)
def test_a_visitor_is_sent_where_a_certificate_holds(came: Came, url: str) -> None:
    assert secure_url(came, [DOOR], ["ai.example.org"]) == url


def test_the_usual_port_is_not_spelled_out() -> None:
    assert secure_url(FROM_LAN, [replace(DOOR, port=443)], []) == "https://mini.example.org/account?x=1"


def test_without_a_door_of_our_own_the_tunnels_name_will_do_and_a_star_is_no_name() -> None:
    assert secure_url(FROM_LAN, [], ["*.example.org", "ai.example.org"]) == "https://ai.example.org/account?x=1"
    assert secure_url(FROM_LAN, [], ["*.example.org"]) is None


@pytest.mark.parametrize("rule", ["pages", "all"])
def test_a_page_is_redirected_for_now_and_a_form_is_not_sent_again(rule: Rule) -> None:
    moved = page(rule, FROM_LAN, [DOOR], [])
    assert moved is not None
    assert (moved.status, moved.headers) == (307, ((b"location", b"https://mini.example.org:8443/account?x=1"),))
    sent = page(rule, replace(FROM_LAN, method="POST"), [DOOR], [])
    assert sent is not None
    assert (sent.status, sent.headers) == (403, ())
    assert "https://mini.example.org:8443" in sent.text


def test_a_page_that_is_nowhere_to_be_had_over_https_says_whom_to_ask() -> None:
    refused = page("pages", FROM_LAN, [], [])
    assert refused is not None
    assert refused.status == 403
    assert "Ask whoever runs this server" in refused.text


def test_a_key_in_the_clear_is_named_to_its_holder() -> None:
    refused = key("all", FROM_LAN, "sd_ab12cd34", "wxyz")
    assert refused is not None
    assert refused.status == 403
    assert "sd_ab12cd34 (ending in wxyz)" in refused.text
    assert "replace it" in refused.text


@pytest.mark.parametrize("rule", ["off", "pages"])
def test_keys_may_come_in_the_clear_unless_all_is_required(rule: Rule) -> None:
    assert key(rule, FROM_LAN, "sd_ab12cd34", "wxyz") is None


@pytest.mark.parametrize("came", [replace(FROM_LAN, https=True), replace(FROM_LAN, peer="127.0.0.1")])
def test_what_nobody_could_read_is_let_through(came: Came) -> None:
    assert page("all", came, [DOOR], []) is None
    assert key("all", came, "sd_ab12cd34", "wxyz") is None


def test_off_asks_for_nothing() -> None:
    assert page("off", FROM_LAN, [DOOR], []) is None
