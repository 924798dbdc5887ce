from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.settings import addresses


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("127.0.0.1:8420", "127.0.0.1:8420"),
        ("LOCALHOST:08420", "localhost:8420"),
        ("[::1]:8420", "[::1]:8420"),
        ("[0:0::1]:80", "[::1]:80"),
        ("mini.local:0", "mini.local:0"),
        ("unix:/tmp/a.sock", "unix:/tmp/a.sock"),
    ],
)
def test_a_listener_has_one_spelling(text: str, canonical: str) -> None:
    assert addresses.listener_address(text) == canonical


@pytest.mark.parametrize(
    "text",
    ["8420", ":8420", "127.0.0.1", "127.0.0.300:1", "::1:8420", "[::1]", "[127.0.0.1]:1", "a b:1", "h:65536", "h:-1"]
    + ["unix:", "unix:relative", "unix:/" + "x" * 96, "http://h:1", "h:1/path", "h:१", "unix:/tmp/", "1.2.3:5"],
)
def test_what_is_no_listener_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="port|unix:/absolute/path"):
        addresses.listener_address(text)


@pytest.mark.parametrize("text", ["127.0.0.1:1", "localhost:1", "[::1]:1", "unix:/tmp/s", "127.9.9.9:1"])
def test_only_this_machine_reaches_a_loopback_listener(text: str) -> None:
    assert addresses.place(text).loopback


@pytest.mark.parametrize("text", ["0.0.0.0:1", "[::]:1", "192.168.1.2:1", "mini.local:1"])
def test_others_reach_every_other_listener(text: str) -> None:
    assert not addresses.place(text).loopback


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.168.1.20", "192.168.1.20"),
        ("192.168.1.20/32", "192.168.1.20"),
        ("192.168.0.0/16", "192.168.0.0/16"),
        ("fd00:0:0::5", "fd00::5"),
        ("fd00:1:2::/48", "fd00:1:2::/48"),
        ("127.0.0.0/8", "127.0.0.0/8"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.0.0/112", "10.1.0.0/16"),
        ("::1", "::1"),
    ],
)
def test_an_allowed_address_has_one_spelling(text: str, canonical: str) -> None:
    assert addresses.network(text) == canonical


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0.0.0.0/0", "whole internet"),
        ("::/0", "whole internet"),
        ("10.0.0.0/8", "beyond one house"),
        ("10.0.0.0/15", "beyond one house"),
        ("2001:db8::/47", "beyond one house"),
        ("::ffff:0:0/96", "whole internet"),
        ("::ffff:10.0.0.0/104", "beyond one house"),
        ("192.168.1.5/24", r"perhaps 192\.168\.1\.0/24 was meant"),
        ("::ffff:192.168.1.5/120", r"perhaps 192\.168\.1\.0/24 was meant"),
        ("anna.local", "names are not looked up"),
        ("192.168.1", "names are not looked up"),
        ("192.168.1.*", "names are not looked up"),
        ("0.0.0.0", "nobody ever comes"),
        ("239.1.2.3", "nobody ever comes"),
        ("fe80::1%en0", "zone"),
    ],
)
def test_what_may_not_be_allowed_in_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        addresses.network(text)


@given(st.one_of(st.ip_addresses().map(str), st.text(max_size=30)), st.integers(0, 130))
def test_no_spelling_lets_a_wide_range_in(address: str, length: int) -> None:
    try:
        found = ip_network(addresses.network(f"{address}/{length}"))
    except ValueError:
        return
    assert found.is_loopback or found.prefixlen >= {4: 16, 6: 48}[found.version]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("/ollama", "/ollama"), ("ollama", "/ollama"), ("/a/b/", "/a/b"), ("/api/code", "/api/code"), ("//x", "/x")],
)
def test_a_prefix_has_one_spelling(text: str, canonical: str) -> None:
    assert addresses.path_prefix(text) == canonical


@pytest.mark.parametrize(
    "text",
    ["", "/", "/..", "/a/../b", "/a//b", "/./a", "/a b", "/a?b", "/a%2f", "/a\\b", "/api", "/api/chat", "/v1", "/v1/x"]
    + ["/api/v1", "/app", "/admin/x", "/static", "/healthz", "/readyz", "/metrics"],
)
def test_a_prefix_hides_nothing_and_climbs_nowhere(text: str) -> None:
    with pytest.raises(ValueError, match="a path such as /ollama"):
        addresses.path_prefix(text)


@pytest.mark.parametrize(
    ("text", "canonical"), [("Mini.Local.", "mini.local"), ("10.0.0.2", "10.0.0.2"), ("[fd00::1]", "fd00::1")]
)
def test_a_host_has_one_spelling(text: str, canonical: str) -> None:
    assert addresses.host_name(text) == canonical


REFUSED: list[tuple[Callable[[str], str], str]] = [
    *((addresses.host_name, text) for text in ["*", "*.local", "http://x", "a:80", "a b", "", "-a", "a..b", "1.2.3"]),
    *((addresses.public_name, text) for text in ["host", "a.*.org", "*", "https://a.org", ""]),
    *((addresses.origin, text) for text in ["*", "https://*", "http://*", "a.org", "https://a.org/x", "x:"]),
    *((addresses.origin, text) for text in ["https://a:0", "https://a:99999", "http://*:*", "http://", "https://a:*1"]),
    *((addresses.upstream_url, text) for text in ["https://h:1", "http://h", "http://u:p@h:1", "http://h:1/x", "h:1"]),
    *((addresses.upstream_url, text) for text in ["http://h:1?x", "http://h:1#x", "http://:1", "http://[::1:1", ""]),
    *((addresses.probe_url, text) for text in ["https://h:1/", "http://h/", "ftp://h:1/", "http://h:1/a b"]),
    *((addresses.edge_address, text) for text in ["h", "h:0", ":1", "h:x"]),
]


@pytest.mark.parametrize(("canonical", "text"), REFUSED)
def test_what_is_spelled_wrong_is_refused(canonical: Callable[[str], str], text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        canonical(text)


ACCEPTED: list[tuple[Callable[[str], str], str, str]] = [
    (addresses.public_name, "*.Example.org", "*.example.org"),
    (addresses.origin, "https://Chat.Example.org:8443", "https://chat.example.org:8443"),
    (addresses.origin, "app://*", "app://*"),
    (addresses.origin, "http://localhost:*", "http://localhost:*"),
    (addresses.origin, "http://Tauri.localhost", "http://tauri.localhost"),
    (addresses.origin, "Null", "null"),
    (addresses.origin, "file://", "file://"),
    (addresses.upstream_url, "http://192.168.1.30:11434/", "http://192.168.1.30:11434"),
    (addresses.upstream_url, "http://[::1]:11434", "http://[::1]:11434"),
    (addresses.probe_url, "http://127.0.0.1:9/health?x=1", "http://127.0.0.1:9/health?x=1"),
    (addresses.probe_url, "http://127.0.0.1:9", "http://127.0.0.1:9/"),
    (addresses.edge_address, "localhost:7844", "localhost:7844"),
]


@pytest.mark.parametrize(("canonical", "text", "spelling"), ACCEPTED)
def test_what_is_spelled_right_has_one_spelling(canonical: Callable[[str], str], text: str, spelling: str) -> None:
    assert canonical(text) == spelling


@given(st.sampled_from([each for _, each, _ in ACCEPTED] + [each for _, each in REFUSED]), st.text(max_size=12))
def test_no_text_makes_a_spelling_fail_in_another_way(start: str, more: str) -> None:
    functions = {function for function, *_ in ACCEPTED} | {function for function, _ in REFUSED}
    for canonical in functions | {addresses.listener_address, addresses.network, addresses.path_prefix}:
        try:
            once = canonical(start + more)
        except ValueError:
            continue
        assert canonical(once) == once
