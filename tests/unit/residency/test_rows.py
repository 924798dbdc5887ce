"""The table of what is in memory."""

from __future__ import annotations

from dataclasses import replace

from controller.engines.runner import ModelFacts, Runner
from controller.plain import GIB
from controller.residency.resident import Presence, Resident
from controller.residency.rows import Rows
from controller.residency.view import memory_document

A, B = (Runner(key, blob=key, name=key, facts=ModelFacts(1), engine="ollama", slots=4, need=100) for key in "ab")


def with_a() -> Rows:
    rows = Rows()
    rows.begin((), A, 100, 1.0)
    rows.loaded("a", (), 120, 70, 2.5, 4, 3.0)
    return rows


def in_use(rows: Rows) -> tuple[float, set[str]]:
    """GiB taken, and who is loaded, as `GET /api/v1/memory` tells them."""
    told = memory_document(None, None, rows.table, lambda key: [key], may_load=True, may_grant=True)
    return told["taken_gb"], set(told["models_loaded"])


def test_who_leaves_and_who_comes_are_marked_in_one_change() -> None:
    rows, seen = with_a(), list[dict[str, Presence]]()
    rows.on_change.append(lambda: seen.append({key: row.presence for key, row in rows.table.items()}))
    rows.begin(("a",), B, 70, 10.0)
    assert seen == [{"a": Presence.LEAVING, "b": Presence.LOADING}]
    assert (rows.table["b"].taken, rows.table["a"].taken) == (70, 120)  # promised, and still there
    assert not rows.is_here("a")


def test_a_load_holds_memory_once_those_who_make_room_have_left() -> None:
    rows = Rows()
    rows.begin((), A, 3 * GIB, 0.0)
    rows.loads("a", 0.0)
    rows.loaded("a", (), 4 * GIB, 0, 2.5, 4, 3.0)
    rows.begin(("a",), B, 2 * GIB, 10.0)
    assert in_use(rows) == (4, {"a"})
    rows.drop("a")
    rows.loads("b", 11.0)
    assert in_use(rows) == (2, set())
    rows.begin((), B, 3 * GIB, 12.0)  # it failed, and others have to leave before it is tried again
    assert in_use(rows) == (0, set())
    rows.loads("b", 13.0)
    rows.loaded("b", (), 1 * GIB, 0, 1.0, 4, 14.0)
    assert in_use(rows) == (1, {"b"})


def test_what_a_runner_may_come_to_keep_is_promised_from_the_beginning_and_after_its_load() -> None:
    rows, keeping = Rows(), replace(A, cache=3 * GIB)
    rows.begin((), keeping, 2 * GIB, 0.0)
    assert rows.table["a"].promised == 5 * GIB
    rows.loads("a", 1.0)
    rows.loaded("a", (), 1 * GIB, 0, 2.5, 4, 3.0)
    assert rows.table["a"].promised == 4 * GIB
    told = memory_document(None, None, rows.table, lambda key: [key], may_load=True, may_grant=True)
    assert (told["taken_gb"], told["cache_gb"]) == (1, 3)
    rows.found(replace(B, cache=GIB), (), GIB, 0, 4, 5.0)
    assert rows.table["b"].promised == 2 * GIB


def test_one_that_need_not_leave_has_been_there_all_the_time() -> None:
    rows = with_a()
    rows.begin(("a",), None, 0, 10.0)
    rows.stays(("a", "nobody"))
    assert (rows.table["a"].presence, rows.table["a"].since) == (Presence.RESIDENT, 3.0)


def test_a_load_proves_the_slots_and_one_that_was_found_does_not() -> None:
    rows = with_a()
    row: Resident = rows.table["a"]
    rows.doubt("a", 10.0)
    assert row.unproven
    rows.loaded("a", (), 130, 0, 1.0, 2, 20.0)
    assert (row.unproven, row.taken, row.slots, row.since, row.used) == (False, 130, 2, 20.0, 20.0)
    rows.found(B, (), 50, 20, 4, 21.0)
    assert rows.table["b"].unproven


def test_one_that_is_coming_back_is_not_promised_memory_twice() -> None:
    rows = with_a()
    rows.begin(("a",), A, 100, 5.0)  # a reload: it leaves, and comes again
    assert (len(rows.table), rows.table["a"].presence) == (1, Presence.LEAVING)
    rows.drop("a")
    rows.begin((), A, 100, 6.0)
    assert rows.table["a"].presence is Presence.LOADING


def test_an_answer_from_before_a_doubt_proves_nothing() -> None:
    rows = with_a()
    rows.doubt("a", 10.0)
    rows.proven("a", 9.0)
    assert rows.table["a"].unproven
    rows.proven("a", 11.0)
    assert not rows.table["a"].unproven


def test_what_is_noted_of_one_that_has_left_is_passed_over_and_nobody_is_told() -> None:
    rows, told = with_a(), list[str]()
    rows.on_change.append(lambda: told.append("changed"))
    for key in ("a", "gone"):
        rows.doubt(key, 10.0)
        rows.proven(key, 11.0)
        rows.stay(key)
    rows.judged("a", pinned=True, slots=1)
    rows.grown("a", 5)
    row = rows.table["a"]
    assert (row.stays, row.pinned, row.slots, row.taken, told) == (True, True, 1, 125, [])
