"""A tiny embedding model: texts of the same letters point the same way.

Each token has a fixed random direction in a few channels of its own; one attention head with nothing to attend by adds
up the directions of the whole text, and that sum outweighs the last token, which Ollama takes the embedding from.
"""

from __future__ import annotations

import random
from pathlib import Path

from controller.demo import gguf
from controller.demo.speaker import HEAD, Vocabulary, block, fields

CONTEXT = 2048
WEIGHT = 4.0  # of the whole text, against the last token's own channel
MEAN_POOLING = 1


def write(path: Path, name: str) -> list[Path]:
    """Write the model; returns its one file."""
    words = Vocabulary(["unsaid"])
    width = len(words) + HEAD
    chance = random.Random(name)
    scale = width**-0.5  # undoes the norm before the attention
    directions: gguf.Cells = {
        (c, token): chance.choice((-scale, scale)) for c in range(HEAD) for token in range(len(words))
    }
    pooling: dict[str, gguf.Field] = {"llama.pooling_type": (gguf.U32, MEAN_POOLING)}
    tensors = block(width, 32) | {
        "token_embd.weight": gguf.Tensor((len(words), width), cells={(t, t): 1.0 for t in range(len(words))}),
        "blk.0.attn_v.weight": gguf.Tensor((HEAD, width), cells=directions),
        "blk.0.attn_output.weight": gguf.Tensor(
            (width, HEAD), cells={(len(words) + c, c): WEIGHT for c in range(HEAD)}
        ),
        "output_norm.weight": gguf.Tensor((width,), fill=1.0),
    }
    gguf.write(path, fields(name, width, CONTEXT, 32) | pooling | words.fields(), tensors)
    return [path]
