"""Two halves of what is known of one runner."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.residency.learned import Learned

seconds = st.none() | st.floats(0, 1e6)
counts = st.integers(0, 1000)
figures = st.builds(
    Learned,
    load_seconds=seconds,
    tokens_rate=seconds,
    prompt_rate=seconds,
    answer_seconds=seconds,
    memory=st.none() | st.integers(0, 2**40),
    loads=counts,
    crashes=counts,
    last_error=st.sampled_from(["", "out of memory"]),
)


@given(known=figures)
def test_nothing_seen_since_changes_nothing(known: Learned) -> None:
    assert Learned().on_top_of(known) == known


@given(known=figures)
def test_on_top_of_nothing_it_stays_as_it_is(known: Learned) -> None:
    assert known.on_top_of(Learned()) == known


@given(early=figures, late=figures)
def test_counts_add_up_and_the_later_figure_counts(early: Learned, late: Learned) -> None:
    both = late.on_top_of(early)
    assert (both.loads, both.crashes) == (early.loads + late.loads, early.crashes + late.crashes)
    assert both.memory == (early.memory if late.memory is None else late.memory)
    assert both.tokens_rate == (early.tokens_rate if late.tokens_rate is None else late.tokens_rate)


def test_a_load_since_forgets_the_error_before_it() -> None:
    before = Learned().crashed("out of memory")
    assert Learned().loaded(2.0, 5).on_top_of(before).last_error == ""
    assert Learned().answered(2.0, None, None).on_top_of(before).last_error == "out of memory"
