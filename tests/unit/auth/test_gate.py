"""Names we answer to, and pages that may call."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.auth.gate import Gate
from controller.config.schema import Access

GATE = Gate(("localhost", "Mini.local"), (*Access().origins, "https://chat.example.org"))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8420",
        "LOCALHOST",
        "localhost.",
        "mini.local:80",
        "127.0.0.1:8420",
        "127.0.0.1",
        "[::1]:8420",
    ]
    + ["192.168.1.5:8420", "127.1.2.3"],
)
def test_our_own_names_are_known(host: str) -> None:
    assert GATE.knows_host(host.encode(), "192.168.1.5")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "192.168.1.6",
        "",
        "localhost:99999999",
        "a@localhost",
    ]
    + ["localhost, localhost", "localhost/x", "[::2]", "0.0.0.0", "evil.example:8420", "localhost\x00"],
)
def test_other_names_are_not(host: str) -> None:
    assert not GATE.knows_host(host.encode("latin-1"), "192.168.1.5")


def test_no_host_is_no_name_of_ours() -> None:
    assert not GATE.knows_host(None, "127.0.0.1")


@given(st.text(max_size=40))
def test_no_name_that_is_not_listed_is_ever_known(host: str) -> None:
    name = host.partition(":")[0].rstrip(".").lower()
    known = GATE.knows_host(host.encode("utf-8"), "")
    assert not known or name in ("localhost", "mini.local") or name.startswith(("127.", "[")), host


# (site, origin, safe) → foreign?
CASES = [
    (None, None, True, False),  # curl, SDKs
    (None, None, False, False),  # … and Node's fetch, whose sec-fetch-mode nobody looks at
    ("same-origin", None, False, False),
    ("same-origin", "http://localhost:8420", False, False),
    ("none", None, True, False),  # typed into the address bar
    ("none", None, False, True),
    ("cross-site", None, True, True),
    ("cross-site", None, False, True),
    ("same-site", None, False, True),
    ("cross-site", "https://evil.example", False, True),
    ("cross-site", "null", False, True),
    (None, "https://evil.example", False, True),  # an old browser
    (None, "https://evil.example", True, True),
    (None, "null", False, True),
    (None, "http://localhost:8420", False, False),  # … on a page of ours
    (None, "http://localhost:9999", False, True),  # another port is another origin
    ("cross-site", "vscode-webview://1a2b", False, False),
    ("cross-site", "https://chat.example.org", False, False),
    (None, "https://chat.example.org.evil.example", False, True),
    (None, "https://chat.example.org/", False, True),
]


@pytest.mark.parametrize(("site", "origin", "safe", "foreign"), CASES)
def test_a_foreign_page_is_told_from_a_program(site: str | None, origin: str | None, safe: bool, foreign: bool) -> None:
    assert foreign is GATE.foreign(
        safe=safe,
        site=site.encode() if site else None,
        origin=origin.encode() if origin else None,
        host=b"localhost:8420",
    )


@given(st.binary(max_size=40) | st.sampled_from([b"http://[", b"http://[::1", b"//", b"http://localhost:8420:1"]))
def test_no_origin_makes_it_fail_or_passes_for_ours(origin: bytes) -> None:
    assert GATE.foreign(safe=False, site=None, origin=origin, host=b"localhost:8420")


def test_a_star_stands_for_one_host_only() -> None:
    gate = Gate((), ("http://localhost:*", "app://*"))
    assert gate.knows_origin(b"http://localhost:3000")
    assert not gate.knows_origin(b"http://localhost.evil.example")
    assert not gate.knows_origin(b"http://localhost:3000/../x")
    assert gate.knows_origin(b"app://obsidian.md")
    assert not gate.knows_origin(b"https://app://x")


def test_ever_new_names_fill_no_memory_and_ours_stay_known() -> None:
    gate = Gate(("localhost",), ())
    for number in range(3000):
        assert not gate.knows_host(f"{number}.evil.example".encode(), "127.0.0.1")
    assert len(gate._verdicts) <= 1024
    assert gate.knows_host(b"localhost", "127.0.0.1")
