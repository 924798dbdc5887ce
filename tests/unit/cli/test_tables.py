"""How a table is drawn."""

from __future__ import annotations

import re

import click
from hypothesis import given
from hypothesis import strategies as st

from controller.cli.tables import lines
from controller.listing import Listing

HEAD = ("NAME", "STATE", "HITS", "")
ROWS = [("n8n", "active", "7", "a word"), ("a longer one", "off", "1200", "")]
TABLE = Listing(HEAD, ROWS, ["green", None], 1, ("HITS",))


def plain(listing: Listing, width: int) -> list[str]:
    return [click.unstyle(line) for line in lines(listing, width)]


def test_columns_are_as_wide_as_their_longest_cell_and_figures_stand_to_the_right() -> None:
    assert plain(TABLE, 10_000) == [
        "NAME          STATE   HITS",
        "n8n           active     7  a word",
        "a longer one  off     1200",
    ]


def test_one_cell_of_a_row_has_its_colour_and_nothing_else_has_one() -> None:
    coloured = [re.findall(r"\x1b\[([1-9][0-9;]*)m([^\x1b]+)", line) for line in lines(TABLE, 100)]
    assert [[(code, text.strip()) for code, text in line] for line in coloured] == [[], [("32", "active")], []]


def test_what_is_too_long_for_a_terminal_goes_on_below_and_nothing_is_lost() -> None:
    why = "it waits for a model that somebody else is using now"
    narrow = plain(Listing(("WHO", "WHY"), [("mia", why)], [None], 0), 30)
    assert max(map(len, narrow)) <= 30
    assert " ".join(" ".join(narrow[1:]).replace("mia", "").split()) == why


@given(cells=st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), min_size=1, max_size=5))
def test_whatever_a_name_holds_a_row_is_a_line_and_no_terminal_obeys_it(cells: list[tuple[str, str]]) -> None:
    drawn = lines(Listing(("A", "B"), cells, [None] * len(cells), 0), 10_000)
    assert len(drawn) == len(cells) + 1
    assert not any("\x1b" in line for line in drawn)
