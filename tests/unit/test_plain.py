"""Sizes, spans and texts as people read them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.plain import count_words, fault_words, moment_words, printable, size_words, span_words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (812, "812 bytes"),
        (1000, "1.0 kB"),
        (9_960_000, "10 MB"),
        (4_240_000_000, "4.2 GB"),
        (38e9, "38 GB"),
    ],
)
def test_sizes_have_two_digits_that_matter(count: float, words: str) -> None:
    assert size_words(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0 s"),
        (8.9, "8 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (356_400, "4 d 3 h"),
    ],
)
def test_spans_have_their_two_largest_units(seconds: float, words: str) -> None:
    assert span_words(seconds) == words


@given(count=st.floats(0, 1e15))
def test_no_size_needs_more_than_four_figures(count: float) -> None:
    assert len(size_words(count).split()[0]) <= 4


@given(text=st.text())
def test_what_is_printable_is_one_line_that_no_terminal_obeys(text: str) -> None:
    shown = printable(text)
    assert not any(ord(letter) < 32 and letter != "\t" or 0x7F <= ord(letter) < 0xA0 for letter in shown)
    assert shown.splitlines() in ([], [shown])
    shown.encode()  # no half characters


def test_an_escape_sequence_is_spelled_out() -> None:
    assert printable("\x1b[31mred\nnext") == "\\x1b[31mred\\nnext"


@pytest.mark.parametrize(("count", "words"), [(0, "no answers"), (1, "1 answer"), (3, "3 answers")])
def test_counts_agree_with_their_noun(count: int, words: str) -> None:
    assert count_words(count, "answer") == words


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "Permission denied", "/srv/data"), "/srv/data: permission denied"),
        (FileNotFoundError(2, "No such file or directory", b"/srv/data"), "/srv/data: no such file or directory"),
        (OSError(24, "Too many open files"), "too many open files"),
        (PermissionError("/srv/data belongs to another user"), "/srv/data belongs to another user"),
    ],
)
def test_what_the_system_refuses_is_told_without_its_number(error: OSError, words: str) -> None:
    assert fault_words(error) == words


def test_a_moment_tells_its_day_once_that_is_over() -> None:
    now = time.mktime((2026, 2, 12, 12, 0, 0, 0, 0, -1))
    assert moment_words(now - 60, now) == "11:59:00"
    assert moment_words(now - 86400, now) == "Wed 12:00"
    assert moment_words(now - 9 * 86400, now) == "3 Feb 12:00"
    assert moment_words(now + 365 * 86400, now) == "12 Feb 2027 12:00"
    assert moment_words(now - 43 * 86400, now) == "31 Dec 2025 12:00"
    new_year = time.mktime((2026, 1, 2, 12, 0, 0, 0, 0, -1))
    assert moment_words(new_year - 3 * 86400, new_year) == "Tue 12:00"  # so near that nobody is in doubt
