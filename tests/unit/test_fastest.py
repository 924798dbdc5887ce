"""Which of several Pythons is taken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from controller.obtain.fastest import MUCH, fastest

SECONDS = some.floats(0.001, 10)


def test_one_that_is_much_faster_is_taken() -> None:
    assert fastest("/pyenv", {"/pyenv": 0.12, "/usr": 0.07}) == "/usr"


def test_one_that_is_a_little_faster_is_not_worth_another_choice_than_uvs() -> None:
    assert fastest("/uv", {"/uv": 0.10, "/usr": 0.09}) == "/uv"


def test_where_none_could_be_tried_uvs_choice_stands() -> None:
    assert fastest("/uv", {}) == "/uv"


@given(some.dictionaries(some.sampled_from("abcdef"), SECONDS), SECONDS)
def test_what_is_taken_is_uvs_own_or_much_faster(others: dict[str, float], own: float) -> None:
    seconds = {**others, "own": own}
    taken = fastest("own", seconds)
    assert taken == "own" or seconds[taken] <= MUCH * own
    assert all(seconds[taken] <= took for took in seconds.values()) or taken == "own"
