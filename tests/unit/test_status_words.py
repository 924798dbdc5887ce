"""`seadragon status` for people."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controller.status_words import status_lines
from controller.supervision.spec import ChildState, ChildStatus
from tests.fakes.desk import a_memory

NOW = 1_700_000_000.0


def plain(text: str, /, *, fg: str | None) -> str:
    return text


def marked(text: str, /, *, fg: str | None) -> str:
    return f"<{fg}>{text}"


def seen(*children: ChildStatus, problems: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "version": "1.2.3",
        "phase": "running",
        "uptime": 7500.0,
        "pid": 9,
        "listeners": [{"address": "127.0.0.1:8420", "url": "http://127.0.0.1:8420", "kind": "direct"}],
        "children": {child.name: child.to_json() for child in children},
        "line": {"waiting": 2, "running": 1, "paused": ["lane 3"]},
        "memory": a_memory(),
        "config": {"stale": bool(problems), "problems": list(problems)},
    }


def test_a_child_that_is_well_takes_one_line() -> None:
    child = ChildStatus("ollama", ChildState.READY, "It answers.", NOW - 60, pid=5, memory=34_000_000, restarts=2)
    assert list(status_lines(seen(child), NOW, plain)) == [
        "Seadragon 1.2.3, running for 2 h 5 min, process 9",
        "  http://127.0.0.1:8420  direct",
        "",
        "  ollama     ready         for 1 min  process 5  34 MB  2 restarts",
        "",
        "  line       2 waiting, 1 being answered; paused: lane 3",
        "  loaded     qwen3 (3.1 GB)",
        "  memory     47 GB for models, 3.1 GB of it taken; 51 GB of 64 GB free",
    ]


def test_an_address_that_is_awaited_is_told_beside_those_that_are_open() -> None:
    late = {"address": "192.168.1.10:8420", "kind": "direct", "why": "this machine does not have that address now"}
    lines = list(status_lines({**seen(), "awaited": [late]}, NOW, marked))
    assert lines[2] == "  192.168.1.10:8420  <yellow>not open yet: this machine does not have that address now"


def test_a_database_that_is_of_no_use_is_told() -> None:
    lines = list(status_lines({**seen(), "storage": {"trouble": "The database is locked."}}, NOW, plain))
    assert lines[-1] == "The database is locked."
    assert list(status_lines({**seen(), "storage": {"trouble": ""}}, NOW, plain))[-1] != ""


def test_a_child_in_trouble_says_why_and_when_it_is_tried_again() -> None:
    child = ChildStatus("ollama", ChildState.DEGRADED, "It ends \x1b[2J at once.", NOW - 5, retry_in=240)
    _, _, _, line, reason, *_ = status_lines(seen(child), NOW, plain)
    assert "next try in 4 min" in line
    assert reason.strip() == "It ends \\x1b[2J at once."


def test_colours_tell_well_from_waiting_from_trouble() -> None:
    states = {ChildState.READY: "green", ChildState.BACKOFF: "yellow", ChildState.CONFLICT: "red"}
    for state, colour in states.items():
        assert any(
            f"<{colour}>{state}" in line for line in status_lines(seen(ChildStatus("x", state, "", NOW)), NOW, marked)
        )


def test_stale_settings_are_told_with_each_problem() -> None:
    lines = list(status_lines(seen(problems=("server.yaml:3:1 hold", "access.yaml:1:1 alow")), NOW, plain))
    assert lines[-3:] == ["The YAML on disk is not what runs:", "  server.yaml:3:1 hold", "  access.yaml:1:1 alow"]


@given(
    state=st.sampled_from(ChildState), reason=st.text(), since=st.floats(-1e6, 4e9), retry=st.none() | st.floats(0, 1e6)
)
def test_there_is_a_line_for_every_child_whatever_is_known_of_it(
    state: ChildState, reason: str, since: float, retry: float | None
) -> None:
    child = ChildStatus("tunnel", state, reason, since, retry_in=retry)
    lines = list(status_lines(seen(child), NOW, plain))
    assert sum(line.startswith("  tunnel") for line in lines) == 1
    assert all("\n" not in line for line in lines)
