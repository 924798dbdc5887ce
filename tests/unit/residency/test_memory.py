"""How much memory there is for models."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.config.machine import Memory
from controller.engines.ollama.needs import KeptInRam, StartedAs
from controller.engines.runner import ModelFacts, Runner
from controller.plain import GIB, memory_words
from controller.residency.memory import LINGERS, Budget, Others, Reading, budget, ceiling, need_words
from controller.residency.resident import Resident
from tests.unit.residency.shows import LLAMA, QWEN3, resident, runner, sized

MAC = Reading(total=64 * GIB, available=56 * GIB, limit=48 * GIB, unified=True)
LINUX = Reading(total=32 * GIB, available=28 * GIB)
CARD = Reading(total=64 * GIB, available=56 * GIB, limit=24 * GIB)
AUTO = Memory()


def test_a_mac_gives_nine_tenths_of_the_working_set_that_metal_measured_and_ram_less_the_reserve() -> None:
    assert budget(MAC, AUTO) == Budget(ram=52 * GIB, there=int(0.9 * 48 * GIB), gpu=48 * GIB, free=56 * GIB)


def test_what_others_hold_of_the_gpu_is_not_for_models() -> None:
    assert budget(replace(MAC, others_there=5 * GIB), AUTO).there == int(0.9 * 48 * GIB) - 5 * GIB


def test_ollama_sees_what_others_hold_of_a_card_but_not_of_a_mac() -> None:
    assert budget(replace(CARD, others_there=5 * GIB), AUTO).gpu == 19 * GIB
    assert budget(replace(MAC, others_there=5 * GIB), AUTO).gpu == 48 * GIB
    assert budget(CARD, AUTO).free is None


def test_ram_that_others_hold_and_the_reserve_are_not_for_models() -> None:
    assert budget(LINUX, AUTO) == Budget(ram=(32 - 4 - 4) * GIB)
    assert budget(LINUX, Memory(reserve=8 * GIB)).ram == (32 - 4 - 8) * GIB
    assert budget(replace(MAC, available=20 * GIB), AUTO).ram == 16 * GIB  # a crowded Mac: its GPU has no more than RAM


def test_what_our_own_models_hold_is_for_models() -> None:
    loaded = replace(LINUX, available=18 * GIB, footprints={7: 10 * GIB})
    assert budget(loaded, AUTO) == budget(LINUX, AUTO)


def test_mapped_weights_that_the_system_counts_as_available_are_not_counted_twice() -> None:
    """A runner of 10 GiB, all of it mapped: nothing is missing from what is available, so others hold 4 GiB still."""
    mapped = replace(LINUX, elsewhere=10 * GIB, footprints={7: 10 * GIB})
    assert budget(mapped, AUTO) == budget(LINUX, AUTO)


def test_an_operators_own_figure_is_taken_as_it_is() -> None:
    assert budget(replace(LINUX, available=GIB), Memory(budget=50 * GIB)) == Budget(50 * GIB)
    assert ceiling(LINUX, Memory(budget=50 * GIB)) == Budget(50 * GIB)
    assert budget(MAC, Memory(budget=50 * GIB)).there is None


READINGS = st.builds(
    Reading,
    total=st.integers(0, 2**40),
    available=st.integers(0, 2**40),
    limit=st.none() | st.integers(0, 2**40),
    others_there=st.integers(0, 2**40),
    unified=st.booleans(),
    footprints=st.dictionaries(st.integers(1, 9), st.integers(0, 2**40), max_size=3),
    elsewhere=st.integers(0, 2**40),
)


@given(READINGS, st.integers(0, 2**36))
def test_a_budget_is_never_negative_nor_above_what_the_machine_could_give(reading: Reading, reserve: int) -> None:
    settings = Memory(reserve=reserve)
    now, most = budget(reading, settings), ceiling(reading, settings)
    assert 0 <= now.ram <= most.ram <= max(0, reading.total - reserve)
    if reading.limit is None:
        assert now.there is most.there is now.gpu is None
    else:
        assert now.there is not None
        assert most.there is not None
        assert 0 <= now.there <= most.there <= 0.9 * reading.limit


# --- what fits --------------------------------------------------------------------------------------------------------

ROOM = Budget(ram=100, there=80)
A = resident(sized("a", 40, cache=10))


def mlx(key: str, need: int, cache: int) -> Runner:
    return Runner(key, key, key, ModelFacts(need, keeps_beside=True), engine="ollama", need=need, cache=cache)


def test_conversations_lie_in_ram_and_not_where_the_gpu_works() -> None:
    assert ROOM.holds([A], sized("b", 40, cache=10))
    assert not ROOM.holds([A], sized("b", 40, cache=11))  # RAM
    assert not ROOM.holds([A], sized("b", 41, cache=0))  # the GPU
    assert Budget(100).holds([A], sized("b", 50))


def test_those_of_an_mlx_model_lie_where_it_works() -> None:
    assert not ROOM.holds([A], mlx("b", 35, 6))
    assert not ROOM.holds([resident(mlx("b", 35, 6))], sized("c", 40))
    assert ROOM.holds([A], mlx("b", 34, 6))


def test_what_is_shown_is_what_models_may_take_beside_the_conversations() -> None:
    assert ROOM.models(()) == 80
    assert ROOM.models([A]) == 80
    assert ROOM.models([resident(sized("a", 10, cache=30))]) == 70
    assert ROOM.models([resident(mlx("a", 10, 15))]) == 65
    assert ROOM.models([resident(sized("a", 10, cache=300))]) == 0


def asks(predicted: int) -> Runner:
    return Runner("new", "new", "new", ModelFacts(1), engine="ollama", predicted=predicted)


def test_ollama_lets_others_stay_while_it_predicts_four_fifths_of_what_is_free_at_most() -> None:
    gpu = Budget(1000, gpu=140)
    assert gpu.lets_stay([A], [], asks(80))
    assert not gpu.lets_stay([A], [], asks(81))
    assert gpu.lets_stay([], [A], asks(1000))  # alone it is always loaded


def test_on_a_mac_what_is_free_in_ram_counts_too_once_those_have_left() -> None:
    mac = Budget(1000, gpu=140, free=60)
    assert mac.lets_stay([A], [], asks(48))
    assert not mac.lets_stay([A], [], asks(49))
    assert mac.lets_stay([A], [resident(sized("b", 40, cache=5))], asks(80))


def test_an_ollama_that_does_not_predict_or_has_no_gpu_makes_nobody_leave() -> None:
    assert Budget(1000, gpu=10).lets_stay([A], [], asks(0))
    assert Budget(1000).lets_stay([A], [], asks(10**9))


# --- what others have -------------------------------------------------------------------------------------------------


def test_what_others_have_is_exact_while_ours_have_nothing() -> None:
    others = Others(3)
    assert [others.see(together, 0, at) for at, together in ((0.0, 5), (20.0, 2), (40.0, 7))] == [5, 2, 7]


def test_it_stays_as_it_was_while_only_ours_come_and_go() -> None:
    others = Others()
    seen = [(0.0, 4, 0), (20.0, 24, 20), (21.0, 4, 20), (22.0, 14, 20), (60.0, 24, 20), (61.0, 24, 0), (65.0, 4, 0)]
    assert {others.see(together, ours, at) for at, together, ours in seen} == {4}


def test_what_ours_cannot_have_is_theirs() -> None:
    others = Others()
    others.see(4, 0, 0.0)
    assert others.see(30, 20, 20.0) == 10
    assert others.see(7, 20, 21.0) == 7  # no more than all of it


def test_what_has_just_ended_is_not_taken_for_somebody_elses() -> None:
    others = Others()
    others.see(4, 0, 0.0)
    others.see(24, 20, 20.0)
    assert others.see(24, 0, 21.0) == 4
    assert others.see(24, 0, 21.0 + LINGERS) == 24


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 100)), max_size=30), st.integers(0, 60)
)
def test_it_is_never_more_than_all_nor_less_than_what_ours_cannot_have(
    seen: list[tuple[int, int, int]], at_first: int
) -> None:
    """Whatever others really have, and whichever part of ours counts at the moment."""
    others, known = Others(at_first), False
    for at, (theirs, ours, part) in enumerate(seen):
        counted = ours * part // 100
        found = others.see(theirs + counted, ours, at * 20.0)
        assert theirs + counted - ours <= found <= theirs + counted
        known = known or ours == 0
        if part == 100:
            assert found >= theirs


def test_sizes_are_told_as_the_configuration_takes_them() -> None:
    assert (memory_words(39.1 * GIB), memory_words(812 * 2**20), memory_words(0)) == ("39.1 GiB", "812 MiB", "0 MiB")


@pytest.mark.parametrize("rows", [[], [A], [A, resident(mlx("b", 5, 6))]])
def test_a_row_is_promised_what_it_took_and_what_it_may_come_to_keep(rows: list[Resident]) -> None:
    assert sum(row.promised for row in rows) == sum(row.taken + row.cache for row in rows)


def test_a_need_is_told_with_what_it_is_made_of() -> None:
    assert need_words(runner("llama3.3:70b", LLAMA, StartedAs(8192))) == (
        "42.7 GiB (weights 39.6 GiB, context 2.5 GiB, work space 565 MiB)"
    )
    assert need_words(runner("qwen3:32b", QWEN3, StartedAs(16384, 1, "q8_0"), kept=KeptInRam(2 * GIB))) == (
        "21.6 GiB (weights 18.8 GiB, context 2.1 GiB, work space 662 MiB) and up to 4.2 GiB for conversations"
    )
    assert need_words(sized("red", 3 * GIB)) == "3.0 GiB (by memory_gb of models.yaml, or as it was seen)"
