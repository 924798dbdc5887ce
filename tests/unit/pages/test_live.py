"""Who may have how many live streams open."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.pages.live import KEPT, SHARE, VIEWERS, Watchers


def test_one_caller_has_a_share_and_another_their_own() -> None:
    watchers = Watchers()
    assert [watchers.enter("guest", manages=False) for _ in range(SHARE + 1)] == [True] * SHARE + [False]
    assert watchers.enter("operator", manages=True)
    watchers.leave("guest")
    assert watchers.enter("guest", manages=False)


def test_a_crowd_of_guests_leaves_places_for_those_who_manage() -> None:
    watchers = Watchers()
    let_in = [watchers.enter(f"guest {number}", manages=False) for number in range(VIEWERS)]
    assert let_in.count(True) == VIEWERS - KEPT
    assert watchers.enter("operator", manages=True)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans(), st.booleans()), max_size=120))
def test_there_are_never_more_than_may_be_and_who_leaves_leaves_nothing_behind(
    steps: list[tuple[str, bool, bool]],
) -> None:
    watchers = Watchers()
    inside: list[str] = []
    for caller, manages, leaves in steps:
        if leaves and inside:
            watchers.leave(inside.pop())
        elif watchers.enter(caller, manages=manages):
            inside.append(caller)
        assert len(inside) <= VIEWERS
        assert all(inside.count(each) <= SHARE for each in inside)
    for caller in inside:
        watchers.leave(caller)
    assert [watchers.enter("a", manages=False) for _ in range(SHARE)] == [True] * SHARE
