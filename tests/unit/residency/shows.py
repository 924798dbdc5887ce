"""What /api/show says of well-known models, cut down to what counts; and runners made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.engines.ollama.facts import Anatomy, facts_of
from controller.engines.ollama.inside import LLAMA_SERVER, Inside
from controller.engines.ollama.needs import KeptInRam, StartedAs, cache, estimate, need, predicted
from controller.engines.runner import ModelFacts, Runner
from controller.residency.resident import Presence, Resident


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

QWEN3_14B = show(
    "qwen3",
    block_count=40,
    embedding_length=5120,
    context_length=40960,
    attention_head_count=40,
    attention_head_count_kv=8,
    attention_key_length=128,
    attention_value_length=128,
) | {"tensors": tensors(("token_embd", 5120, 151936))}
QWEN3_14B_SIZE = 9_276_198_565
QWEN3_8B = show(
    "qwen3",
    block_count=36,
    embedding_length=4096,
    context_length=40960,
    attention_head_count=32,
    attention_head_count_kv=8,
    attention_key_length=128,
    attention_value_length=128,
) | {"tensors": tensors(("token_embd", 4096, 151936))}
QWEN3_8B_SIZE = 5_225_388_164
GEMMA3_27B = show(
    "gemma3",
    block_count=62,
    embedding_length=5376,
    context_length=131072,
    attention_head_count=32,
    attention_head_count_kv=16,
    attention_key_length=128,
    attention_value_length=128,
    attention_sliding_window=1024,
) | {"tensors": tensors(("token_embd", 5376, 262208))}
GEMMA3_27B_SIZE = 17_396_936_941

LLAMA = facts_of(LLAMA_70B, LLAMA_70B_SIZE)
QWEN25 = facts_of(QWEN25_32B, QWEN25_32B_SIZE)
QWEN3 = facts_of(QWEN3_32B, QWEN3_32B_SIZE)
GEMMA3 = facts_of(GEMMA3_27B, GEMMA3_27B_SIZE)


def runner(
    name: str,
    facts: Anatomy,
    start: StartedAs,
    inside: Inside = LLAMA_SERVER,
    kept: KeptInRam = KeptInRam(0),  # noqa: B008  # it is a value
) -> Runner:
    """One that is started like that."""
    return Runner(
        f"{name}#",
        f"sha256-{name}",
        name,
        facts,
        engine="ollama",
        context=start.context,
        slots=start.slots,
        need=need(facts, start, inside),
        cache=cache(facts, start, inside, kept),
        predicted=predicted(facts, start, inside),
        parts=estimate(facts, start, inside),
    )


def example(context: int = 16384, prompts: int = 2 * 2**30) -> dict[str, Runner]:
    """The models of the worked example in config/models.example.yaml, started as it says."""
    start = StartedAs(context, 1, "q8_0", flash=True)
    told = {"qwen3:32b": QWEN3, "qwen3:14b": facts_of(QWEN3_14B, QWEN3_14B_SIZE)}
    told["qwen3:8b"] = facts_of(QWEN3_8B, QWEN3_8B_SIZE)
    return {name: runner(name, facts, start, kept=KeptInRam(prompts)) for name, facts in told.items()}


def sized(key: str, need: int, blob: str = "", cache: int = 0) -> Runner:
    """One that needs so many bytes, whatever it is."""
    return Runner(key, blob or key, key, ModelFacts(weights=need), engine="ollama", need=need, cache=cache)


def resident(runner: Runner, presence: Presence = Presence.RESIDENT, *, pinned: bool = False) -> Resident:
    """Its row in the table."""
    return Resident(runner, presence, 0.0, runner.need, runner.slots, runner.cache, pinned=pinned)
