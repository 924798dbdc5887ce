"""What a model needs, read from what Ollama says of it (/api/show). Pure.

Keys are those of GGUF files; which model keeps what is as in Ollama v0.24.0 (fs/ggml/ggml.go, kvcache/, model/models/).
Where the answer leaves a thing open, the larger figure is taken: what is seen after a load corrects it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from controller.engines.ollama.inside import Inside
from controller.engines.runner import ModelFacts

F16, F32 = 2, 4  # bytes of a number
MOST_TOKENS = 262_144  # no vocabulary is larger
MOST_LAYERS = 4096  # nor is any model this deep

# Families whose layers look back only a while, in Ollama's own engine: which layers see everything (each n-th; of the
# patterns in use, the one that needs most), and the fewest tokens the others keep. The llama.cpp engine, which runs all
# other families, keeps the whole context for every layer (`swa_full`).
WINDOWED: Mapping[str, tuple[int, int]] = {
    "gemma3": (6, 0),
    "gemma3n": (5, 0),
    "gemma4": (5, 4096),
    "gptoss": (2, 4096),
    "gpt-oss": (2, 4096),
    "laguna": (1, 0),
    "llama4": (4, 0),
    "olmo3": (4, 0),
}
LLAMA4_CHUNK = 8192  # tokens
HYBRID = {"nemotron_h", "nemotron_h_moe", "nemotron_h_omni", "qwen35", "qwen35moe", "qwen3next"}
NEVER_FLASH = {"gemma2", "grok"}
ALWAYS_FLASH = {
    *{"bert", "gemma3", "gemma4", "glm4moelite", "glmocr", "gptoss", "gpt-oss", "lfm2", "lfm2moe", "mistral3", "olmo3"},
    *{"qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe", *HYBRID},
}
SAFETENSORS = "safetensors"  # the format of the models that the MLX runner holds

Flash = Literal["never", "asked", "always"]
"""When a model computes attention in pieces (flash attention) such that its context memory may be of less precision:
always unless switched off, only when switched on, or never."""

_LAYER = re.compile(r"blk\.(\d+)\.(\w+)\.weight")


@dataclass(frozen=True, slots=True)
class Anatomy(ModelFacts):
    """… and what its need of memory is worked out from."""

    family: str = ""
    kv_per_token: float = 0.0  # bytes of context memory for each token of each slot, at f16
    fixed: int = 0  # bytes beside weights and context that each slot takes whatever the context (recurrent state …)
    returns: bool = False  # Ollama's own runner keeps earlier copies of these, to return to
    kv_in_window: float = 0.0  # as kv_per_token, of layers that look back only `window` tokens: they keep no more
    window: int = 0  # tokens
    work: int = 0  # bytes of work space for each token of a batch, whatever the context
    kv_predicted: float = 0.0  # as kv_per_token, as Ollama ≥ 0.30 predicts it before it loads the model
    heads: int = 0  # attention heads of a layer
    flash: Flash = "asked"

    @property
    def mlx(self) -> bool:
        """Whether the MLX runner holds it, on Apple silicon."""
        return self.keeps_beside


def facts_of(show: Mapping[str, Any], size: int) -> Anatomy:
    """Anatomy from the answer of /api/show, and the model's `size` on disk in bytes (of /api/tags: all its parts)."""
    info = _Described(show)
    widths = [info.width(layer) for layer in range(info.layers)]
    slides = [info.slides(layer) for layer in range(info.layers)]
    return Anatomy(
        weights=size,
        family=str(_mapping(show.get("details")).get("family") or info.family),
        context=info.number("context_length"),
        keeps_beside=_mapping(show.get("details")).get("format") == SAFETENSORS,
        capabilities=frozenset(map(str, show.get("capabilities") or ())),
        kv_per_token=float(F16 * sum(width for width, slide in zip(widths, slides, strict=True) if not slide)),
        fixed=info.state(attending=sum(1 for width in widths if width)),
        returns=info.family in HYBRID,
        kv_in_window=float(F16 * sum(width for width, slide in zip(widths, slides, strict=True) if slide)),
        window=info.window if any(slides) else 0,
        work=info.work(size),
        kv_predicted=info.predicted,
        heads=info.most_heads,
        flash=info.flash,
    )


def forced_single(facts: Anatomy, inside: Inside) -> bool:
    """Whether this model has one slot, whatever OLLAMA_NUM_PARALLEL says: Ollama gives it no more, or its runner works
    on one request at a time, as the MLX one does.
    """
    return facts.mlx or "completion" not in facts.capabilities or facts.family in inside.single


class _Described:
    """The numbers of one answer, with the defaults that Ollama takes. Lists come as null unless asked for."""

    def __init__(self, show: Mapping[str, Any]) -> None:
        self._info = _mapping(show.get("model_info"))
        self._tensors = dict(_tensors(show.get("tensors")))
        self.family = str(self._info.get("general.architecture") or "")
        self.layers = min(self.number("block_count"), MOST_LAYERS)
        self.most_heads = max(self._by_layer("attention.head_count"), default=0)
        self._heads_kv = self._by_layer("attention.head_count_kv")
        # Pictures' parts in a file of their own are for the llama.cpp engine, whatever the family.
        self._sliding = None if show.get("projector_info") else WINDOWED.get(self.family)

    def number(self, key: str, default: int = 0) -> int:
        """A whole number, `default` for what is not there or not one."""
        value = self._info.get(f"{self.family}.{key}")
        whole = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**48
        return int(value) if whole and value is not None else default

    def items(self, key: str) -> Sequence[Any] | None:
        """A list; None where there is none, or Ollama does not show it."""
        value = self._info.get(f"{self.family}.{key}")
        return value if isinstance(value, list) and value else None

    def _by_layer(self, key: str) -> list[int]:
        """One number for each layer; empty when unknown."""
        if (each := self.items(key)) is not None:
            known = [max(0, number) for number in each if isinstance(number, int)]
            return (known + known[-1:] * self.layers)[: self.layers]
        number = self.number(key)
        return [number] * self.layers if number else []

    def width(self, layer: int) -> int:
        """Numbers that one token leaves in a layer's context memory."""
        if layer >= self.layers - self.number("attention.shared_kv_layers"):
            return 0  # these look into an earlier layer's
        key, value = self._lengths(layer)
        if self._heads_kv:
            return self._heads_kv[layer] * (key + value)
        if (shown := self._shown(layer)) is not None:
            return shown
        return max(1, self.most_heads) * (key + value)

    def _lengths(self, layer: int) -> tuple[int, int]:
        """Numbers of one head's key and value."""
        usual = self.number("embedding_length") // max(1, self.most_heads)
        key, value = self.number("attention.key_length", usual), self.number("attention.value_length", usual)
        if self.slides(layer):
            return self.number("attention.key_length_swa", key), self.number("attention.value_length_swa", value)
        return key, value

    def _shown(self, layer: int) -> int | None:
        """The width by the shapes of the layer's weights; None when there is nothing to go by."""
        if not self._tensors:
            return None
        mine = self._tensors.get(layer, {})
        if "attn_k" in mine:
            return mine["attn_k"] + mine.get("attn_v", mine["attn_k"])
        if "attn_qkv" in mine and "ssm_conv1d" not in mine:
            return mine["attn_qkv"]  # with the queries in it: too much, never too little
        return 0 if mine and not any(name.startswith("attn_kv") for name in mine) else None

    @property
    def window(self) -> int:
        """Tokens that a sliding layer keeps."""
        if self._sliding is None:
            return 0
        chunk = self.number("attention.chunk_size", LLAMA4_CHUNK) if self.family == "llama4" else 0
        looks_back = self.number("attention.sliding_window", chunk)
        return max(looks_back, self._sliding[1]) if looks_back else 0

    def slides(self, layer: int) -> bool:
        """Whether the layer keeps its window only."""
        if self._sliding is None or not self.window:
            return False
        pattern = self.items("attention.sliding_window_pattern")
        return bool(pattern[layer % len(pattern)]) if pattern else (layer + 1) % self._sliding[0] != 0

    def state(self, attending: int) -> int:
        """Bytes of what the recurrent layers remember for one slot, at full precision."""
        if not self.number("ssm.state_size"):
            return 0
        inner, state = self.number("ssm.inner_size"), self.number("ssm.state_size")
        past = max(0, self.number("ssm.conv_kernel") - 1) * (inner + 2 * self.number("ssm.group_count") * state)
        recurrent = self.layers - attending or self.layers
        return recurrent * (past + state * inner) * F32

    @property
    def predicted(self) -> float:
        """Bytes for each token, as Ollama ≥ 0.30 predicts them from a few numbers (PredictServerVRAM): it takes all
        layers for like the one with the fewest heads. Where it does not show these, they are seen in the weights.
        """
        shown = (self.width(layer) // max(1, sum(self._lengths(layer))) for layer in range(self.layers))
        heads = max(1, min(self._heads_kv or shown, default=1))
        return float(2 * F16 * self.layers * heads * (self.number("embedding_length") // max(1, self.most_heads)))

    def work(self, size: int) -> int:
        """Bytes in which each token of a batch is computed: the scores of every word, or a few copies of the token
        itself (GraphSize in fs/ggml/ggml.go; llama.cpp's compute buffer).
        """
        embedding = self.number("embedding_length")
        return F32 * max(self._vocabulary(size) + embedding, 4 * embedding)

    def _vocabulary(self, size: int) -> int:
        """Words it knows: as it says, by the shape of its weights, or the most that a file of that size has room for
        (half a byte for each number).
        """
        told = self.number("vocab_size") or self._tensors.get(-1, {}).get("token_embd", 0)
        return told or min(MOST_TOKENS, 2 * size // max(1, self.number("embedding_length")))

    @property
    def flash(self) -> Flash:
        if self.family in NEVER_FLASH or f"{self.family}.pooling_type" in self._info:
            return "never"
        if self._lengths(0)[0] != self._lengths(0)[1]:
            return "never"
        return "always" if self.family in ALWAYS_FLASH else "asked"


def _tensors(listed: object) -> Iterator[tuple[int, dict[str, int]]]:
    """By layer (-1: outside of them) and name: how many numbers come out of a tensor."""
    found: dict[int, dict[str, int]] = {}
    for each in listed if isinstance(listed, list) else ():
        tensor = _mapping(each)
        name, shape = str(tensor.get("name")), tensor.get("shape")
        if isinstance(shape, list) and len(shape) > 1 and isinstance(shape[1], int):
            layer = _LAYER.fullmatch(name)
            within, short = (int(layer[1]), layer[2]) if layer else (-1, name.removesuffix(".weight"))
            found.setdefault(within, {})[short] = shape[1]
    yield from found.items()


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
