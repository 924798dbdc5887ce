"""The arithmetic of `make bench`: a wrong ratio would be believed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench import report
from tests.bench.__main__ import commands
from tests.bench.arithmetic import GOALS, Goal, added_times_nginx, alone, percentile
from tests.bench.load import Reader
from tests.bench.streamer import END, HEAD, TOKEN

RESULTS = {
    "direct": {"small 1 p50": [20.0, 20.0, 40.0], "small 32 rate": [70_000.0, 70_000.0, 35_000.0]},
    "nginx": {"small 1 p50": [120.0, 120.0, 240.0], "small 32 rate": [60_000.0, 60_000.0, 30_000.0]},
    "ours": {"small 1 p50": [220.0, 240.0, 440.0], "small 32 rate": [9_000.0, 18_000.0, 4_500.0]},
}


def goal(text: str) -> Goal:
    return next(goal for goal in GOALS if goal.text == text)


@given(st.lists(st.floats(allow_nan=False), min_size=1), st.floats(0, 1))
def test_a_percentile_is_the_least_value_that_enough_values_do_not_exceed(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert sum(value <= found for value in values) >= share * len(values)
    assert found == min(values) or sum(value < found for value in values) < share * len(values)


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_gateways_are_compared_within_each_round() -> None:
    assert added_times_nginx(RESULTS, "ours", "small 1 p50") == [2.0, 2.2, 2.0]


def test_a_round_in_which_nginx_added_nothing_says_nothing() -> None:
    results = {"direct": {"m": [20.0, 20.0]}, "nginx": {"m": [20.0, 30.0]}, "ours": {"m": [40.0, 40.0]}}
    assert added_times_nginx(results, "ours", "m") == [2.0]


def test_a_verdict_takes_the_median_of_the_rounds_and_says_so_in_one_line() -> None:
    verdict = goal("added p50 at 1 connection").judge(RESULTS, "ours")
    assert verdict is not None
    assert verdict.met
    assert verdict.line == "met     added p50 at 1 connection: 2 × nginx's (goal ≤ 2.5)"


def test_a_goal_may_be_a_least_value() -> None:
    verdict = goal("requests/s at 32 connections").judge(RESULTS, "ours")
    assert verdict is not None
    assert not verdict.met
    assert verdict.line == "missed  requests/s at 32 connections: 0.15 × nginx's (goal ≥ 0.2)"


def test_a_figure_that_equals_its_limit_meets_it() -> None:
    for at_least in (False, True):
        verdict = Goal("size", "m", alone, 5, "MB", at_least).judge({"ours": {"m": [5.0]}}, "ours")
        assert verdict is not None
        assert verdict.met


def test_what_was_not_measured_is_not_judged() -> None:
    assert goal("listening after its start").judge(RESULTS, "ours") is None
    assert {verdict.gateway for verdict in report.verdicts(RESULTS)} == {"ours"}


def test_the_table_shows_medians_in_columns_and_leaves_out_what_was_not_measured() -> None:
    lines = report.text(RESULTS).splitlines()
    assert lines[1].split()[-3:] == ["direct", "nginx", "ours"]
    assert lines[2].split()[-3:] == ["20", "120", "240"]
    assert not any("keeper, MB" in line for line in lines)


def test_what_is_kept_can_be_read_again(tmp_path: Path) -> None:
    path = report.keep(RESULTS, {"rounds": 3}, tmp_path / "deep" / "figures.json")
    kept = json.loads(path.read_text())
    assert kept["rounds"] == RESULTS
    assert [verdict["met"] for verdict in kept["goals"]] == [True, False]


def test_another_gateway_is_any_command_with_its_ports_filled_in() -> None:
    command = commands(["mine=serve --at {port} --to http://127.0.0.1:{upstream}"])["mine"]
    assert command(1, 2, Path("/tmp")) == ["serve", "--at", "1", "--to", "http://127.0.0.1:2"]


class Wire(asyncio.Transport):
    """A transport that only knows whether it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


@given(st.lists(st.integers(1, 1200), max_size=5))
async def test_the_reader_counts_every_event_however_the_bytes_are_cut(cuts: list[int]) -> None:
    reader, wire, answer = Reader(), Wire(), HEAD + TOKEN * 3 + END
    reader.connection_made(wire)
    edges = [0, *sorted(min(cut, len(answer)) for cut in cuts), len(answer)]
    for start, end in zip(edges, edges[1:], strict=False):
        assert not wire.closed or start == len(answer)
        reader.data_received(answer[start:end])
    assert len(reader.arrivals) == 4  # three tokens and [DONE]
    assert wire.closed
