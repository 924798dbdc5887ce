"""Who stays out whatever becomes of the database."""

from __future__ import annotations

import json

import pytest

from controller.auth.barred import Barred, DatabaseState, Denial, FileState, both, read, unknowable, written

FULL = Barred(
    {"A1": Denial("A1", "not him", "192.0.2.0/24", 1.0, "Mia", None)},
    frozenset({"K1", "K2"}),
    frozenset({"U1"}),
    {"I1": 99.5},
    "It was lost.",
)


def test_what_is_written_is_read_again() -> None:
    assert read(written(FULL)) == FULL
    assert read(written(Barred())) == Barred()
    assert written(FULL) == written(read(written(FULL))), "one text for one thing"


def test_one_that_knows_more_is_read_and_what_it_lacks_is_nothing() -> None:
    assert read(b'{"keys": ["K1"], "added_later": 1}') == Barred(keys=frozenset({"K1"}))


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"null",
        b"\xff",
        written(FULL)[:-20],
        b'{"keys": "K1"}',
        b'{"people": [1]}',
        json.dumps({"denied": {"A1": {"id": "A1", "label": "x", "cidr": "all", "created_at": 1, "by": ""}}}).encode(),
        json.dumps({"denied": {"A1": {"id": "A2", "label": "x", "cidr": "::1", "created_at": 1, "by": ""}}}).encode(),
    ],
)
def test_what_cannot_be_what_was_written_is_not_believed(document: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong with it
        read(document)


def test_both_bars_whom_either_bars() -> None:
    one, other = Barred(keys=frozenset({"K1"})), Barred(people=frozenset({"U1"}), invites={"I1": 2.0})
    assert both(one, other) == both(other, one)
    assert both(one, other).keys == {"K1"}
    assert both(one, FULL).denied == FULL.denied


@pytest.mark.parametrize(
    ("file", "database", "off"),
    [
        ("good", "read", False),
        ("good", "new", False),
        ("good", "damaged", False),
        ("good", "unreadable", False),
        ("missing", "read", False),  # the first start with such a file
        ("missing", "new", False),  # the very first start
        ("missing", "damaged", True),
        ("missing", "unreadable", True),
        ("broken", "read", False),
        ("broken", "new", True),
        ("broken", "damaged", True),
        ("broken", "unreadable", True),
    ],
)
def test_addresses_are_off_when_nothing_tells_who_is_kept_out(
    file: FileState, database: DatabaseState, off: bool
) -> None:
    assert unknowable(file, database) is off
