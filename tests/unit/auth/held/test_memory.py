"""The door's rows in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from controller.auth.held.memory import HeldRows
from controller.auth.rows import AllowRow, InviteRow, KeyRow, LinkRow, SessionRow, UserRow

MIA = UserRow("m", "Mia", "mia", "member", "", 0.0, "test")


def session(id: str, *, started: float = 0.0, ends: float = 100.0) -> SessionRow:
    return SessionRow(id, "m", "a browser", started, "", started, ends, started, "")


def a_key(**fields: Any) -> KeyRow:
    return KeyRow("k", b"", "", "editor", None, 2.0, ("infer",), (), (), 0.0, "test", **fields)


def test_every_kind_of_row_has_its_set_and_is_told_by_a_word_of_its_own() -> None:
    kinds = {rows.kind: rows.what for rows in HeldRows().sets()}
    assert set(kinds) == {KeyRow, UserRow, SessionRow, InviteRow, AllowRow, LinkRow}
    assert len(set(kinds.values())) == len(kinds)


def test_what_is_deleted_once_it_has_expired_is_what_nobody_is_named_by_afterwards() -> None:
    assert {rows.kind for rows in HeldRows().sets() if rows.vanish} == {SessionRow, LinkRow}


def test_a_person_is_found_by_their_name_until_they_are_called_something_else() -> None:
    rows = HeldRows()
    rows.take(MIA)
    assert rows.users.named(" MIA ") == MIA
    maria = replace(MIA, name="Maria", folded="maria")
    rows.take(maria)
    assert (rows.users.named("mia"), rows.users.named("maria")) == (None, maria)
    rows.forget(maria)
    assert (rows.users.named("maria"), len(rows.users)) == (None, 0)


def test_a_persons_sessions_are_told_newest_first_and_not_those_that_have_ended() -> None:
    rows = HeldRows()
    old, new = session("old", started=1.0), session("new", started=2.0)
    rows.take(old)
    rows.take(new)
    assert rows.sessions.of("m") == [new, old]
    rows.forget(new)
    assert rows.sessions.of("m") == [old]
    rows.sessions.clear()
    assert (rows.sessions.of("m"), rows.sessions.of("nobody")) == ([], [])


def test_a_row_ends_once_at_the_moment_it_says_last() -> None:
    rows = HeldRows()
    rows.take(a_key(expires_at=50.0))
    rows.take(session("s", ends=60.0))
    rows.take(a_key(expires_at=70.0))  # the moment was put off
    assert list(rows.ended(49.0)) == []
    assert [row.id for row in rows.ended(60.0)] == ["s"]
    assert [row.id for row in rows.ended(70.0)] == ["k"]
    assert list(rows.ended(1000.0)) == []


def test_a_row_that_is_gone_does_not_end_any_more_and_one_without_an_end_never_does() -> None:
    rows = HeldRows()
    rows.take(session("s", ends=60.0))
    rows.take(a_key())
    rows.take(MIA)
    rows.forget(session("s"))
    assert list(rows.ended(1e12)) == []
