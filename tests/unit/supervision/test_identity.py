"""Identities are values: what follows from a table of processes, without asking for one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.supervision.child import Exit
from controller.supervision.identity import ProcessIdentity, ProcessRow, Table, descendants, survivors


def table_of(*rows: tuple[int, int]) -> Table:
    """A table of (pid, parent); start times are ten times the pid."""
    return {pid: ProcessRow(pid, parent, pid, 10 * pid, False) for pid, parent in rows}


def test_descendants_are_found_at_any_depth_and_the_roots_are_not_among_them() -> None:
    rows = table_of((1, 0), (2, 1), (3, 2), (4, 3), (9, 1))
    assert descendants([2], rows) == {ProcessIdentity(3, 30), ProcessIdentity(4, 40)}
    assert descendants([2, 3], rows) == {ProcessIdentity(4, 40)}


def test_a_zombie_is_no_descendant_but_its_children_are() -> None:
    rows = table_of((2, 1), (3, 2), (4, 3))
    rows[3] = ProcessRow(3, 2, 3, 30, True)
    assert descendants([2], rows) == {ProcessIdentity(4, 40)}


@given(st.dictionaries(st.integers(1, 30), st.integers(0, 30), max_size=30), st.integers(1, 30))
def test_a_table_read_while_it_changed_may_hold_circles_and_still_the_search_ends(
    parents: dict[int, int], root: int
) -> None:
    found = descendants([root], table_of(*parents.items()))
    assert all(one.pid != root for one in found)


def test_a_reused_pid_is_not_the_process_that_was_recorded() -> None:
    rows = table_of((5, 1))
    assert survivors([ProcessIdentity(5, 50)], rows) == {ProcessIdentity(5, 50)}
    assert survivors([ProcessIdentity(5, 49), ProcessIdentity(6, 60)], rows) == set()


def test_an_exit_says_how_it_was() -> None:
    assert Exit(1, None, False).words == "left with exit code 1"
    assert Exit(None, 9, False).words == "was ended by signal 9 (KILL)"
    assert Exit(None, 35, False).words == "was ended by signal 35"
    assert Exit(None, None, True).words == "is gone; nobody saw how"
