"""What a scrape finds, read back by the official parser."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from controller.answering.counts import RunCounts
from controller.histogram import BOUNDS as OURS
from controller.metrics import Metrics
from controller.scheduling.tally import OTHER_LANE, LineTally
from controller.scheduling.ticket import Cap, Why
from controller.scheduling.tokens import Tokens
from controller.supervision.spec import ChildState
from tests.fakes.desk import FakeDesk, a_line, a_memory, a_ticket, an_ollama

ROUTES = [("ollama", "/api/chat"), ("openai", "/v1/models")]
BOUNDS = (0.1, 1.0, 10.0)


@dataclass
class Took:
    counts: Sequence[int]
    total: float


@dataclass
class Counted:
    requests: dict[tuple[str, str, int], int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    first_byte: dict[str, Took] = field(default_factory=dict)
    total: dict[str, Took] = field(default_factory=dict)
    bytes_in: int = 0
    bytes_out: int = 0
    runs: RunCounts = field(default_factory=RunCounts)
    listed_hits: int = 0


@pytest.fixture
def desk(tmp_path: Path) -> FakeDesk:
    desk = FakeDesk(tmp_path)
    desk.data.mkdir()
    desk.logs.mkdir()
    return desk


Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(
    desk: FakeDesk, counted: Counted, lined: LineTally | None = None, bounds: Sequence[float] = BOUNDS
) -> Samples:
    """Every sample by its name and labels."""
    metrics = Metrics(
        desk,
        counted,
        lined or LineTally(),
        routes=ROUTES,
        reasons=["", "died"],
        bounds=bounds,
        log_dropped=lambda: 7,
    )
    body, content_type = metrics.text()
    assert content_type.startswith("text/plain")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(body.decode())
        for sample in family.samples
    }


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return f"seadragon_{name}", frozenset(labels.items())


def test_every_known_label_is_there_before_anything_happened(desk: FakeDesk) -> None:
    found = scraped(desk, Counted())
    for dialect, route in ROUTES:
        assert found[key("requests_total", dialect=dialect, route=route, status="200")] == 0
        assert found[key("request_seconds_count", dialect=dialect)] == 0
        assert found[key("first_byte_seconds_bucket", dialect=dialect, le="+Inf")] == 0
    assert found[key("request_errors_total", reason="died")] == 0
    assert key("request_errors_total", reason="") not in found
    assert {key("child_state", child="ollama", state=str(state)) for state in ChildState} <= found.keys()


def test_what_was_counted_is_told(desk: FakeDesk) -> None:
    runs = RunCounts()
    runs.streams, runs.held, runs.replays, runs.suspected = 4, 5, 6, 7
    counted = Counted(
        requests={("ollama", "/api/chat", 200): 3, ("ollama", "/api/chat", 503): 1},
        errors={"died": 2},
        bytes_in=10,
        bytes_out=2000,
        runs=runs,
        listed_hits=8,
    )
    found = scraped(desk, counted)
    assert found[key("requests_total", dialect="ollama", route="/api/chat", status="200")] == 3
    assert found[key("requests_total", dialect="ollama", route="/api/chat", status="503")] == 1
    assert found[key("request_errors_total", reason="died")] == 2
    told = ("received_bytes_total", "sent_bytes_total", "open_streams", "held_requests", "replays_total")
    assert [found[key(name)] for name in told] == [10, 2000, 4, 5, 6]
    assert [found[key(name)] for name in ("suspected_runners_total", "kept_answers_total")] == [7, 8]


def test_buckets_add_up_from_the_left_and_agree_with_count_and_sum(desk: FakeDesk) -> None:
    found = scraped(desk, Counted(total={"ollama": Took([2, 3, 0, 1], 42.5)}))
    buckets = [found[key("request_seconds_bucket", dialect="ollama", le=le)] for le in ("0.1", "1.0", "10.0", "+Inf")]
    assert buckets == [2, 5, 5, 6]
    assert found[key("request_seconds_count", dialect="ollama")] == 6
    assert found[key("request_seconds_sum", dialect="ollama")] == 42.5


def test_a_child_is_in_exactly_one_state(desk: FakeDesk) -> None:
    desk.known["ollama"] = an_ollama(ChildState.BACKOFF, restarts=9, memory=None)
    found = scraped(desk, Counted())
    states = {state: found[key("child_state", child="ollama", state=str(state))] for state in ChildState}
    assert {state for state, value in states.items() if value} == {ChildState.BACKOFF}
    assert found[key("child_restarts_total", child="ollama")] == 9
    assert found[key("child_memory_bytes", child="ollama")] == 0


def test_the_controller_tells_of_itself(desk: FakeDesk) -> None:
    desk.config_problems = ["broken"]
    desk.ready = False
    found = scraped(desk, Counted())
    assert found[key("config_stale")] == 1
    assert found[key("ready")] == 0
    assert found[key("log_dropped_lines_total")] == 7
    assert found[key("start_time_seconds")] == desk.started_at
    own = psutil.Process(os.getpid())
    assert found[key("resident_memory_bytes")] == pytest.approx(own.memory_info().rss, rel=0.2)
    assert found[key("open_files")] == pytest.approx(own.num_fds(), abs=5)
    assert found[key("cpu_seconds_total")] > 0
    assert found[key("disk_free_bytes", folder="data")] > 0


def test_a_folder_that_is_gone_has_no_room_and_breaks_nothing(desk: FakeDesk) -> None:
    desk.data.rmdir()
    assert scraped(desk, Counted())[key("disk_free_bytes", folder="data")] == 0


def test_a_hostile_model_or_route_name_cannot_break_the_format(desk: FakeDesk) -> None:
    odd = 'x"} 1\nseadragon_ready 0'
    found = scraped(desk, Counted(requests={("ollama", odd, 200): 1}))
    assert found[key("ready")] == 1
    assert found[key("requests_total", dialect="ollama", route=odd, status="200")] == 1


def test_the_line_is_told_before_anything_happened(desk: FakeDesk) -> None:
    found = scraped(desk, Counted())
    for lane in "123":
        assert found[key("line_waiting", lane=lane)] == 0
        assert found[key("line_wait_seconds_count", lane=lane)] == 0
    assert all(found[key("grants_total", why=str(why))] == 0 for why in Why)
    assert all(found[key("turned_away_total", cap=str(cap))] == 0 for cap in Cap)
    assert found[key("swaps_total", why="line")] == found[key("swaps_total", why="order")] == 0


def test_who_waits_and_who_runs_is_counted_by_lane_and_model(desk: FakeDesk) -> None:
    desk.line = a_line(
        a_ticket(1, "cline", state="granted", model="qwen3"), a_ticket(2, "cline"), a_ticket(3, "mia", lane=3.0)
    )
    desk.line["paused"] = ["lane 3"]
    found = scraped(desk, Counted())
    assert [found[key("line_waiting", lane=lane)] for lane in "123"] == [1, 0, 1]
    assert found[key("line_running", model="qwen3:latest")] == 1
    assert found[key("line_paused")] == 1


def test_lanes_of_keys_are_told_by_their_number_and_more_than_can_be_told_apart_together(desk: FakeDesk) -> None:
    desk.line = a_line(a_ticket(1, "a", lane=7.5), a_ticket(2, "b", lane=8.5))
    lined = LineTally()
    for lane, seconds in ((1.0, 0.05), (7.5, 0.5), (OTHER_LANE, 20.0)):
        lined.waits[lane].add(seconds)
    found = scraped(desk, Counted(), lined, OURS)
    assert [found[key("line_waiting", lane=lane)] for lane in ("7.5", "other")] == [1, 1]
    assert [found[key("line_wait_seconds_count", lane=lane)] for lane in ("1", "7.5", "other")] == [1, 1, 1]
    assert found[key("line_wait_seconds_bucket", lane="7.5", le="1.0")] == 1
    assert found[key("line_wait_seconds_sum", lane="other")] == 20


def test_grants_refusals_swaps_and_loads_are_told(desk: FakeDesk) -> None:
    lined = LineTally()
    lined.grants[Why.OVERTOOK], lined.turned[Cap.LINE], lined.swaps["pressure"] = 5, 2, 3
    lined.loaded("qwen3", 4.5)
    lined.loaded("qwen3", 8.0)
    found = scraped(desk, Counted(), lined)
    assert found[key("grants_total", why="overtook")] == 5
    assert found[key("turned_away_total", cap="line_full")] == 2
    assert found[key("swaps_total", why="pressure")] == 3
    assert found[key("loads_total", model="qwen3")] == 2
    assert found[key("load_seconds_total", model="qwen3")] == 12.5


def test_tokens_are_told_by_model(desk: FakeDesk) -> None:
    lined = LineTally()
    lined.answered("qwen3", Tokens(prompt=100, answer=400, answer_seconds=10.0))
    lined.answered("embedder", Tokens(prompt=7))
    found = scraped(desk, Counted(), lined)
    assert found[key("tokens_total", model="qwen3", direction="in")] == 100
    assert found[key("tokens_total", model="qwen3", direction="out")] == 400
    assert found[key("tokens_per_second", model="qwen3")] == 40
    assert found[key("tokens_per_second", model="embedder")] == 0


def test_memory_is_told_in_bytes(desk: FakeDesk) -> None:
    desk.room = a_memory(pressure=2, may_load=False)
    found = scraped(desk, Counted())
    assert found[key("memory_total_bytes")] == 64 * 2**30
    assert found[key("memory_budget_bytes")] == 47 * 2**30
    assert found[key("model_memory_bytes", model="qwen3")] == pytest.approx(3.1 * 2**30)
    assert (found[key("memory_pressure")], found[key("may_load")]) == (2, 0)


def test_memory_that_nobody_has_read_yet_is_left_out(desk: FakeDesk) -> None:
    unread = dict.fromkeys(("total_gb", "available_gb", "budget_gb", "taken_gb", "pressure"))
    desk.room = a_memory(**unread, models_loaded={})
    assert key("memory_total_bytes") not in scraped(desk, Counted())
