"""Tiny real language models whose every word is known.

A speaker is a genuine GGUF that Ollama loads and runs like any other, but its weights are written by hand: the state of
the network is simply "the token I saw last", and the output layer says which token follows. So it recites known text,
word for word, under any sampling. `seadragon demo` makes one for people; the tests are full of them (`tests/kit/`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from controller.demo import gguf

UNKNOWN, START, END, BYTES = 0, 1, 2, 3  # the first tokens; then one for each of the 256 bytes
NORMAL_TYPE, UNKNOWN_TYPE, CONTROL_TYPE, UNUSED_TYPE, BYTE_TYPE = 1, 2, 3, 5, 6
CERTAINTY = 4.0  # scales the logits: the right next token gets about 70, every other about 0
ALTERNATIVES = 8  # readable tokens that come second, for those who ask for the likeliest alternatives
HEAD = 16  # width of the one attention head


class Vocabulary:
    """The tokens of one hand-made model: 256 bytes, so that it reads anything, and the pieces it speaks in."""

    def __init__(self, pieces: list[str]) -> None:
        spoken = [piece.replace(" ", "\u2581") for piece in pieces]
        tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *spoken]
        types = [UNKNOWN_TYPE, CONTROL_TYPE, CONTROL_TYPE, *[BYTE_TYPE] * 256, *[NORMAL_TYPE] * len(pieces)]
        padding = -len(tokens) % 64
        self.tokens = tokens + [f"<pad{number}>" for number in range(padding)]
        self.types = types + [UNUSED_TYPE] * padding
        self.of_piece = {piece: BYTES + 256 + position for position, piece in enumerate(pieces)}

    def __len__(self) -> int:
        return len(self.tokens)

    def fields(self) -> dict[str, gguf.Field]:
        """The tokenizer's part of the file."""
        return {
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": self.tokens,
            "tokenizer.ggml.scores": (gguf.F32, [0.0] * len(self)),
            "tokenizer.ggml.token_type": (gguf.I32, self.types),
            "tokenizer.ggml.bos_token_id": (gguf.U32, START),
            "tokenizer.ggml.eos_token_id": (gguf.U32, END),
            "tokenizer.ggml.unknown_token_id": (gguf.U32, UNKNOWN),
            "tokenizer.ggml.add_bos_token": (gguf.BOOL, True),
            "tokenizer.ggml.add_space_prefix": (gguf.BOOL, False),
        }


def pieces_of(text: str, taken: set[str]) -> list[str]:
    """Split into words, each with the space before it, none of them twice or in `taken` (which grows).

    The model knows only its last token, so a word that comes again would send it round in circles: it is joined to the
    words after it until the piece is a new one, and what is left over at the end to the pieces before. Raises
    ValueError when even the whole text is a piece already.
    """
    pieces: list[str] = []
    piece = ""
    for word in re.findall(r"\s*\S+", text):
        piece += word
        if piece not in taken:
            pieces.append(piece)
            taken.add(piece)
            piece = ""
    while piece in taken and pieces:
        piece = pieces.pop() + piece
    if piece in taken:
        raise ValueError(f"{text!r} is said already.")
    if piece:
        pieces.append(piece)
        taken.add(piece)
    return pieces


def write_speaker(
    path: Path,
    says: str | Mapping[str, str],
    *,
    name: str,
    loop: bool = False,
    context: int = 32768,
    width: int = 0,
    feed_forward: int = 32,
    head: int = HEAD,
) -> None:
    """Write a model that recites `says`, whatever it is asked.

    `says` may give several texts, chosen by the last character of the prompt (one byte); the key "" stands for any
    other. `loop` starts over instead of ending. `context` is in tokens, and a prompt takes one for each byte. `width`
    and `feed_forward` make the model bigger, and so slower; each token of its context takes 4 × `head` bytes.
    """
    lines = {"": says} if isinstance(says, str) else says
    taken: set[str] = set()
    spoken = {cue: pieces_of(text, taken) for cue, text in lines.items()}
    words = Vocabulary([piece for pieces in spoken.values() for piece in pieces])
    width = max(width, len(words))
    cells: gguf.Cells = {(after, before): 1.0 for before, after in _succession(words, spoken, loop)}
    for token in list(words.of_piece.values())[:ALTERNATIVES]:
        for before in range(len(words)):
            cells.setdefault((token, before), 0.01)
    identity: gguf.Cells = {(token, token): 1.0 for token in range(len(words))}
    gguf.write(
        path,
        fields(name, width, context, feed_forward, head) | words.fields(),
        {
            "token_embd.weight": gguf.Tensor((len(words), width), cells=identity),
            "output_norm.weight": gguf.Tensor((width,), fill=CERTAINTY),
            "output.weight": gguf.Tensor((len(words), width), cells=cells),
            **block(width, feed_forward, head),
        },
    )


def _succession(words: Vocabulary, spoken: Mapping[str, list[str]], loop: bool) -> Iterator[tuple[int, int]]:
    """Pairs (token, the token that follows it)."""
    chains = {cue: [words.of_piece[piece] for piece in pieces] for cue, pieces in spoken.items()}
    for chain in chains.values():
        yield from zip(chain, [*chain[1:], chain[0] if loop else END], strict=True)
    cues = {BYTES + ord(cue): chain[0] for cue, chain in chains.items() if cue}
    yield from cues.items()
    inside = {token for chain in chains.values() for token in chain}
    if "" in chains:
        yield from ((token, chains[""][0]) for token in range(len(words)) if token not in inside | cues.keys())


def fields(name: str, width: int, context: int, feed_forward: int, head: int = HEAD) -> dict[str, gguf.Field]:
    """What a one-block model of the `llama` family says of itself."""
    numbers = {
        "general.file_type": gguf.FLOAT32,
        "llama.context_length": context,
        "llama.embedding_length": width,
        "llama.block_count": 1,
        "llama.feed_forward_length": feed_forward,
        "llama.attention.head_count": 1,
        "llama.attention.head_count_kv": 1,
        "llama.attention.key_length": head,
        "llama.attention.value_length": head,
        "llama.rope.dimension_count": head,
    }
    return {
        "general.architecture": "llama",
        "general.name": name,
        **{key: (gguf.U32, number) for key, number in numbers.items()},
        "llama.attention.layer_norm_rms_epsilon": (gguf.F32, 1e-5),
    }


def block(width: int, feed_forward: int, head: int = HEAD) -> dict[str, gguf.Tensor]:
    """One transformer block that adds nothing: what comes in goes out."""
    return {
        "blk.0.attn_norm.weight": gguf.Tensor((width,), fill=1.0),
        "blk.0.attn_q.weight": gguf.Tensor((head, width)),
        "blk.0.attn_k.weight": gguf.Tensor((head, width)),
        "blk.0.attn_v.weight": gguf.Tensor((head, width)),
        "blk.0.attn_output.weight": gguf.Tensor((width, head)),
        "blk.0.ffn_norm.weight": gguf.Tensor((width,), fill=1.0),
        "blk.0.ffn_gate.weight": gguf.Tensor((feed_forward, width)),
        "blk.0.ffn_up.weight": gguf.Tensor((feed_forward, width)),
        "blk.0.ffn_down.weight": gguf.Tensor((width, feed_forward)),
    }
