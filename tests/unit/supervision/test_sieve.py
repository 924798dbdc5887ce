"""What of a child's output reaches its log."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.supervision.sieve import LONGEST, MARGIN, REDACTED, Cleaner, Ring, Sieve, secrets_in, split

PLENTY = 1e12


def sieve(rate: float = PLENTY, burst: float = PLENTY) -> Sieve:
    return Sieve(Cleaner(), rate=rate, burst=burst)


def clean(text: bytes) -> bytes:
    return Cleaner().clean(text)


# ------------------------------------------------------------------------------------------------------ the budget

line = st.binary(max_size=40).map(lambda text: text.replace(b"\n", b"").hex().encode() + b"\n")
chunks = st.lists(st.tuples(st.lists(line, max_size=8).map(b"".join), st.floats(0, 3)), max_size=30)


@given(chunks)
def test_without_shortage_everything_comes_through_in_order(chunks: list[tuple[bytes, float]]) -> None:
    one = sieve()
    out = b"".join(one.feed(chunk, 0.0) for chunk, _ in chunks) + one.end()
    assert out == b"".join(chunk for chunk, _ in chunks)
    assert one.dropped == 0


@given(st.lists(line, max_size=20).map(b"".join), st.lists(st.integers(0, 1000), max_size=10))
def test_how_the_output_is_cut_into_chunks_does_not_matter(text: bytes, cuts: list[int]) -> None:
    one, places = sieve(), [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[begin:end] for begin, end in zip(places, places[1:], strict=False)]
    assert b"".join(one.feed(piece, 0) for piece in pieces) + one.end() == text


@given(chunks, st.integers(0, 300), st.integers(1, 500))
def test_every_byte_is_written_or_counted_and_only_whole_lines_are_written(
    chunks: list[tuple[bytes, float]], rate: int, burst: int
) -> None:
    one, now, out, fed = sieve(rate, burst), 0.0, [], []
    for chunk, pause in chunks:
        now += pause
        fed += chunk.splitlines(keepends=True)
        out.append(one.feed(chunk, now))
        out.append(one.tick(now))
    out.append(one.end())
    written = b"".join(out).splitlines(keepends=True)
    lines = [text for text in written if not text.startswith(b"{")]
    told = [json.loads(text)["dropped_bytes"] for text in written if text.startswith(b"{")]
    assert sum(map(len, lines)) + one.dropped == sum(map(len, fed))
    assert sum(told) == one.dropped
    remaining = iter(fed)
    assert all(text in remaining for text in lines)  # in order, each a whole line of the child's
    assert sum(map(len, lines)) <= burst + rate * now


def test_a_gap_ends_when_a_second_of_budget_is_saved_and_is_told_in_one_line() -> None:
    one = sieve(rate=100, burst=200)
    assert one.feed(b"a" * 149 + b"\n" + b"b" * 149 + b"\n", 0.0) == b"a" * 149 + b"\n"
    assert one.feed(b"c\n" * 10, 0.1) + one.feed(b"d\n" * 10, 0.4) == b""
    assert one.feed(b"e\n", 0.5) == b'{"dropped_bytes": 190}\ne\n'


def test_the_rest_of_a_dropped_line_is_dropped_too() -> None:
    one = sieve(rate=10, burst=10)
    assert one.feed(b"0123456789abcdef", 0.0) == b""
    assert one.feed(b"rest\nnext\n", 5.0) == b'{"dropped_bytes": 21}\nnext\n'


def test_a_gap_is_told_though_the_child_fell_silent() -> None:
    one = sieve(rate=10, burst=10)
    one.feed(b"x" * 50 + b"\n", 0.0)
    assert one.tick(0.5) == b'{"dropped_bytes": 51}\n'
    assert one.tick(9.0) == b""


# ------------------------------------------------------------------------------------------------- lines and letters


def test_the_last_line_needs_no_end() -> None:
    one = sieve()
    assert one.feed(b"no end", 0) == b""
    assert one.end() == b"no end\n"


@given(st.integers(1, 4 * LONGEST))
def test_a_long_line_is_split_and_nothing_of_it_is_lost(size: int) -> None:
    one = sieve()
    out = one.feed(b"x" * size + b"\n", 0) + one.end()
    assert max(map(len, out.splitlines())) <= LONGEST
    assert out.replace(b"\n", b"") == b"x" * size


def test_a_line_that_never_ends_is_not_kept_in_memory() -> None:
    one, out = sieve(), b""
    for _ in range(100):
        out += one.feed(b"x" * 10_000, 0)
        assert len(one._carry) < LONGEST + MARGIN
    assert len(out) > 900_000


def test_letters_are_not_cut_in_two() -> None:
    text = "é".encode() * LONGEST + b"\n"
    assert split(b"x" + text).decode().replace("\n", "") == "x" + "é" * LONGEST
    one = sieve()
    out = one.feed(b"x" + text[:-1], 0) + one.end()
    assert "\N{REPLACEMENT CHARACTER}" not in out.decode()


@given(st.binary(max_size=3000))
def test_whatever_comes_in_valid_text_comes_out(text: bytes) -> None:
    one = sieve()
    out = (one.feed(text, 0) + one.end()).decode()
    assert not any(ord(letter) < 32 and letter not in "\t\n" for letter in out)


def test_dirt_is_cleaned() -> None:
    assert clean(b"\x1b[1;31mred\x1b[0m\r\n") == b"red\n"
    assert clean(b"\x1b]0;title\x07text\n") == b"text\n"
    assert clean(b"nul\0nul\n") == b"nul?nul\n"
    assert clean(b"\xff\n").decode() == "\N{REPLACEMENT CHARACTER}\n"
    assert clean("größer\n".encode()).decode() == "größer\n"


# ------------------------------------------------------------------------------------------------------ secrets


@pytest.mark.parametrize(
    "secret",
    [
        b"sd_0123456789abcdefghij",
        b"Bearer 0123456789abcdef",
        b"bearer abc.def-ghi~jkl=",
        b"BEARER 0123456789abcdef",
        b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_DEF",
        b"eyJhIjoiMTIzNDU2Nzg5MCIsInQiOiJhYmMifQ==",
    ],
)
def test_secrets_are_not_logged(secret: bytes) -> None:
    assert clean(b'before "' + secret + b'" after\n') == b'before "' + REDACTED + b'" after\n'


def test_words_that_merely_look_a_little_like_secrets_stay() -> None:
    for text in (b"bearer of news\n", b"sd_card\n", b"used_0123456789\n", b"eyJ\n"):
        assert clean(text) == text


def test_the_secrets_of_its_environment_are_not_logged() -> None:
    secrets = secrets_in({"TUNNEL_TOKEN": "hunter2hunter2", "API_KEY": "short", "HOME": "/Users/someone"})
    assert secrets == ["hunter2hunter2"]
    assert Cleaner(secrets).clean(b"token hunter2hunter2 from /Users/someone\n") == (
        b"token [redacted] from /Users/someone\n"
    )


@given(st.integers(LONGEST - 60, LONGEST + 60))
def test_a_secret_that_lies_across_a_split_is_not_logged_in_two_halves(place: int) -> None:
    secret = b"sd_" + b"k" * 40
    one = sieve()
    text = b"x" * (place - 1) + b" " + secret + b" " + b"y" * LONGEST
    out = one.feed(text, 0) + one.end()
    assert b"kkk" not in out
    assert REDACTED in out


# ------------------------------------------------------------------------------------------------------ the ring


@given(st.lists(st.binary(max_size=50), max_size=20), st.integers(1, 64), st.integers(0, 80))
def test_the_ring_ends_with_the_newest_bytes(chunks: list[bytes], size: int, wanted: int) -> None:
    ring = Ring(size)
    for chunk in chunks:
        ring.add(memoryview(chunk))
    whole = b"".join(chunks)
    last = ring.last(wanted)
    assert whole.endswith(last)
    assert len(last) <= min(size, wanted)
    if len(whole) <= min(size, wanted):
        assert last == whole


def test_the_ring_begins_with_a_whole_line() -> None:
    ring = Ring(16)
    ring.add(memoryview(b"first line\nsecond line\n"))
    assert ring.last(16) == b"second line\n"
