"""What a certificate says; the bytes come from the tests' own."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.certificate import Certificate, understand
from tests.kit.certificates import HERE, NAMES


def der(name: str) -> bytes:
    return base64.b64decode("".join((HERE / f"{name}.pem").read_text().splitlines()[1:-1]))


HOUSE = der("house")


@pytest.mark.parametrize(
    ("name", "begins", "ends"), [("house", 2020, 2120), ("renewed", 2025, 2125), ("old", 2020, 2021)]
)
def test_a_certificate_says_from_when_until_when_and_for_whom(name: str, begins: int, ends: int) -> None:
    found = understand(der(name))
    assert found.names == NAMES
    assert datetime.fromtimestamp(found.begins, UTC) == datetime(begins, 1, 1, tzinfo=UTC)
    assert datetime.fromtimestamp(found.ends, UTC) == datetime(ends, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("host", "holds"),
    [("mini.example.org", True), ("MINI.example.org.", True), ("a.wild.example", True), ("wild.example", False),
     ("a.b.wild.example", False), ("example.org", False)],
)  # fmt: skip
def test_a_star_stands_for_one_whole_label(host: str, holds: bool) -> None:
    assert Certificate(("mini.example.org", "*.wild.example"), 0.0, 1.0).holds_for(host) is holds


@given(st.integers(0, len(HOUSE) - 1), st.binary(max_size=3))
def test_a_damaged_certificate_is_read_or_refused_and_nothing_else(at: int, instead: bytes) -> None:
    try:
        understand(HOUSE[:at] + instead + HOUSE[at + len(instead) :])
    except (ValueError, IndexError):
        pass


@given(st.binary(max_size=64))
def test_what_is_no_certificate_is_refused(text: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        understand(text)
