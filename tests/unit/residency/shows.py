"""What /api/show says of well-known models, cut down to what counts; and runners made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.residency.facts import facts_of
from controller.residency.memory import need
from controller.residency.runner import Facts, Presence, Resident, Runner


def show(family: str, *capabilities: str, **numbers: Any) -> dict[str, Any]:
    """An answer of /api/show; `attention_` and `ssm_` in a name stand for `attention.` and `ssm.`."""
    dotted = {
        name.replace("attention_", "attention.").replace("ssm_", "ssm."): number for name, number in numbers.items()
    }
    info = {f"{family}.{name}": number for name, number in dotted.items()}
    return {
        "details": {"family": family},
        "model_info": {"general.architecture": family, "tokenizer.ggml.tokens": None} | info,
        "capabilities": list(capabilities or ("completion", "tools")),
    }


def tensors(*shapes: tuple[str, int, int]) -> list[Mapping[str, Any]]:
    """The list of weights in an answer: name, numbers going in, numbers coming out."""
    return [{"name": f"{name}.weight", "type": "Q4_K", "shape": [into, out]} for name, into, out in shapes]


LLAMA_70B = show(
    "llama",
    block_count=80,
    embedding_length=8192,
    context_length=131072,
    vocab_size=128256,
    attention_head_count=64,
    attention_head_count_kv=8,
    attention_key_length=128,
    attention_value_length=128,
)
LLAMA_70B_SIZE = 42_520_413_916  # Q4_K_M
QWEN25_32B = show(
    "qwen2",
    block_count=64,
    embedding_length=5120,
    context_length=32768,
    attention_head_count=40,
    attention_head_count_kv=8,
) | {"tensors": tensors(("token_embd", 5120, 152064))}
QWEN25_32B_SIZE = 19_851_349_669
QWEN3_32B = show(
    "qwen3",
    block_count=64,
    embedding_length=5120,
    context_length=40960,
    attention_head_count=64,
    attention_head_count_kv=8,
    attention_key_length=128,
    attention_value_length=128,
) | {"tensors": tensors(("token_embd", 5120, 151936))}
QWEN3_32B_SIZE = 20_201_253_588

LLAMA = facts_of(LLAMA_70B, LLAMA_70B_SIZE)
QWEN25 = facts_of(QWEN25_32B, QWEN25_32B_SIZE)
QWEN3 = facts_of(QWEN3_32B, QWEN3_32B_SIZE)


def runner(name: str, facts: Facts, context: int, kv_type: str | None = None, *, flash: bool | None = None) -> Runner:
    """One with a slot of that many tokens."""
    needed = need(facts, context, 1, kv_type, flash=flash)
    return Runner(f"{name}#", f"sha256-{name}", name, facts, context=context, need=needed)


def sized(key: str, need: int, blob: str = "") -> Runner:
    """One that needs so many bytes, whatever it is."""
    return Runner(key, blob or key, key, Facts(weights=need), need=need)


def resident(runner: Runner, presence: Presence = Presence.RESIDENT, *, pinned: bool = False) -> Resident:
    """Its row in the table."""
    return Resident(runner, presence, since=0.0, taken=runner.need, slots=runner.slots, pinned=pinned)
