"""The line, the models and the memory in words."""

from __future__ import annotations

import pytest

from controller.auth.access import Principal
from controller.line_words import (
    estimate_words,
    gb_words,
    line_words,
    loaded_words,
    memory_words,
    model_table,
    queue_table,
)
from tests.fakes.desk import a_line, a_memory, a_model, a_ticket


def id_of(label: str) -> str:
    return Principal(label).identity


def plain(text: str, /, *, fg: str | None) -> str:
    return text


def test_the_table_of_the_line_says_place_wait_estimate_and_reason() -> None:
    line = a_line(
        a_ticket(7, "cline", state="granted", why="turn", hold=None, position=0),
        a_ticket(8, "n8n", lane=2.5, waited_seconds=125.0, position=1),
        a_ticket(9, "mia", estimate_seconds=None, position=2, hold="paused by the operator"),
    )
    assert line_words(line) == "2 waiting, 1 being answered"
    table = queue_table(line)
    assert table.head == ("#", "NUMBER", "WHO", "LANE", "MODEL", "WAITED", "ABOUT", "WHY")
    assert table.rows == [
        ("now", "7", "cline", "1", "llama3.2", "12 s", "", "it was its turn"),
        ("1", "8", "n8n", "2.5", "llama3.2", "2 min", "40 s", "its model is busy"),
        ("2", "9", "mia", "1", "llama3.2", "12 s", "", "paused by the operator"),
    ]
    assert table.colours == ["green", None, None]


def test_an_empty_line_has_no_rows() -> None:
    assert line_words(a_line()) == "nobody waiting, none being answered"
    assert not queue_table(a_line()).rows


def test_the_table_of_models_tells_what_was_measured_from_what_is_expected() -> None:
    table = model_table([a_model("llama3.2"), a_model("qwen3", state="resident", pinned=True)])
    assert table.head == ("MODEL", "STATE", "MEMORY", "LOADS", "TOKENS/S", "")
    assert table.rows == [
        ("qwen3", "loaded, pinned", "3.1 GB", "4", "41.5", ""),
        ("llama3.2", "not loaded", "~3.0 GB", "4", "41.5", ""),
    ]


def test_a_model_that_failed_says_why() -> None:
    broken = a_model("big", state="quarantined", last_error="It crashed twice.", tokens_per_second=None, loads=0)
    assert model_table([broken]).rows == [("big", "set aside", "~3.0 GB", "0", "", "It crashed twice.")]


def test_without_a_model_the_table_says_how_to_get_one() -> None:
    assert model_table([]).none == "There is no model yet. To make a tiny one: seadragon demo"


@pytest.mark.parametrize(
    ("gb", "words"),
    [(31.4, "31 GB"), (9.96, "10 GB"), (2.04, "2.0 GB"), (0.0413, "0.041 GB"), (0.0, "0.0 GB"), (None, "")],
)
def test_a_size_has_the_figures_that_matter(gb: float | None, words: str) -> None:
    assert gb_words(gb) == words


def test_what_is_paused_is_named() -> None:
    line = {**a_line(), "paused": ["lane 3", "qwen3"]}
    assert line_words(line) == "nobody waiting, none being answered; paused: lane 3, qwen3"


def test_an_estimate_is_silent_when_nobody_knows_and_never_nothing() -> None:
    assert (estimate_words(None), estimate_words(0.2), estimate_words(90)) == ("", "about 1 s", "about 1 min")


def test_memory_says_what_is_wrong_only_when_something_is() -> None:
    assert memory_words(a_memory()) == "47 GB for models, 3.1 GB of it taken; 51 GB of 64 GB free"
    assert memory_words(a_memory(taken_gb=0.0)) == "47 GB for models, nothing of it taken; 51 GB of 64 GB free"
    short = a_memory(pressure=2, may_load=False, why="memory is short")
    assert memory_words(short).endswith(", pressure high. memory is short")
    kept = a_memory(cache_gb=2.5)
    assert memory_words(kept) == (
        "47 GB for models, 3.1 GB of it taken, 2.5 GB more for their conversations; 51 GB of 64 GB free"
    )
    elsewhere = a_memory(budget_gb=None)  # nobody here knows how much there is on another machine
    assert memory_words(elsewhere) == "models have 3.1 GB; 51 GB of 64 GB free"
    assert memory_words(a_memory(total_gb=None)) == "not measured yet"


def test_what_is_loaded_is_listed_or_said_to_be_none() -> None:
    assert loaded_words(a_memory()) == "qwen3 (3.1 GB)"
    assert loaded_words(a_memory(models_loaded={})) == "none"
