"""How long a client may let us wait."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.proxy.patience import LARGE, RATE, Patience

STEP = 0.5


def steps(patience: Patience, each: int, most: int = 10_000) -> int:
    """After how many steps, with `each` bytes in every one, it is used up; `most` if it never is."""
    return next((number for number in range(1, most) if patience.lost(STEP, number * each)), most)


def test_silence_uses_it_up() -> None:
    assert steps(Patience(30), 0) == 60


@given(st.integers(int(RATE * STEP), 10**9))
def test_whoever_keeps_the_rate_is_served_for_ever(each: int) -> None:
    assert steps(Patience(30), each) == 10_000


@given(st.integers(0, int(RATE * STEP) - 1))
def test_a_byte_now_and_then_does_not_last_for_ever(each: int) -> None:
    assert 60 <= steps(Patience(30), each, 10**6) < 10**6


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 10**6))))
def test_who_is_not_waited_for_loses_nothing(pieces: list[tuple[float, int]]) -> None:
    patience, moved = Patience(30), 0
    for _, count in pieces:
        moved += count
        assert not patience.lost(0.0, moved)


def test_a_fast_beginning_buys_no_more_than_the_whole_of_it() -> None:
    patience = Patience(30)
    assert not patience.lost(STEP, 10**9)
    assert sum(not patience.lost(STEP, 10**9) for _ in range(1000)) == 59


def test_what_takes_room_from_others_has_to_come_faster() -> None:
    def lasts(each: int) -> bool:
        patience = Patience(30)
        return not any(patience.lost(STEP, number * each, LARGE) for number in range(1, 10_000))

    assert lasts(int(LARGE * STEP))
    assert not lasts(int(LARGE * STEP) - 100)
