"""Names we answer to, and pages that may call."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.auth.gate import CONTAINERS, Gate, Sent
from controller.config.entry import Access
from controller.paths import CLONE
from controller.settings import addresses

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


# (site, mode, dest, origin, method) → foreign?
CASES = [
    (None, None, None, None, "GET", False),  # curl, SDKs
    (None, None, None, None, "POST", False),
    (None, "cors", None, None, "POST", False),  # Node's fetch
    ("same-origin", "cors", "empty", None, "POST", False),
    ("same-origin", "cors", "empty", "http://localhost:8420", "POST", False),
    ("none", "navigate", "document", None, "GET", False),  # typed into the address bar
    ("none", "no-cors", "empty", None, "POST", False),  # a program on Chromium's network stack
    ("none", "cors", "empty", None, "DELETE", False),
    ("none", None, None, None, "POST", False),
    ("none", "navigate", "document", None, "POST", True),
    ("none", "cors", "empty", "chrome-extension://abc", "POST", True),
    ("none", "no-cors", "empty", "null", "POST", True),
    ("none, none", "no-cors", "empty", None, "POST", True),  # it came twice: no browser's
    ("None", "no-cors", "empty", None, "POST", True),
    ("cross-site", "no-cors", "image", None, "GET", True),
    ("cross-site", "no-cors", "empty", "https://evil.example", "POST", True),
    ("same-site", "no-cors", "empty", None, "POST", True),
    ("cross-site", "navigate", "document", None, "GET", True),
    ("cross-site", "navigate", "iframe", "null", "POST", True),
    (None, None, None, "https://evil.example", "POST", True),  # over plain http
    (None, None, None, "https://evil.example", "GET", True),
    (None, None, None, "null", "POST", True),
    (None, None, None, "http://localhost:8420", "POST", False),  # … on a page of ours
    (None, None, None, "http://localhost:9999", "POST", True),  # another port is another origin
    ("cross-site", "cors", "empty", "vscode-webview://1a2b", "POST", False),
    ("cross-site", "cors", "empty", "https://chat.example.org", "POST", False),
    (None, None, None, "https://chat.example.org.evil.example", "POST", True),
    (None, None, None, "https://chat.example.org/", "POST", True),
]
OURS, LISTED = "http://localhost:8420", "https://chat.example.org"


def sent(method: str, *headers: str | None) -> Sent:
    """A request to localhost:8420 with these: Origin, Sec-Fetch-Site, -Mode, -Dest."""
    return Sent(method, b"localhost:8420", *(each if each is None else each.encode() for each in headers))


@pytest.mark.parametrize(("site", "mode", "dest", "origin", "method", "foreign"), CASES)
def test_a_foreign_page_is_told_from_a_program(
    site: str | None, mode: str | None, dest: str | None, origin: str | None, method: str, foreign: bool
) -> None:
    assert foreign is GATE.foreign(sent(method, origin, site, mode, dest))


@pytest.mark.parametrize(
    ("method", "mode", "dest", "foreign"),
    [
        ("GET", "navigate", "document", False),
        ("HEAD", "navigate", "document", False),
        ("POST", "navigate", "document", True),
        ("GET", "navigate", "iframe", True),
        ("GET", "cors", "empty", True),  # an event stream of ours, say, that another site's page would keep open
        ("GET", "no-cors", "script", True),
        ("GET", None, None, True),
    ],
)
def test_anybody_may_link_to_a_page_and_nobody_may_use_it_otherwise(
    method: str, mode: str | None, dest: str | None, foreign: bool
) -> None:
    assert foreign is GATE.foreign(sent(method, None, "cross-site", mode, dest), linked=True)


TABLE = [
    [cell.strip() for cell in line.split("|")[1:-1]]
    for line in (CLONE / "docs" / "security.md")
    .read_text(encoding="utf-8")
    .partition("| Sec-Fetch-Site")[2]
    .splitlines()
]
ROWS = [row for row in TABLE[2:] if len(row) == 8]


def fits(cell: str, value: str | None) -> bool:
    return cell == "any" or (value is None if cell == "-" else value in cell.split(", "))


def said(*values: str | None) -> list[str]:
    """The first row that fits."""
    return next(row for row in ROWS if all(map(fits, row, values)))


VALUES: Sequence[Sequence[str | None]] = (
    (None, "none", "same-origin", "same-site", "cross-site", "none, none", ""),
    (None, "navigate", "cors", "no-cors", "websocket"),
    (None, "document", "iframe", "empty", "image"),
    (None, "own", "listed", "null", "http://localhost:9", "https://evil.example"),
    ("GET", "HEAD", "POST", "DELETE"),
    ("application/json", "text/plain"),
)


def test_the_gate_does_what_the_table_in_the_documents_says() -> None:
    for site, mode, dest, origin, method, kind in product(*VALUES):
        verdict = said(site, mode, dest, origin, method, kind)[6]
        spelled = {"own": OURS, "listed": LISTED}.get(origin or "", origin)
        request = sent(str(method), spelled, site, mode, dest)
        assert GATE.foreign(request) is (verdict != "passes"), request
        assert GATE.foreign(request, linked=True) is (verdict == "refused"), request


def test_each_row_of_the_table_decides_something_and_says_where_it_is_known_from() -> None:
    assert {ROWS.index(said(*values)) for values in product(*VALUES)} == set(range(len(ROWS)))
    assert all(row[7] for row in ROWS)


@given(st.binary(max_size=40) | st.sampled_from([b"http://[", b"http://[::1", b"//", b"http://localhost:8420:1"]))
def test_no_origin_makes_it_fail_or_passes_for_ours(origin: bytes) -> None:
    assert GATE.foreign(Sent("POST", b"localhost:8420", origin))


def test_a_star_stands_for_one_host_only() -> None:
    gate = Gate((), ("http://localhost:*", "app://*"))
    assert gate.knows_origin(b"http://localhost:3000")
    assert not gate.knows_origin(b"http://localhost.evil.example")
    assert not gate.knows_origin(b"http://localhost:3000/../x")
    assert gate.knows_origin(b"app://obsidian.md")
    assert not gate.knows_origin(b"https://app://x")


@pytest.mark.parametrize(
    ("listed", "known", "strange"),
    [
        ("null", ["null"], ["", "nul", "https://null"]),
        ("file://", ["file://"], ["file:///etc", "https://file", "null"]),
        ("http://tauri.localhost", ["http://tauri.localhost"], ["https://tauri.localhost", "http://xtauri.localhost"]),
        (
            "http://localhost:*",
            ["http://localhost", "http://localhost:3000", "http://localhost:65535"],
            ["https://localhost:3000", "http://localhost:", "http://localhost:80x", "http://localhost.evil.example"],
        ),
        ("http://[::1]:*", ["http://[::1]:5173"], ["http://[::2]:5173"]),
        ("chrome-extension://*", ["chrome-extension://abcdef"], ["moz-extension://abcdef"]),
    ],
)
def test_what_programs_call_their_pages_can_be_listed(listed: str, known: list[str], strange: list[str]) -> None:
    gate = Gate((), (addresses.origin(listed),))
    assert [each for each in [*known, *strange] if gate.knows_origin(each.encode())] == known


def container(peer: str) -> bool:
    return peer == "172.17.0.2"


@pytest.mark.parametrize("host", [*sorted(CONTAINERS), "HOST.docker.internal:8420", "host.docker.internal."])
def test_what_containers_call_this_machine_is_a_name_of_it_for_them(host: str) -> None:
    gate = Gate(("localhost",), (), bridged=container)
    for near in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "192.168.1.5", "172.17.0.2"):
        assert gate.knows_host(host.encode(), "192.168.1.5", near), near
    for far in ("192.168.1.20", "172.17.0.3", "8.8.8.8", "", "localhost"):
        assert not gate.knows_host(host.encode(), "192.168.1.5", far), far
    assert not Gate((), (), addresses=False, bridged=container).knows_host(host.encode(), "127.0.0.1", "127.0.0.1")
    assert Gate(("host.docker.internal",), ()).knows_host(
        b"host.docker.internal", "", "8.8.8.8"
    )  # the operator said so


def test_no_page_is_ours_by_a_name_for_containers() -> None:
    host = b"host.docker.internal:8420"
    assert GATE.foreign(Sent("POST", host, b"http://host.docker.internal:8420"))
    assert not GATE.foreign(Sent("POST", host))


def test_ever_new_names_fill_no_memory_and_ours_stay_known() -> None:
    gate = Gate(("localhost",), ())
    for number in range(3000):
        assert not gate.knows_host(f"{number}.evil.example".encode(), "127.0.0.1")
    assert gate.remembered <= 1024
    assert gate.knows_host(b"localhost", "127.0.0.1")
