"""What is read from Ollama's answer about a model."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.engines.ollama.facts import Anatomy, facts_of, forced_single
from controller.engines.ollama.inside import INSIDES, LLAMA_SERVER
from tests.unit.residency.shows import LLAMA, LLAMA_70B_SIZE, QWEN3, QWEN25, show, tensors

KIB = 2**10


def test_a_token_of_a_grouped_query_model_leaves_its_keys_and_values_in_each_layer() -> None:
    assert LLAMA.kv_per_token == 80 * 8 * (128 + 128) * 2 == 320 * KIB
    assert QWEN3.kv_per_token == 64 * 8 * (128 + 128) * 2 == 256 * KIB


def test_a_head_is_as_long_as_the_embedding_has_room_for_when_nothing_else_is_said() -> None:
    assert QWEN25.kv_per_token == 256 * KIB


def test_weights_context_family_and_abilities_are_taken_over() -> None:
    assert (LLAMA.weights, LLAMA.context, LLAMA.family) == (LLAMA_70B_SIZE, 131072, "llama")
    assert LLAMA.capabilities == {"completion", "tools"}
    assert not LLAMA.embeds


def test_work_space_holds_the_scores_of_every_word_for_each_token_of_a_batch() -> None:
    assert LLAMA.work == 4 * (128256 + 8192)
    assert QWEN25.work == 4 * (152064 + 5120)  # its words are counted by the shape of its weights


def test_a_vocabulary_nobody_tells_is_as_large_as_the_file_has_room_for() -> None:
    tiny = facts_of(show("llama", block_count=1, embedding_length=320, attention_head_count=1), 1_000_000)
    assert tiny.work <= 4 * (2 * 1_000_000 // 320 + 320)
    huge = facts_of(show("llama", block_count=1, embedding_length=320, attention_head_count=1), 10**12)
    assert huge.work == 4 * (262_144 + 320)


def test_heads_that_differ_by_layer_are_added_up() -> None:
    varied = show(
        "openelm", block_count=3, attention_head_count=[12, 16, 20], attention_head_count_kv=[3, 4, 5],
        attention_key_length=64, attention_value_length=64,
    )  # fmt: skip
    assert facts_of(varied, 1).kv_per_token == (3 + 4 + 5) * 128 * 2
    assert facts_of(varied, 1).heads == 20


def test_heads_that_ollama_does_not_show_are_seen_in_the_shapes_of_the_weights() -> None:
    """Lists are null in an answer that was not asked to be verbose; the weights are there."""
    hidden = show("gemma4", block_count=2, embedding_length=2048, attention_head_count=8, attention_head_count_kv=None)
    hidden["tensors"] = tensors(("blk.0.attn_k", 2048, 512), ("blk.0.attn_v", 2048, 512), ("blk.1.attn_k", 2048, 1024))
    assert facts_of(hidden, 1).kv_per_token == (2 * 512 + 2 * 1024) * 2  # values are the keys where there are none


def test_without_anything_to_go_by_each_head_has_keys_of_its_own() -> None:
    hidden = show("deci", block_count=2, embedding_length=2048, attention_head_count=8, attention_head_count_kv=None)
    assert facts_of(hidden, 1).kv_per_token == 2 * (2048 + 2048) * 2


GEMMA3: dict[str, Any] = {
    "block_count": 12,
    "embedding_length": 1152,
    "attention_head_count": 4,
    "attention_head_count_kv": 1,
    "attention_key_length": 256,
    "attention_value_length": 256,
    "attention_sliding_window": 512,
}


def test_layers_that_look_back_a_window_only_are_counted_with_it() -> None:
    gemma = facts_of(show("gemma3", **GEMMA3), 1)
    assert (gemma.kv_per_token, gemma.kv_in_window) == (2 * 512 * 2, 10 * 512 * 2)
    assert gemma.window == 512


def test_a_pattern_that_is_shown_counts_instead_of_the_usual_one() -> None:
    shown = show("gemma3", **GEMMA3, attention_sliding_window_pattern=[True, False] * 6)
    assert facts_of(shown, 1).kv_in_window == 6 * 512 * 2


def test_the_llama_cpp_engine_keeps_the_whole_context_for_every_layer() -> None:
    """It runs all families that Ollama's own engine does not, and any model whose eyes are a file of their own."""
    phi = facts_of(show("phi3", **GEMMA3), 1)
    split = facts_of(show("gemma3", **GEMMA3) | {"projector_info": {"clip.vision.block_count": 27}}, 1)
    for facts in (phi, split):
        assert (facts.kv_per_token, facts.kv_in_window, facts.window) == (12 * 512 * 2, 0.0, 0)


def test_gpt_oss_keeps_4096_tokens_of_its_small_window() -> None:
    gpt = facts_of(show("gptoss", **GEMMA3 | {"attention_sliding_window": 128}), 1)
    assert (gpt.window, gpt.kv_in_window, gpt.kv_per_token) == (4096, 6 * 512 * 2, 6 * 512 * 2)


def test_ollamas_own_prediction_takes_all_layers_for_alike() -> None:
    assert LLAMA.kv_predicted == LLAMA.kv_per_token
    assert QWEN3.kv_predicted == 64 * 8 * 2 * (5120 // 64) * 2  # it takes no notice of how long a head is said to be
    varied = show("openelm", block_count=3, embedding_length=1280, attention_head_count=20)
    varied["model_info"]["openelm.attention.head_count_kv"] = [3, 4, 5]
    assert facts_of(varied, 1).kv_predicted == 2 * 3 * 3 * 64 * 2
    hidden = show("deci", block_count=2, embedding_length=2048, attention_head_count=8, attention_head_count_kv=None)
    assert facts_of(hidden, 1).kv_predicted == 2 * 2 * 8 * 256 * 2


def test_layers_that_share_anothers_memory_take_none() -> None:
    shared = facts_of(show("gemma3n", **GEMMA3, attention_shared_kv_layers=10), 1)
    assert shared.kv_per_token + shared.kv_in_window == 2 * 512 * 2


def test_recurrent_layers_take_the_same_whatever_the_context_and_no_context_memory() -> None:
    interval = [0, 0, 0, 2]
    hybrid = show(
        "qwen3next", block_count=4, embedding_length=2048, attention_head_count=16, attention_head_count_kv=interval,
        attention_key_length=256, attention_value_length=256, ssm_state_size=128, ssm_inner_size=4096,
        ssm_conv_kernel=4, ssm_group_count=16,
    )  # fmt: skip
    facts = facts_of(hybrid, 1)
    assert facts.kv_per_token == 2 * 512 * 2
    one_state = 3 * (3 * (4096 + 2 * 16 * 128) + 128 * 4096) * 4
    assert (facts.fixed, facts.returns) == (one_state, True)
    hidden = hybrid | {"tensors": [
        *tensors(("blk.0.attn_qkv", 2048, 8192), ("blk.0.ssm_conv1d", 4, 8192), ("blk.1.ssm_out", 4096, 2048)),
        *tensors(("blk.2.ssm_out", 4096, 2048), ("blk.3.attn_k", 2048, 512), ("blk.3.attn_v", 2048, 512)),
    ]}  # fmt: skip
    hidden["model_info"] = hybrid["model_info"] | {"qwen3next.attention.head_count_kv": None}
    assert facts_of(hidden, 1) == facts


def test_compressed_attention_is_as_large_as_the_heads_it_names() -> None:
    """An old DeepSeek file is unfolded into all heads; a newer one keeps the compressed form as one head."""
    old = show(
        "deepseek2", block_count=61, attention_head_count=128, attention_head_count_kv=128, attention_key_length=192,
        attention_value_length=128, attention_kv_lora_rank=512,
    )  # fmt: skip
    new = show(
        "deepseek2", block_count=61, attention_head_count=128, attention_head_count_kv=1, attention_key_length=576,
        attention_value_length=512, attention_kv_lora_rank=512, attention_key_length_mla=192,
    )  # fmt: skip
    assert facts_of(old, 1).kv_per_token == 61 * 128 * 320 * 2
    assert facts_of(new, 1).kv_per_token == 61 * (576 + 512) * 2
    assert facts_of(new, 1).flash == "never"


@pytest.mark.parametrize(
    ("family", "flash"), [("llama", "asked"), ("qwen3", "always"), ("gemma3", "always"), ("gemma2", "never")]
)
def test_who_does_flash_attention(family: str, flash: str) -> None:
    plain = show(family, block_count=1, embedding_length=64, attention_head_count=1)
    assert facts_of(plain, 1).flash == flash
    pooled = show(family, block_count=1, embedding_length=64, attention_head_count=1, pooling_type=1)
    assert facts_of(pooled, 1).flash == "never"


@pytest.mark.parametrize(
    ("family", "capabilities", "single"),
    [
        ("llama", ("completion",), False),
        ("qwen3", ("completion", "tools", "thinking"), False),
        ("bert", ("embedding",), True),
        ("qwen3vl", ("completion", "vision"), True),
        ("qwen35moe", ("completion",), True),
        ("nemotron_h", ("completion",), True),
        ("mllama", ("completion", "vision"), True),
    ],
)
def test_some_write_one_answer_at_a_time(family: str, capabilities: tuple[str, ...], single: bool) -> None:
    for inside in INSIDES:
        assert forced_single(facts_of(show(family, *capabilities), 1), inside) is single


def test_the_mlx_runner_works_on_one_request_at_a_time() -> None:
    facts = facts_of(show("llama", "completion") | {"details": {"format": "safetensors", "family": "llama"}}, 1)
    assert facts.mlx
    assert forced_single(facts, LLAMA_SERVER)


def test_of_an_empty_answer_only_the_size_is_known() -> None:
    nothing = {"model_info": None, "details": None, "capabilities": None, "tensors": None}
    for show_answer in ({}, nothing):
        facts = facts_of(show_answer, 7)
        assert facts == Anatomy(weights=7, work=facts.work)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=6,
)
KEYS = st.sampled_from(
    [
        *("block_count", "embedding_length", "context_length", "vocab_size", "attention.head_count", "pooling_type"),
        *("attention.head_count_kv", "attention.key_length", "attention.value_length", "attention.sliding_window"),
        *("attention.sliding_window_pattern", "attention.shared_kv_layers", "ssm.state_size", "ssm.inner_size"),
    ]
)


@given(st.sampled_from(["llama", "gemma3", "qwen3next"]), st.dictionaries(KEYS, JSON), JSON, st.integers(0, 2**45))
def test_whatever_an_answer_says_the_facts_are_sane(
    family: str, numbers: dict[str, Any], listed: Any, size: int
) -> None:
    told = {"general.architecture": family} | {f"{family}.{key}": number for key, number in numbers.items()}
    facts = facts_of({"model_info": told, "tensors": listed}, size)
    for figure in (facts.kv_per_token, facts.kv_in_window, facts.fixed, facts.work, facts.window, facts.kv_predicted):
        assert figure >= 0
    assert facts.weights == size
