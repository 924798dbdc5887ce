"""What proves that an order comes from a page of ours."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.auth.rows import AHEAD
from controller.pages.forms import GOOD_FOR, FormTokens

NOW = 1_700_000_000.0


def test_a_token_holds_for_the_person_it_was_made_for_and_for_half_a_day() -> None:
    tokens = FormTokens()
    token = tokens.make("owner", NOW)
    assert tokens.holds(token, "owner", NOW + GOOD_FOR - 1)
    assert not tokens.holds(token, "owner", NOW + GOOD_FOR + 1)
    assert not tokens.holds(token, "mia", NOW)


def test_a_token_of_an_earlier_controller_holds_no_more() -> None:
    assert not FormTokens().holds(FormTokens().make("owner", NOW), "owner", NOW)


@given(st.text(), st.text())
def test_a_token_holds_for_nobody_but_whom_it_was_made_for(one: str, other: str) -> None:
    tokens = FormTokens()
    assert tokens.holds(tokens.make(one, NOW), other, NOW) is (one == other)


def test_a_clock_that_is_set_back_a_little_costs_nobody_their_page() -> None:
    tokens = FormTokens()
    token = tokens.make("owner", NOW)
    assert tokens.holds(token, "owner", NOW - AHEAD)
    assert not tokens.holds(token, "owner", NOW - AHEAD - 1)


def test_a_token_cannot_be_made_younger() -> None:
    tokens = FormTokens()
    made, _, signature = tokens.make("owner", NOW).partition(".")
    assert not tokens.holds(f"{float(made) + 5:.0f}.{signature}", "owner", NOW)


@given(st.text())
def test_no_other_text_is_a_token(text: str) -> None:
    assert not FormTokens().holds(text, "owner", NOW)
