"""What models.yaml wants of a runner that may have several names, and who is idle too long."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.config.models import Models
from controller.engines.runner import ModelFacts, Runner
from controller.plain import GIB
from controller.residency.resident import Presence, Resident
from controller.residency.wishes import Wishes, differs, idle_too_long, preloads, some_leave_at_once, wishes


def resident(key: str, used: float, *, since: float = 0.0, pinned: bool = False) -> Resident:
    runner = Runner(key, blob=key, name=key, facts=ModelFacts(1), engine="ollama")
    return Resident(runner, Presence.RESIDENT, since, taken=1, slots=1, used=used, pinned=pinned)


def test_what_is_not_said_of_a_model_is_as_everywhere() -> None:
    assert wishes(Models(), ["red:latest"]) == Wishes(keep_alive=math.inf)
    assert wishes(Models(keep_alive=300), ["red:latest"]).keep_alive == 300


def test_every_spelling_of_every_name_counts_and_who_wants_most_prevails() -> None:
    rows = {"RED": {"keep_alive": "5m"}, "pen:latest": {"keep_alive": "1h", "pin": True, "memory_gb": 3}, "blue": {}}
    models = Models.model_validate({"models": rows})
    assert wishes(models, ["red:latest"]) == Wishes(keep_alive=300)
    assert wishes(models, ["red:latest", "pen:latest"]) == Wishes(keep_alive=3600, pin=True, memory_gb=3)


def test_a_load_may_take_as_long_as_the_most_patient_of_its_names_says() -> None:
    rows = {"red": {"times": {"load": "5m"}}, "pen": {"times": {"load": "1h"}}, "blue": {}}
    models = Models.model_validate({"models": rows})
    assert wishes(models, ["red:latest", "pen:latest", "blue:latest"]).load == 3600
    assert wishes(models, ["blue:latest"]).load is None


def test_it_is_known_whether_any_model_leaves_at_once() -> None:
    told = [{}, {"keep_alive": 0}, {"models": {"red": {"keep_alive": 0}}}, {"models": {"red": {"keep_alive": "1m"}}}]
    assert [some_leave_at_once(Models.model_validate(each)) for each in told] == [False, True, True, False]


def test_what_is_to_be_there_at_start_comes_in_the_files_order() -> None:
    rows = {"b": {"preload": "at_start"}, "a": {"preload": "at_start"}, "c": {}}
    assert preloads(Models.model_validate({"models": rows})) == ["b", "a"]


def test_one_that_was_just_loaded_is_not_idle_for_what_was_before() -> None:
    table = {"a": resident("a", used=0.0, since=90.0)}
    assert idle_too_long(table, {"a": Wishes(60)}, [], 100.0) == []
    assert idle_too_long(table, {"a": Wishes(60)}, [], 150.0) == ["a"]


def test_one_that_may_stay_for_no_time_goes_as_soon_as_nobody_uses_it() -> None:
    table = {"a": resident("a", used=100.0)}
    assert idle_too_long(table, {"a": Wishes(0)}, [], 100.0) == ["a"]
    assert idle_too_long(table, {"a": Wishes(0)}, ["a"], 100.0) == []


def test_what_a_client_wants_to_stay_is_never_idle_too_long() -> None:
    row = resident("a", 0)
    row.stays = True
    assert idle_too_long({"a": row}, {"a": Wishes(0)}, (), 1e9) == []


rows = st.lists(
    st.tuples(st.floats(0, 1000), st.booleans(), st.one_of(st.just(math.inf), st.floats(0, 500)), st.booleans()),
    max_size=6,
)


@given(rows, st.floats(1000, 2000))
def test_nobody_who_is_pinned_used_or_young_leaves_and_the_longest_unused_goes_first(
    given_rows: list[tuple[float, bool, float, bool]], now: float
) -> None:
    table = {str(n): resident(str(n), used, pinned=pinned) for n, (used, pinned, _, _) in enumerate(given_rows)}
    wanted = {str(n): Wishes(stay) for n, (_, _, stay, _) in enumerate(given_rows)}
    busy = [str(n) for n, (_, _, _, works) in enumerate(given_rows) if works]
    late = idle_too_long(table, wanted, busy, now)
    for key, row in table.items():
        leaves = not row.pinned and key not in busy and row.used + wanted[key].keep_alive <= now
        assert (key in late) == leaves
    assert [table[key].used for key in late] == sorted(table[key].used for key in late)


def test_an_order_far_from_what_was_seen_is_told_with_both_figures() -> None:
    assert differs(20.0, 30 * GIB) == (
        "models.yaml says memory_gb: 20, but it took 30.0 GiB. Correct or remove memory_gb."
    )
    assert differs(40.0, 30 * GIB)


@pytest.mark.parametrize(("ordered", "seen"), [(None, 30 * GIB), (20.0, None), (26.0, 30 * GIB), (34.0, 30 * GIB)])
def test_an_order_close_to_what_was_seen_is_fine(ordered: float | None, seen: int | None) -> None:
    assert differs(ordered, seen) is None
