"""Requests that crash their model."""

from __future__ import annotations

from controller.answering.poison import FORGOTTEN, KNOWN, REFUSED, Poison, guilty

BODY = b'{"model":"m"}'


def test_it_is_known_after_two_crashes_and_refused_after_three() -> None:
    poison = Poison()
    assert poison.level(BODY, 0) == 0
    poison.crashed(BODY, 1, 0)
    poison.crashed(BODY, KNOWN, 1)
    assert poison.level(BODY, 2) == KNOWN
    poison.crashed(BODY, REFUSED, 2)
    assert poison.level(BODY, 3) == REFUSED
    assert poison.level(b"other", 3) == 0


def test_who_ran_alone_is_guilty_after_two_crashes_and_who_had_company_after_three() -> None:
    assert [level for level in range(5) if guilty(level, slots=1)] == [2, 3, 4]
    assert [level for level in range(5) if guilty(level, slots=4)] == [3, 4]


def test_one_crash_under_many_equal_requests_counts_once() -> None:
    poison = Poison()
    for _ in range(50):
        poison.crashed(BODY, 1, 0)
    assert poison.level(BODY, 0) == 1


def test_an_answer_or_time_clears_it() -> None:
    poison = Poison()
    poison.crashed(BODY, REFUSED, 0)
    assert poison.level(BODY, FORGOTTEN + 1) == 0
    poison.answered(BODY)
    assert poison.level(BODY, 0) == 0


def test_it_remembers_no_more_than_it_must() -> None:
    poison = Poison()
    for number in range(1000):
        poison.crashed(b"%d" % number, REFUSED, 0)
    assert poison.level(b"0", 0) == 0
    assert poison.level(b"999", 0) == REFUSED
    assert poison.remembered <= 256
