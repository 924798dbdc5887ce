"""What a model needs when it is loaded, and what it may come to take after that."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.config.models import Models
from controller.engines.ollama.facts import Anatomy
from controller.engines.ollama.inside import INSIDES, LLAMA_SERVER, OWN_RUNNER, Inside
from controller.engines.ollama.needs import (
    CHECKPOINTS,
    RUNNER,
    KeptInRam,
    StartedAs,
    cache,
    estimate,
    need,
    predicted,
    prompt_cache,
)
from controller.plain import GIB, MIB
from tests.unit.residency.shows import GEMMA3, LLAMA, QWEN3

PLAIN = StartedAs(8192)
KEPT = KeptInRam(2 * GIB)
both = pytest.mark.parametrize("inside", INSIDES)


@both
def test_an_estimate_is_weights_context_and_work_space(inside: Inside) -> None:
    parts = estimate(LLAMA, PLAIN, inside)
    assert parts.weights == LLAMA.weights
    assert parts.context == 8192 * 320 * 1024 == 2.5 * GIB
    assert 256 * MIB < parts.work < 768 * MIB
    assert parts.total == parts.weights + parts.context + parts.work == need(LLAMA, PLAIN, inside)


@both
def test_each_slot_has_the_whole_context(inside: Inside) -> None:
    assert estimate(LLAMA, StartedAs(8192, 4), inside).context == 4 * estimate(LLAMA, PLAIN, inside).context


@both
def test_a_context_beyond_the_models_own_is_clipped_as_ollama_does(inside: Inside) -> None:
    assert estimate(QWEN3, StartedAs(262144), inside) == estimate(QWEN3, StartedAs(40960), inside)


def test_a_model_that_says_nothing_of_its_context_takes_what_is_asked() -> None:
    assert estimate(replace(QWEN3, context=0), StartedAs(262144), OWN_RUNNER).context == 262144 * QWEN3.kv_per_token


@both
@pytest.mark.parametrize(("kv_type", "factor"), [(None, 1.0), ("f16", 1.0), ("q8_0", 0.53125), ("q4_0", 0.28125)])
def test_less_precise_context_memory_takes_less(inside: Inside, kv_type: str | None, factor: float) -> None:
    assert estimate(QWEN3, StartedAs(8192, 1, kv_type), inside).context == factor * 8192 * QWEN3.kv_per_token


def context(facts: Anatomy, kv_type: str, flash: bool | None, inside: Inside) -> int:
    return estimate(facts, StartedAs(8192, 1, kv_type, flash), inside).context


def test_precision_stays_where_flash_attention_is_not_done() -> None:
    whole = estimate(LLAMA, PLAIN, OWN_RUNNER).context
    assert context(LLAMA, "q8_0", None, OWN_RUNNER) == whole  # Ollama wants to be told for this family
    assert context(LLAMA, "q8_0", True, OWN_RUNNER) < whole
    assert context(QWEN3, "q8_0", False, OWN_RUNNER) == estimate(QWEN3, PLAIN, OWN_RUNNER).context
    assert context(replace(LLAMA, flash="never"), "q8_0", True, OWN_RUNNER) == whole


def test_llama_server_does_it_for_every_family_unless_it_is_switched_off() -> None:
    whole = estimate(LLAMA, PLAIN, LLAMA_SERVER).context
    for facts in (LLAMA, replace(LLAMA, flash="never")):
        assert context(facts, "q8_0", None, LLAMA_SERVER) == whole * 34 // 64
        assert context(facts, "q8_0", False, LLAMA_SERVER) == whole


@both
def test_without_flash_attention_each_head_needs_its_own_work_space(inside: Inside) -> None:
    flash, plain = (estimate(LLAMA, StartedAs(32768, flash=each), inside).work for each in (None, False))
    assert plain - flash > 64 * inside.batch(32768) * 32768 * 4 * 0.9


def test_layers_with_a_window_keep_no_more_than_it_and_a_batch() -> None:
    facts = Anatomy(weights=0, kv_in_window=100.0, window=1024)
    assert estimate(facts, StartedAs(512), OWN_RUNNER).context == 512 * 100
    assert estimate(facts, StartedAs(1024), OWN_RUNNER).context == 1024 * 100
    assert estimate(facts, StartedAs(65536), OWN_RUNNER).context == (1024 + 512) * 100
    assert estimate(facts, StartedAs(65536, 2), OWN_RUNNER).context == 2 * (1024 + 512) * 100
    assert estimate(facts, StartedAs(65536), LLAMA_SERVER).context == (1024 + 2048) * 100


def test_ollamas_own_runner_keeps_earlier_states_of_some_recurrent_models_beside_the_context() -> None:
    facts = Anatomy(weights=0, fixed=10 * MIB)
    assert estimate(facts, StartedAs(8192, 2), OWN_RUNNER).context == 2 * 10 * MIB
    assert estimate(replace(facts, returns=True), StartedAs(8192, 2), OWN_RUNNER).context == 2 * 25 * 10 * MIB
    assert estimate(replace(facts, returns=True), StartedAs(8192, 2), LLAMA_SERVER).context == 2 * 10 * MIB


@pytest.mark.parametrize(
    ("tokens", "slots", "batch", "told"),
    [  # what llama-server of Ollama 0.32.0 told of the kit's model (MiB), whose tokens of a batch take 4 × 1,014 bytes
        (2048, 1, 512, 3.98),
        (4096, 1, 512, 5.98),
        (8192, 1, 1024, 19.96),
        (32768, 1, 1024, 67.96),
        (40960, 1, 2048, 167.92),
        (131072, 1, 2048, 519.92),
        (10240, 4, 2048, 167.92),
    ],
)
def test_work_space_is_what_llama_server_tells_of_its_compute_buffer(
    tokens: int, slots: int, batch: int, told: float
) -> None:
    assert LLAMA_SERVER.batch(tokens * slots) == batch
    work = estimate(Anatomy(weights=0, work=4 * 1014), StartedAs(tokens, slots), LLAMA_SERVER).work - RUNNER
    assert work == pytest.approx(told * MIB, rel=0.01)


def test_a_batch_that_the_model_asks_for_is_what_it_gets() -> None:
    usual, larger = (estimate(QWEN3, StartedAs(8192, batch=each), LLAMA_SERVER).work for each in (None, 4096))
    assert larger - RUNNER == 4 * (usual - RUNNER)


def test_a_model_for_embeddings_is_read_in_batches_of_its_own() -> None:
    bert = Anatomy(weights=0, context=8192, capabilities=frozenset(("embedding",)), work=1000)
    assert estimate(bert, PLAIN, LLAMA_SERVER).work == RUNNER + 2048 * (1000 + 2 * 8192)
    assert estimate(bert, StartedAs(256), LLAMA_SERVER).work == RUNNER + 256 * (1000 + 2 * 256)
    assert estimate(bert, PLAIN, OWN_RUNNER).work == RUNNER + 512 * (1000 + 6 * 8192)


@both
def test_a_tiny_model_is_not_expected_to_take_hundreds_of_megabytes(inside: Inside) -> None:
    tiny = Anatomy(weights=4 * MIB, context=32768, kv_per_token=64.0, work=4 * 640, heads=1)
    assert need(tiny, PLAIN, inside) < 64 * MIB


FACTS = st.builds(
    Anatomy,
    weights=st.integers(0, 2**40),
    context=st.integers(0, 2**20),
    kv_per_token=st.floats(0, 2**22),
    fixed=st.integers(0, 2**30),
    returns=st.booleans(),
    kv_in_window=st.floats(0, 2**20),
    window=st.integers(0, 2**14),
    work=st.integers(0, 2**20),
    heads=st.integers(0, 256),
    flash=st.sampled_from(["never", "asked", "always"]),
    keeps_beside=st.booleans(),
    kv_predicted=st.floats(0, 2**22),
)
INSIDE = st.sampled_from(INSIDES)
KV = st.sampled_from([None, "q8_0", "q4_0"])


@given(FACTS, st.integers(1, 2**20), st.integers(1, 16), KV, INSIDE)
def test_more_context_or_slots_never_need_less_and_less_precision_never_more(
    facts: Anatomy, tokens: int, slots: int, kv_type: str | None, inside: Inside
) -> None:
    start = StartedAs(tokens, slots, kv_type)
    one = need(facts, start, inside)
    assert facts.weights < one <= need(facts, replace(start, kv_type="f16"), inside)
    assert one <= need(facts, replace(start, context=tokens + 1), inside)
    assert one <= need(facts, replace(start, slots=slots + 1), inside)


# --- conversations ----------------------------------------------------------------------------------------------------


def test_a_runner_may_come_to_keep_what_it_is_let_and_one_conversation_more_for_a_moment() -> None:
    conversation = 8192 * 256 * 1024
    assert conversation == 2 * GIB
    assert cache(QWEN3, PLAIN, LLAMA_SERVER, KeptInRam(5 * GIB)) == 5 * GIB + conversation


def test_one_conversation_is_always_kept_however_little_is_let() -> None:
    assert cache(QWEN3, PLAIN, LLAMA_SERVER, KeptInRam(MIB)) == 2 * GIB + 2 * GIB
    assert cache(QWEN3, StartedAs(8192, 1, "q8_0"), LLAMA_SERVER, KeptInRam(MIB)) == 34 / 64 * 4 * GIB


def test_with_none_nothing_is_kept() -> None:
    assert cache(QWEN3, PLAIN, LLAMA_SERVER, KeptInRam(0)) == 0


def test_a_conversation_is_as_long_as_one_slot() -> None:
    assert cache(QWEN3, StartedAs(8192, 4), LLAMA_SERVER, KEPT) == cache(QWEN3, PLAIN, LLAMA_SERVER, KEPT)


def test_the_own_runner_of_earlier_versions_keeps_none_nor_does_a_model_for_embeddings() -> None:
    bert = replace(QWEN3, capabilities=frozenset(("embedding",)))
    assert cache(QWEN3, PLAIN, OWN_RUNNER, KEPT) == cache(bert, PLAIN, LLAMA_SERVER, KEPT) == 0


@both
def test_the_mlx_runner_keeps_what_it_likes(inside: Inside) -> None:
    assert cache(replace(QWEN3, keeps_beside=True), PLAIN, inside, KeptInRam(0)) == 8 * GIB


def test_a_context_that_forgets_is_kept_in_earlier_states_in_each_slot_and_with_each_conversation() -> None:
    """gemma3:27b: 10 layers see all of 8192 tokens, 52 the last 1024 and a batch of 1024; 8 KiB a token and layer."""
    full, window = 10 * 8192 * 8192, 52 * 8192 * 2048
    assert estimate(GEMMA3, PLAIN, LLAMA_SERVER).context == full + window
    conversation = full + (1 + CHECKPOINTS) * window
    assert cache(GEMMA3, PLAIN, LLAMA_SERVER, KEPT) == 2 * conversation + CHECKPOINTS * window
    assert cache(GEMMA3, StartedAs(8192, 2), LLAMA_SERVER, KeptInRam(0)) == 2 * CHECKPOINTS * window


def test_what_nobody_told_llama_server_it_keeps_as_it_is_built() -> None:
    as_built = KeptInRam(LLAMA_SERVER.prompt_cache, LLAMA_SERVER.checkpoints)
    assert cache(QWEN3, PLAIN, LLAMA_SERVER, as_built) == 8 * GIB + 2 * GIB
    assert cache(GEMMA3, PLAIN, LLAMA_SERVER, as_built) > 80 * GIB  # 32 states of 0.8 GiB in each of them


@given(FACTS, st.integers(1, 2**20), st.integers(1, 16), KV, st.integers(0, 2**35), INSIDE)
def test_who_may_keep_more_never_keeps_less(
    facts: Anatomy, tokens: int, slots: int, kv_type: str | None, prompts: int, inside: Inside
) -> None:
    start = StartedAs(tokens, slots, kv_type)
    kept = cache(facts, start, inside, KeptInRam(prompts))
    assert 0 <= kept <= cache(facts, start, inside, KeptInRam(prompts + MIB))
    assert kept >= prompts or inside is OWN_RUNNER or facts.mlx


@pytest.mark.parametrize(("said", "ram", "bytes"), [("auto", 64, 2), ("auto", 24, 2), ("auto", 16, 0)])
def test_unless_it_is_said_two_gibibytes_are_kept_where_there_is_room(said: str, ram: int, bytes: int) -> None:
    assert prompt_cache(Models.model_validate({"prompt_cache": said}), ram * GIB) == bytes * GIB


@pytest.mark.parametrize(("said", "bytes"), [("0", 0), ("512MiB", 512 * MIB), (4 * GIB, 4 * GIB)])
def test_what_is_said_of_conversations_holds_on_any_machine(said: str | int, bytes: int) -> None:
    for ram in (8, 512):
        assert prompt_cache(Models.model_validate({"prompt_cache": said}), ram * GIB) == bytes


# --- what Ollama itself expects ---------------------------------------------------------------------------------------


def test_ollama_predicts_the_file_and_a_context_at_full_precision() -> None:
    small = StartedAs(8192, 1, "q4_0", flash=True)
    assert predicted(LLAMA, small, LLAMA_SERVER) == LLAMA.weights + 8192 * 320 * 1024
    assert (
        predicted(QWEN3, StartedAs(8192, 2), LLAMA_SERVER) == QWEN3.weights + 2 * 8192 * 64 * 2 * 8 * (5120 // 64) * 2
    )
    assert predicted(LLAMA, small, OWN_RUNNER) == 0


def test_it_takes_a_large_batch_into_account_only_where_the_model_asks_for_it() -> None:
    """What it chooses itself is chosen so that it fits."""
    plain = predicted(QWEN3, StartedAs(40960), LLAMA_SERVER)
    assert predicted(QWEN3, StartedAs(40960, batch=512), LLAMA_SERVER) == plain
    assert predicted(QWEN3, StartedAs(40960, batch=1024), LLAMA_SERVER) == plain + 768 * MIB
    assert predicted(QWEN3, StartedAs(40960, batch=4096), LLAMA_SERVER) == plain + 2 * GIB


def test_of_an_mlx_model_it_wants_the_weights_and_half_a_gibibyte_to_be_free() -> None:
    found = predicted(replace(QWEN3, keeps_beside=True), PLAIN, LLAMA_SERVER)
    assert found / 0.8 == pytest.approx(QWEN3.weights + 512 * MIB, abs=2)


# --- what counts ------------------------------------------------------------------------------------------------------


def test_an_order_counts_before_what_was_seen_and_that_before_the_estimate() -> None:
    assert need(QWEN3, PLAIN, LLAMA_SERVER) == estimate(QWEN3, PLAIN, LLAMA_SERVER).total
    assert need(QWEN3, PLAIN, LLAMA_SERVER, seen=30 * GIB) == 30 * GIB
    assert need(QWEN3, PLAIN, LLAMA_SERVER, ordered_gb=12.5, seen=30 * GIB) == 12.5 * GIB


def test_what_was_seen_never_counts_for_less_than_the_weights() -> None:
    assert need(QWEN3, PLAIN, LLAMA_SERVER, seen=40 * MIB) == QWEN3.weights
