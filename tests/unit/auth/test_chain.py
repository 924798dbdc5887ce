"""Whatever somebody does to a row of the audit by hand, it shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.auth.chain import FORGOTTEN, ChainVerdict, Inspection, mark, sealed
from controller.auth.rows import AuditRow

CHANGES: dict[str, Any] = {
    "at": 2.5,
    "actor": "mallory",
    "what": "key.create",
    "target": "another",
    "outcome": "failed",
    "peer": "203.0.113.9",
    "request": "r-9",
    "facts": {"lane": 1},
}


def a_chain(count: int) -> list[AuditRow]:
    rows: list[AuditRow] = []
    for number in range(1, count + 1):
        before = rows[-1].hash if rows else b""
        row = AuditRow(number, 1.5, "anna", "key.revoke", f"key {number}", "done", "", "r-1", {"lane": 2.0}, before)
        rows.append(sealed(row))
    return rows


def verify(rows: list[AuditRow]) -> ChainVerdict:
    inspection = Inspection()
    half = len(rows) // 2
    inspection.look(rows[:half])
    inspection.look(rows[half:])
    return inspection.verdict


def forgetting(rows: list[AuditRow], gone: int) -> list[AuditRow]:
    """As the retention leaves them: the first `gone` are old, and the last row says so."""
    last = rows[gone - 1]
    said = AuditRow(len(rows) + 1, 2.0, "seadragon", FORGOTTEN, mark(last.number, last.hash), "done", "", "")
    return [*rows[gone:], sealed(replace(said, before=rows[-1].hash))]


@given(count=st.integers(0, 20))
def test_an_untouched_chain_is_whole(count: int) -> None:
    rows = a_chain(count)
    verdict = verify(rows)
    assert (verdict.rows, verdict.last, verdict.broken) == (count, count, None)
    assert verdict.hash == (rows[-1].hash.hex() if rows else "")


@given(place=st.integers(0, 9), field=st.sampled_from(sorted(CHANGES)))
def test_a_changed_row_shows_by_its_number(place: int, field: str) -> None:
    rows = a_chain(10)
    rows[place] = replace(rows[place], **{field: CHANGES[field]})
    assert verify(rows).broken == place + 1


@given(place=st.integers(0, 8))
def test_a_changed_row_with_a_new_hash_breaks_the_next_one(place: int) -> None:
    rows = a_chain(10)
    rows[place] = sealed(replace(rows[place], actor="mallory"))
    assert verify(rows).broken == place + 2


@given(first=st.integers(0, 8), count=st.integers(1, 3))
def test_rows_that_are_taken_out_are_missed(first: int, count: int) -> None:
    rows = a_chain(12)
    del rows[first : first + count]
    verdict = verify(rows)
    assert verdict.broken == first + count + 1
    assert "gone" in verdict.words


def test_rows_that_were_old_are_not_missed() -> None:
    rows = forgetting(a_chain(10), 4)
    verdict = verify(rows)
    assert (verdict.rows, verdict.last, verdict.broken) == (7, 11, None)


def test_more_rows_gone_than_were_old_are_missed() -> None:
    rows = forgetting(a_chain(10), 4)[1:]
    assert verify(rows).broken == 6


def test_two_rows_that_change_places_show() -> None:
    rows = a_chain(4)
    rows[1], rows[2] = replace(rows[2], number=2), replace(rows[1], number=3)
    assert verify(rows).broken == 2


@pytest.mark.parametrize("facts", [{"b": 1, "a": 2}, {"a": 2, "b": 1}])
def test_the_order_of_facts_is_none_of_their_meaning(facts: dict[str, object]) -> None:
    row = AuditRow(1, 1.0, "anna", "login", "", "done", "", "", {"a": 2, "b": 1})
    assert sealed(row).hash == sealed(replace(row, facts=facts)).hash
