from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.settings.units import seconds, size, time_of_day, write_seconds, write_size


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500ms", 0.5),
        ("90s", 90),
        ("1m30s", 90),
        ("2h", 7200),
        ("1 h 30 m", 5400),
        ("1.5d", 129600),
        ("2y", 63072000),
        ("60", 60),
    ],
)
def test_a_duration_is_read_as_seconds(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("512KiB", 2**19), ("32 MiB", 2**25), ("4GB", 4 * 10**9), ("1.5gib", 3 * 2**29), ("4096", 4096), ("1TiB", 2**40)],
)
def test_a_size_is_read_as_bytes(text: str, value: int) -> None:
    assert size(text) == value


@pytest.mark.parametrize(
    "text", ["", "soon", "-5s", "5 parsecs", "1e3", "inf", "nan", "0x10", "s", "9" * 400 + "s", "५s"]
)
def test_what_is_no_duration_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="90s"):
        seconds(text)


@pytest.mark.parametrize("text", ["", "big", "-1MiB", "1 XiB", "1ib", "1e9", "inf", "9" * 400, "MiB"])
def test_what_is_no_size_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="32MiB"):
        size(text)


@given(st.integers(0, 10**15 - 1))
def test_a_size_written_for_people_reads_back_as_itself(value: int) -> None:
    assert size(write_size(value).replace(" bytes", "")) == value


@given(st.floats(0, 86400).map(lambda value: round(value, 3)))
def test_a_duration_written_for_people_reads_back_as_itself(value: float) -> None:
    assert seconds(write_seconds(value)) == pytest.approx(value) or value < 1e-4


@pytest.mark.parametrize(
    ("text", "value"), [("03:30", "03:30"), ("3:30", "03:30"), (" 23:59 ", "23:59"), ("0:00", "00:00")]
)
def test_a_time_of_day_has_one_spelling(text: str, value: str) -> None:
    assert time_of_day(text) == value


@pytest.mark.parametrize("text", ["", "24:00", "12:60", "3", "12:5", "noon", "-1:00", "12:30:00", "٣:30"])
def test_what_is_no_time_of_day_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="03:30"):
        time_of_day(text)
