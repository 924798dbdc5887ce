"""A tiny vision model that really looks: it names the colour of the picture it was given, or says that there is none.

The projector averages each patch of the picture to its red, green and blue, and carries them in three channels of the
language model that no word uses. One attention head with nothing to attend by takes the average over the whole prompt
into three further channels, and those tip the balance between the words for the colours.
"""

from __future__ import annotations

from pathlib import Path

from controller.demo import gguf
from controller.demo.speaker import END, HEAD, Vocabulary, block, fields

COLOURS = ("red", "green", "blue")
NOTHING = "blank"
WORDS = ["I", " see", " a", *(f" {colour}" for colour in COLOURS), f" {NOTHING}", " picture."]
NOTHING_LEAD = 1.01  # how far "blank" is ahead of the colours as long as no picture says otherwise …
CERTAINTY = 40.0  # … and this makes so small a lead decide; a picture then tells in prompts up to some 3,000 tokens

IMAGE, PATCH, EYE, HIDDEN = 112, 14, 32, 32  # pixels a side, pixels a patch, channels inside the projector
BRIGHTNESS = 10.0  # lifts colours well into the straight part of the projector's activation
CONTEXT = 8192


def says(colour: str) -> str:
    """What the model says of a picture of this colour."""
    return f"I see a {colour} picture."


def write(folder: Path) -> list[Path]:
    """Write the language model and its projector; returns both files."""
    language, projector = folder / "seer.gguf", folder / "seer-eye.gguf"
    words = Vocabulary(WORDS)
    width = len(words) + 32  # the last 32 channels belong to no word: 3 carry the picture, 3 what was seen of it
    _write_language(language, words, width)
    _write_projector(projector, width)
    return [language, projector]


def _write_language(path: Path, words: Vocabulary, width: int) -> None:
    picture, seen = len(words), len(words) + 3
    said = set(words.of_piece.values())
    cells: gguf.Cells = {(words.of_piece["I"], before): 1.0 for before in range(len(words)) if before not in said}
    chain = [("I", " see"), (" see", " a"), *((f" {word}", " picture.") for word in (*COLOURS, NOTHING))]
    for before_piece, after_piece in chain:
        cells[words.of_piece[after_piece], words.of_piece[before_piece]] = 1.0
    cells[END, words.of_piece[" picture."]] = 1.0
    cells[words.of_piece[f" {NOTHING}"], words.of_piece[" a"]] = NOTHING_LEAD
    for channel, colour in enumerate(COLOURS):
        cells[words.of_piece[f" {colour}"], words.of_piece[" a"]] = 1.0
        cells[words.of_piece[f" {colour}"], seen + channel] = 1.0
    gather: gguf.Cells = {
        (channel, picture + channel): width**-0.5 for channel in range(3)
    }  # undoes the norm before it
    remember: gguf.Cells = {(seen + channel, channel): 1.0 for channel in range(3)}
    tensors = block(width, 32) | {
        "blk.0.attn_v.weight": gguf.Tensor((HEAD, width), cells=gather),
        "blk.0.attn_output.weight": gguf.Tensor((width, HEAD), cells=remember),
        "token_embd.weight": gguf.Tensor((len(words), width), cells={(t, t): 1.0 for t in range(len(words))}),
        "output_norm.weight": gguf.Tensor((width,), fill=CERTAINTY),
        "output.weight": gguf.Tensor((len(words), width), cells=cells),
    }
    gguf.write(path, fields("seer", width, CONTEXT, 32) | words.fields(), tensors)


def _write_projector(path: Path, width: int) -> None:
    numbers = {
        "image_size": IMAGE,
        "patch_size": PATCH,
        "embedding_length": EYE,
        "feed_forward_length": 2 * EYE,
        "block_count": 1,
        "projection_dim": width,
        "attention.head_count": 2,
    }
    facts: dict[str, gguf.Field] = {
        "general.architecture": "clip",
        "general.name": "seer-eye",
        "general.file_type": (gguf.U32, gguf.FLOAT32),
        "clip.has_vision_encoder": (gguf.BOOL, True),
        "clip.projector_type": "mlp",
        "clip.use_gelu": (gguf.BOOL, True),
        "clip.vision.attention.layer_norm_epsilon": (gguf.F32, 1e-5),
        "clip.vision.image_mean": (gguf.F32, [0.0, 0.0, 0.0]),
        "clip.vision.image_std": (gguf.F32, [1.0, 1.0, 1.0]),
        **{f"clip.vision.{key}": (gguf.U32, number) for key, number in numbers.items()},
    }
    every = [(row, column) for row in range(PATCH) for column in range(PATCH)]
    mean: gguf.Cells = {(c, c, row, column): PATCH**-2 for c in range(3) for row, column in every}
    gguf.write(
        path,
        facts,
        {
            "v.patch_embd.weight": gguf.Tensor((EYE, 3, PATCH, PATCH), cells=mean),
            "v.position_embd.weight": gguf.Tensor(((IMAGE // PATCH) ** 2, EYE)),
            "mm.0.weight": gguf.Tensor((HIDDEN, EYE), cells={(c, c): BRIGHTNESS for c in range(3)}),
            "mm.0.bias": gguf.Tensor((HIDDEN,)),
            "mm.2.weight": gguf.Tensor((width, HIDDEN), cells={(width - 32 + c, c): 1.0 for c in range(3)}),
            "mm.2.bias": gguf.Tensor((width,)),
            **_idle_block(),
        },
    )


def _idle_block() -> dict[str, gguf.Tensor]:
    """The projector's one transformer block, which adds nothing."""
    tensors = {}
    for part in ("attn_q", "attn_k", "attn_v", "attn_out"):
        tensors[f"v.blk.0.{part}.weight"] = gguf.Tensor((EYE, EYE))
        tensors[f"v.blk.0.{part}.bias"] = gguf.Tensor((EYE,))
    for part in ("ln1", "ln2"):
        tensors[f"v.blk.0.{part}.weight"] = gguf.Tensor((EYE,), fill=1.0)
        tensors[f"v.blk.0.{part}.bias"] = gguf.Tensor((EYE,))
    for part, (out, into) in {"ffn_up": (2 * EYE, EYE), "ffn_down": (EYE, 2 * EYE)}.items():
        tensors[f"v.blk.0.{part}.weight"] = gguf.Tensor((out, into))
        tensors[f"v.blk.0.{part}.bias"] = gguf.Tensor((out,))
    return tensors
