"""What a model needs, what there is for models, and what is done when memory gets short."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.config.schema import Memory
from controller.residency.memory import (
    GIB,
    MIB,
    SETTLED,
    UNLOAD_EVERY,
    Pressures,
    Reading,
    budget,
    ceiling,
    differs,
    estimate,
    expected,
    linux_pressure,
    memory_words,
    need,
    too_big_words,
)
from controller.residency.runner import Facts, Pressure
from tests.unit.residency.shows import LLAMA, QWEN3, runner, sized

MAC = Reading(total=64 * GIB, available=56 * GIB, limit=48 * GIB, unified=True)
LINUX = Reading(total=32 * GIB, available=28 * GIB)
AUTO = Memory()


def test_an_estimate_is_weights_context_and_work_space() -> None:
    parts = estimate(LLAMA, 8192, 1, None)
    assert parts.weights == LLAMA.weights
    assert parts.context == 8192 * 320 * 1024 == 2.5 * GIB
    assert 256 * MIB < parts.work < 512 * MIB
    assert parts.total == expected(LLAMA, 8192, 1, None)


def test_each_slot_has_the_whole_context() -> None:
    assert estimate(LLAMA, 8192, 4, None).context == 4 * estimate(LLAMA, 8192, 1, None).context


def test_a_context_beyond_the_models_own_is_clipped_as_ollama_does() -> None:
    assert expected(QWEN3, 262144, 1, None) == expected(QWEN3, 40960, 1, None)


def test_a_model_that_says_nothing_of_its_context_takes_what_is_asked() -> None:
    assert estimate(replace(QWEN3, context=0), 262144, 1, None).context == 262144 * QWEN3.kv_per_token


@pytest.mark.parametrize(("kv_type", "factor"), [(None, 1.0), ("f16", 1.0), ("q8_0", 0.53125), ("q4_0", 0.28125)])
def test_less_precise_context_memory_takes_less(kv_type: str | None, factor: float) -> None:
    assert estimate(QWEN3, 8192, 1, kv_type).context == factor * 8192 * QWEN3.kv_per_token


def test_precision_stays_where_flash_attention_is_not_done() -> None:
    whole = estimate(LLAMA, 8192, 1, None).context
    assert estimate(LLAMA, 8192, 1, "q8_0").context == whole  # Ollama wants to be told for this family
    assert estimate(LLAMA, 8192, 1, "q8_0", flash=True).context < whole
    assert estimate(QWEN3, 8192, 1, "q8_0", flash=False).context == estimate(QWEN3, 8192, 1, None).context
    assert estimate(replace(LLAMA, flash="never"), 8192, 1, "q8_0", flash=True).context == whole


def test_without_flash_attention_each_head_needs_its_own_work_space() -> None:
    flash, plain = (estimate(LLAMA, 32768, 1, None, flash=each).work for each in (None, False))
    assert plain - flash > 64 * 512 * 32768 * 4 * 0.9


def test_layers_with_a_window_keep_no_more_than_it_and_a_batch() -> None:
    facts = Facts(weights=0, kv_in_window=100.0, window=1024)
    assert estimate(facts, 512, 1, None).context == 512 * 100
    assert estimate(facts, 1024, 1, None).context == 1024 * 100
    assert estimate(facts, 65536, 1, None).context == (1024 + 512) * 100
    assert estimate(facts, 65536, 2, None).context == (2 * 1024 + 512) * 100


def test_a_tiny_model_is_not_expected_to_take_hundreds_of_megabytes() -> None:
    tiny = Facts(weights=4 * MIB, context=32768, kv_per_token=64.0, work=4 * 512 * 640, heads=1)
    assert expected(tiny, 8192, 1, None) < 64 * MIB


FACTS = st.builds(
    Facts,
    weights=st.integers(0, 2**40),
    context=st.integers(0, 2**20),
    kv_per_token=st.floats(0, 2**22),
    fixed=st.integers(0, 2**30),
    kv_in_window=st.floats(0, 2**20),
    window=st.integers(0, 2**14),
    work=st.integers(0, 2**30),
    heads=st.integers(0, 256),
    flash=st.sampled_from(["never", "asked", "always"]),
)


@given(FACTS, st.integers(1, 2**20), st.integers(1, 16), st.sampled_from([None, "q8_0", "q4_0"]))
def test_more_context_or_slots_never_need_less_and_less_precision_never_more(
    facts: Facts, context: int, slots: int, kv_type: str | None
) -> None:
    one = expected(facts, context, slots, kv_type)
    assert facts.weights < one <= expected(facts, context, slots, "f16")
    assert one <= expected(facts, context + 1, slots, kv_type)
    assert one <= expected(facts, context, slots + 1, kv_type)


def test_an_order_counts_before_what_was_seen_and_that_before_the_estimate() -> None:
    assert need(QWEN3, 8192, 1, None) == expected(QWEN3, 8192, 1, None)
    assert need(QWEN3, 8192, 1, None, seen=30 * GIB) == 30 * GIB
    assert need(QWEN3, 8192, 1, None, ordered_gb=12.5, seen=30 * GIB) == 12.5 * GIB


def test_what_was_seen_never_counts_for_less_than_the_weights() -> None:
    assert need(QWEN3, 8192, 1, None, seen=40 * MIB) == QWEN3.weights


def test_an_order_far_from_what_was_seen_is_told_with_both_figures() -> None:
    assert differs(20.0, 30 * GIB) == (
        "models.yaml says memory_gb: 20, but it took 30.0 GiB. Correct or remove memory_gb."
    )
    assert differs(40.0, 30 * GIB)


@pytest.mark.parametrize(("ordered", "seen"), [(None, 30 * GIB), (20.0, None), (26.0, 30 * GIB), (34.0, 30 * GIB)])
def test_an_order_close_to_what_was_seen_is_fine(ordered: float | None, seen: int | None) -> None:
    assert differs(ordered, seen) is None


def test_a_mac_gives_nine_tenths_of_the_working_set_that_metal_measured() -> None:
    assert budget(MAC, 0, AUTO) == int(0.9 * 48 * GIB)


def test_what_others_hold_of_the_gpu_is_not_for_models() -> None:
    used = replace(MAC, accelerator_used=30 * GIB)
    assert budget(used, 25 * GIB, AUTO) == int(0.9 * 48 * GIB) - 5 * GIB
    assert budget(used, 40 * GIB, AUTO) == int(0.9 * 48 * GIB)


def test_ram_that_others_hold_and_the_reserve_are_not_for_models() -> None:
    assert budget(LINUX, 0, AUTO) == (32 - 4 - 4) * GIB
    assert budget(LINUX, 0, Memory(reserve=8 * GIB)) == (32 - 4 - 8) * GIB
    assert budget(replace(MAC, available=20 * GIB), 0, AUTO) == 16 * GIB  # a crowded Mac: its GPU has no more than RAM


def test_what_our_own_models_hold_is_for_models() -> None:
    loaded = replace(LINUX, available=18 * GIB)
    assert budget(loaded, 10 * GIB, AUTO) == budget(LINUX, 0, AUTO)


def test_mapped_weights_that_the_system_counts_as_available_are_not_counted_twice() -> None:
    """A runner of 10 GiB, all of it mapped: nothing is missing from what is available, so others hold 4 GiB still."""
    assert budget(replace(LINUX, elsewhere=10 * GIB), 10 * GIB, AUTO) == budget(LINUX, 0, AUTO)


def test_an_operators_own_figure_is_taken_as_it_is() -> None:
    assert budget(replace(LINUX, available=GIB), 0, Memory(budget=50 * GIB)) == 50 * GIB
    assert ceiling(LINUX, Memory(budget=50 * GIB)) == 50 * GIB


READINGS = st.builds(
    Reading,
    total=st.integers(0, 2**40),
    available=st.integers(0, 2**40),
    limit=st.none() | st.integers(0, 2**40),
    accelerator_used=st.none() | st.integers(0, 2**40),
    elsewhere=st.integers(0, 2**40),
)


@given(READINGS, st.integers(0, 2**40), st.integers(0, 2**36))
def test_a_budget_is_never_negative_nor_above_what_the_machine_could_give(
    reading: Reading, ours: int, reserve: int
) -> None:
    settings = Memory(reserve=reserve)
    assert 0 <= budget(reading, ours, settings) <= ceiling(reading, settings)
    assert ceiling(reading, settings) <= max(0, reading.total - reserve)
    if reading.limit is not None:
        assert ceiling(reading, settings) <= 0.9 * reading.limit


def test_a_refusal_has_the_arithmetic_in_words() -> None:
    big = runner("llama3.3:70b", LLAMA, 8192)
    assert too_big_words(big, 39 * GIB) == (
        "llama3.3:70b needs about 42.4 GiB (weights 39.6 GiB, context 2.5 GiB, work space 306 MiB) and this machine "
        "gives models 39.0 GiB at most: choose a smaller context_length or a smaller model."
    )


def test_a_refusal_finds_the_sum_of_any_precision() -> None:
    big = runner("llama3.3:70b", LLAMA, 8192, "q8_0", flash=True)
    assert "context 1.3 GiB" in too_big_words(big, GIB)


def test_a_refusal_by_another_figure_than_the_estimate_says_where_it_is_from() -> None:
    words = too_big_words(sized("red", 3 * GIB), 900 * MIB)
    assert words.startswith("red needs about 3.0 GiB (by memory_gb of models.yaml, or as it was seen) and")
    assert "gives models 900 MiB at most" in words


def test_sizes_are_told_as_the_configuration_takes_them() -> None:
    assert (memory_words(39.1 * GIB), memory_words(812 * MIB), memory_words(0)) == ("39.1 GiB", "812 MiB", "0 MiB")


@pytest.mark.parametrize(
    ("share", "stalled", "level"),
    [
        (0.5, None, 1),
        (0.081, 10.0, 1),
        (0.079, 0.0, 2),
        (0.5, 10.1, 2),
        (0.5, 40.0, 2),
        (0.039, None, 4),
        (0.5, 40.1, 4),
    ],
)
def test_linux_is_short_when_little_is_available_or_everybody_stalls(
    share: float, stalled: float | None, level: Pressure
) -> None:
    assert linux_pressure(int(share * GIB), GIB, stalled) == level


def test_a_machine_that_tells_nothing_is_not_short() -> None:
    assert linux_pressure(0, 0, None) == 1


def test_worse_counts_at_once() -> None:
    pressures = Pressures()
    calm, short, shorter = (pressures.see(level, now) for now, level in enumerate(get_args(Pressure)))
    assert (calm.may_load, calm.may_grant, calm.share, calm.unload) == (True, True, 1.0, False)
    assert (short.may_load, short.may_grant, short.share, short.unload) == (False, True, 0.5, False)
    assert (shorter.may_load, shorter.may_grant, shorter.unload) == (False, False, True)


def test_better_counts_when_it_has_lasted() -> None:
    pressures = Pressures()
    pressures.see(2, 0.0)
    assert not pressures.see(1, 1.0).may_load
    assert not pressures.see(1, SETTLED).may_load
    assert pressures.see(1, 1.0 + SETTLED).may_load


def test_a_moment_of_shortage_starts_the_wait_again() -> None:
    pressures = Pressures()
    pressures.see(2, 0.0)
    pressures.see(1, 1.0)
    pressures.see(2, 9.0)
    assert pressures.see(1, 12.0).level == 2
    assert pressures.see(1, 22.0).level == 1


def test_from_critical_it_first_gets_as_well_as_the_worst_since() -> None:
    pressures = Pressures()
    calm: list[Pressure] = [1] * 20
    seen = [pressures.see(level, float(now)).level for now, level in enumerate([4, 1, 2, *calm])]
    assert seen[:11] == [4] * 11
    assert seen[11:21] == [2] * 10
    assert seen[21:] == [1, 1]


def test_one_model_goes_at_a_time_while_it_is_critical() -> None:
    pressures = Pressures()
    unloads = [now for now in range(12) if pressures.see(4, float(now)).unload]
    assert unloads == [0, UNLOAD_EVERY, 2 * UNLOAD_EVERY]


def test_nothing_more_goes_once_it_is_no_longer_critical_although_that_does_not_count_yet() -> None:
    pressures = Pressures()
    pressures.see(4, 0.0)
    after = pressures.see(2, 6.0)
    assert (after.level, after.unload) == (4, False)


def test_under_pressure_a_runner_keeps_half_its_slots_and_one_at_least() -> None:
    short = Pressures().see(2, 0.0)
    assert [short.slots(of) for of in (1, 2, 3, 4)] == [1, 1, 1, 2]
    assert Pressures().see(1, 0.0).slots(4) == 4


@given(st.lists(st.sampled_from([1, 2, 4]), max_size=60))
def test_the_level_is_never_better_than_the_kernels_and_gets_better_only_after_ten_better_seconds(
    levels: list[Pressure],
) -> None:
    pressures, before = Pressures(), 1
    for now, level in enumerate(levels):
        counts = pressures.see(level, float(now)).level
        assert counts >= level
        if counts < before:
            assert max(levels[max(0, now - int(SETTLED)) : now + 1]) <= counts
        before = counts
