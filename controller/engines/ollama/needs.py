"""How much memory a model needs: when it is loaded, and what it may come to take on top of that. Pure.

By the rules of Ollama's runners, which differ by its version (`controller/engines/ollama/inside.py`). Bytes throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.config.models import Models
from controller.engines.ollama.facts import F32, Anatomy
from controller.engines.ollama.inside import Inside
from controller.engines.runner import Estimate
from controller.plain import GIB, MIB

KV_FACTORS: Mapping[str, float] = {"f16": 1.0, "q8_0": 34 / 64, "q4_0": 18 / 64}  # blocks of 32 numbers and a scale
RUNNER = 16 * MIB  # a runner's process without any model (measured, Linux)
CHECKPOINTS = 2  # earlier states of a slot that llama-server is told to keep: of its last question, and the one before
MLX_MINIMUM = 512 * MIB  # that Ollama leaves free beside an MLX model

PROMPT_CACHE = 2 * GIB  # unless the configuration says otherwise …
SMALL = 20 * GIB  # … or the machine has less RAM than this: then one model of a useful size hardly fits as it is


def prompt_cache(models: Models, ram: int) -> int:
    """How many bytes of conversations each runner of our own Ollama is told to keep, with so much RAM; 0: none."""
    if models.prompt_cache != "auto":
        return models.prompt_cache
    return PROMPT_CACHE if ram >= SMALL else 0


@dataclass(frozen=True, slots=True)
class KeptInRam:
    """What a runner is told to keep in RAM beside its model."""

    prompts: int  # bytes of conversations, in all …
    checkpoints: int = CHECKPOINTS  # … and earlier states of each


@dataclass(frozen=True, slots=True)
class StartedAs:
    """How a model is started: what its need depends on beside the model itself."""

    context: int  # tokens of each slot; Ollama clips it to the model's own
    slots: int = 1
    kv_type: str | None = None  # as in models.yaml
    flash: bool | None = None  # as in models.yaml
    batch: int | None = None  # tokens read at a time, where the model says so itself


def estimate(facts: Anatomy, start: StartedAs, inside: Inside) -> Estimate:
    """What a model takes right after its load.

    Each slot has all of the context, at f16 where a model cannot do flash attention or was not told to. The 512 MiB
    that Ollama leaves free on Metal are the machine's, not each model's: the budget leaves more.
    """
    slots, tokens, batch = start.slots, _tokens(facts, start), _batch(facts, start, inside)
    in_pieces = start.flash is not False and (inside.always_flash or facts.flash != "never")
    scores = batch * tokens * slots * (inside.mask if in_pieces else F32 * (1 + facts.heads))
    states = facts.fixed * (1 + (inside.state_copies if facts.returns else 0))
    context = slots * (_all(facts, start, inside) + _window(facts, start, inside) + states)
    return Estimate(facts.weights, round(context), round(RUNNER + batch * facts.work + scores))


def cache(facts: Anatomy, start: StartedAs, inside: Inside, kept: KeptInRam) -> int:
    """What it may come to take beside that.

    llama-server puts a conversation away when another one takes its slot, and only then forgets the oldest: so it has
    what it may keep, but never less than one whole conversation, and one more for a moment. A context that forgets (a
    window, a recurrent state) cannot be cut back, so earlier states of it are kept, too, in each slot and with each
    conversation. The MLX runner has a limit of its own.
    """
    if facts.mlx:
        return inside.mlx_cache
    if facts.embeds or not inside.prompt_cache:
        return 0
    state = _window(facts, start, inside) + facts.fixed
    earlier = kept.checkpoints * state
    conversation = _all(facts, start, inside) + state + earlier
    put_away = max(kept.prompts, conversation) + conversation if kept.prompts else 0
    return round(put_away + start.slots * earlier)


def predicted(facts: Anatomy, start: StartedAs, inside: Inside) -> int:
    """What Ollama itself expects, before it decides whether others have to leave; 0: it does not ask that way.

    An MLX model must leave `MLX_MINIMUM` of what is free, any other a fifth (`memory.LEAVES`): both as that fifth.
    """
    if not inside.predicts:
        return 0
    if facts.mlx:
        return (facts.weights + MLX_MINIMUM) * 4 // 5
    batch = start.batch if start.batch is not None and not facts.embeds else 0
    kv = _tokens(facts, start) * start.slots * facts.kv_predicted
    return facts.weights + round(kv) + inside.surcharge(batch)


def need(
    facts: Anatomy, start: StartedAs, inside: Inside, ordered_gb: float | None = None, seen: int | None = None
) -> int:
    """Bytes to keep free for its load: the operator's order (`memory_gb`, GiB), else what was seen, else the estimate.

    `seen` must be of a load that was started alike, right after it. It never counts for less than the weights: a runner
    that maps its file has not touched all of it yet.
    """
    if ordered_gb is not None:
        return round(ordered_gb * GIB)
    return max(seen, facts.weights) if seen is not None else estimate(facts, start, inside).total


def _tokens(facts: Anatomy, start: StartedAs) -> int:
    return min(start.context, facts.context) if facts.context else start.context


def _batch(facts: Anatomy, start: StartedAs, inside: Inside) -> int:
    if start.batch is not None:
        return start.batch
    tokens = _tokens(facts, start) * start.slots
    return min(inside.embedding_batch, tokens) if facts.embeds else inside.batch(tokens)


def _all(facts: Anatomy, start: StartedAs, inside: Inside) -> float:
    """Of one slot: what layers keep that see all of the context."""
    return _tokens(facts, start) * facts.kv_per_token * _factor(facts, start, inside)


def _window(facts: Anatomy, start: StartedAs, inside: Inside) -> float:
    """Of one slot: what layers keep that look back a while only."""
    tokens = min(_tokens(facts, start), facts.window + _batch(facts, start, inside))
    return tokens * facts.kv_in_window * _factor(facts, start, inside)


def _factor(facts: Anatomy, start: StartedAs, inside: Inside) -> float:
    usual = inside.always_flash or facts.flash == "always"
    shrinks = start.flash is not False and (usual or (facts.flash == "asked" and start.flash is True))
    return KV_FACTORS.get(start.kv_type or "f16", 1.0) if shrinks else 1.0
