"""How known words are laid into a model. That a real Ollama speaks them is tested in tests/integration/test_kit.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.demo import gguf
from controller.demo.speaker import BYTES, END, Vocabulary, _succession, pieces_of

TEXTS = st.lists(st.sampled_from(["a", "b", "cat", "😀", "the", '{"x":', "1}"]), min_size=1, max_size=30).map(" ".join)


@given(TEXTS)
def test_pieces_put_together_are_the_text_and_no_piece_comes_twice(text: str) -> None:
    pieces = pieces_of(text, set())
    assert "".join(pieces) == text
    assert len(set(pieces)) == len(pieces)


@given(TEXTS, TEXTS)
def test_two_texts_of_one_model_share_no_piece(one: str, other: str) -> None:
    taken: set[str] = set()
    first, second = pieces_of(one, taken), pieces_of(f"{other} too", taken)
    assert not set(first) & set(second)


def test_the_same_short_text_twice_cannot_be_told_apart() -> None:
    with pytest.raises(ValueError, match="'Hello.' is said already"):
        pieces_of("Hello.", {"Hello."})


def walk(spoken: dict[str, list[str]], cue: str, loop: bool = False, limit: int = 100) -> str:
    """What the model says after a prompt that ends with the character `cue`."""
    words = Vocabulary([piece for pieces in spoken.values() for piece in pieces])
    after = dict(_succession(words, spoken, loop))
    token, said = after[BYTES + ord(cue)], ""
    while token != END and len(said) < limit:
        said += words.tokens[token].replace("\u2581", " ")
        token = after[token]
    return said


@given(TEXTS, TEXTS)
def test_each_cue_leads_through_its_own_text_to_the_end(one: str, other: str) -> None:
    taken: set[str] = set()
    spoken = {"": pieces_of(one, taken), "\t": pieces_of(f"{other} too", taken)}
    assert walk(spoken, "\n", limit=1000) == one
    assert walk(spoken, "\t", limit=1000) == f"{other} too"


def test_a_loop_has_no_end() -> None:
    assert walk({"": ["tick", " tock"]}, "\n", loop=True, limit=27) == "tick tock" * 3


def test_every_token_has_a_name_of_its_own_or_ollama_aborts() -> None:
    words = Vocabulary(["I", " am", " red."])
    assert len(set(words.tokens)) == len(words.tokens) == len(words.types)
    assert len(words) % 64 == 0


def test_a_cell_lies_where_its_row_and_column_say() -> None:
    tensor = gguf.Tensor((3, 5))
    assert tensor.size == 60
    assert [tensor.offset(index) for index in ((0, 0), (0, 1), (1, 0), (2, 4))] == [0, 4, 20, 56]
