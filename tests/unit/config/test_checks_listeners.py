"""Listeners whose settings must fit each other; each case is the YAML of server.yaml."""

from __future__ import annotations

import pytest

from tests.unit.config.test_checks import findings, listeners

HTTPS = "address: 127.0.0.1:2, tls: {cert: a, key: b}"
PROXY = "address: 0.0.0.0:2, kind: proxy, trusted: [127.0.0.1], header: X-Real-IP"


@pytest.mark.parametrize(
    "entry",
    [
        HTTPS,
        PROXY,
        f"{PROXY}, tls: {{cert: a, key: b}}",
        "address: 'unix:/a', kind: proxy",
        "address: 192.168.1.2:1, plain_cookies: true",
        "address: 127.0.0.1:1, plain_cookies: true",
        "address: 100.64.0.7:1, plain_cookies: true",
        "address: '[fd00::5]:1', plain_cookies: true",
    ],
)
def test_a_listener_may_be_like_this(entry: str) -> None:
    assert not findings(listeners(entry))


@pytest.mark.parametrize(
    ("entry", "field", "words"),
    [
        ("address: h:1, kind: proxy, header: X-Real-IP", "trusted", "addresses of the proxy"),
        ("address: h:1, trusted: [127.0.0.1]", "trusted", "left out"),
        ("address: h:1, kind: proxy, trusted: [127.0.0.1], header: Forwarded", "header", "x-real-ip"),
        ("address: h:1, kind: proxy, trusted: [0.0.0.0/0], header: X-Real-IP", "trusted[0]", "whole internet"),
        ("address: h:1, kind: proxy, trusted: [127.0.0.1], header: 'X Real'", "header", "x-real-ip"),
        ("address: h:1, tls: {cert: a}", "tls.key", "belong together"),
        ("address: h:1, tls: {key: a}", "tls.cert", "belong together"),
        ("address: 127.0.0.1:1, kind: tunnel, tls: {cert: a, key: b}", "tls", "plain http"),
        ("address: 'unix:/a', tls: {cert: a, key: b}", "tls", "plain http"),
        ("address: 0.0.0.0:1, plain_cookies: true", "plain_cookies", "one private address"),
        ("address: 8.8.8.8:1, plain_cookies: true", "plain_cookies", "one private address"),
        ("address: mini.local:1, plain_cookies: true", "plain_cookies", "one private address"),
        ("address: 127.0.0.1:1, kind: tunnel, plain_cookies: true", "plain_cookies", "one private address"),
        (f"{HTTPS}, plain_cookies: true", "plain_cookies", "nothing is plain"),
    ],
)
def test_a_listener_that_contradicts_itself_is_told_where(entry: str, field: str, words: str) -> None:
    (found,) = findings(listeners(entry))
    assert found.field == f"server.listeners[0].{field}"
    assert words in found.allowed


@pytest.mark.parametrize("rule", ["pages", "all"])
def test_https_can_be_required_only_where_there_is_some(rule: str) -> None:
    (found,) = findings(f"require_https: {rule}")
    assert found.field == "server.require_https"
    assert findings(f"require_https: {rule}\ntunnel: {{hostnames: [ai.example.org]}}")
    assert not findings(f"require_https: {rule}\ntunnel: {{mode: token, token_file: x, hostnames: [ai.example.org]}}")
    assert not findings(f"require_https: {rule}\n{listeners(HTTPS)}")
    assert not findings(f"require_https: {rule}\n{listeners(PROXY)}")
