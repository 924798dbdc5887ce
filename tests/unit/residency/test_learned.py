"""Two halves of what is known of one runner."""

from __future__ import annotations

import pytest
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


def test_how_fast_prompts_are_read_is_not_learned_from_what_was_found_in_a_cache() -> None:
    """Ollama 0.32: a chat of 10,000 tokens grows by 100 a turn, and 300 tokens a second are really read."""
    learned = Learned().answered(40.0, None, 300.0)
    for turn in range(100):
        learned = learned.answered(1.0, None, (10_000 + 100 * turn) / (100 / 300))
    assert learned.prompt_rate == pytest.approx(300, rel=0.25)
    assert learned.answered(40.0, None, 300.0).prompt_rate == pytest.approx(300, rel=0.18)


@given(st.lists(st.floats(1, 50), min_size=1, max_size=200), st.integers(1, 50))
def test_a_read_speed_stays_within_a_tenth_while_one_prompt_in_fifty_is_read_whole(
    hits: list[float], between: int
) -> None:
    learned = Learned().answered(1.0, None, 300.0)
    for number, factor in enumerate(hits):
        learned = learned.answered(1.0, None, 300.0 if number % between == 0 else 300.0 * factor)
        assert learned.prompt_rate is not None
        assert 300 <= learned.prompt_rate < 330


def test_one_prompt_that_was_read_while_the_machine_stood_still_does_not_count_for_long() -> None:
    learned = Learned().answered(1.0, None, 300.0).answered(3600.0, None, 0.1)
    assert learned.prompt_rate == pytest.approx(210, abs=1)
    for _ in range(180):
        learned = learned.answered(1.0, None, 300.0)
    assert learned.prompt_rate == 300
