"""The end of a file that others write, rotate and remove."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.logtail import LONGEST, Tail


@given(lines=st.lists(st.text("ab", max_size=30), max_size=40), count=st.integers(0, 50))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_first_read_gives_the_last_lines(tmp_path: Path, lines: list[str], count: int) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"{line}\n" for line in lines))
    with Tail(path, count) as tail:
        assert tail.read() == (lines[-count:] if count else [])


def test_a_long_file_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"line {number}\n" for number in range(50_000)))
    with Tail(path, 3) as tail:
        assert tail.read() == ["line 49997", "line 49998", "line 49999"]


def test_half_a_line_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w") as log, Tail(path, 10) as tail:
        log.write("ab")
        log.flush()
        assert tail.read() == []
        log.write("c\n")
        log.flush()
        assert tail.read() == ["abc"]


@pytest.mark.parametrize("rotate", ["rename", "truncate"])
def test_a_rotated_file_is_followed_into_the_new_one(tmp_path: Path, rotate: str) -> None:
    path = tmp_path / "log"
    path.write_text("old and long\n")
    with Tail(path, 10) as tail:
        assert tail.read() == ["old and long"]
        if rotate == "rename":
            path.rename(tmp_path / "log.1")
            assert tail.read() == []
        path.write_text("new\n")
        assert [*tail.read(), *tail.read()] == ["new"]


def test_a_file_that_comes_later_is_read_from_its_beginning(tmp_path: Path) -> None:
    with Tail(tmp_path / "log", 1) as tail:
        assert tail.read() == []
        (tmp_path / "log").write_text("one\ntwo\n")
        assert tail.read() == ["one", "two"]


def test_a_line_without_end_comes_in_pieces_and_bad_letters_are_marked(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"\xff" * (LONGEST + 1))
    with Tail(tmp_path / "log", 1) as tail:
        (piece,) = tail.read()
    assert set(piece) == {"\N{REPLACEMENT CHARACTER}"}
