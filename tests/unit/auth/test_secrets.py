"""Keys and tokens: their form, their check, and what is kept of them."""

from __future__ import annotations

import hashlib
import math
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.auth.secrets import (
    NO_HASH,
    MadeKey,
    NewToken,
    Random,
    TokenKind,
    hash_secret,
    hash_token,
    make_id,
    make_key,
    make_sid,
    make_token,
    parse_key,
    same,
)
from controller.redact import redact

KINDS: tuple[TokenKind, ...] = ("invite", "reset", "admin")
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def drawn(seed: bytes) -> Random:
    """Randomness that can be repeated."""
    return lambda count: hashlib.shake_256(seed).digest(count)


def always(number: int) -> Random:
    """The same drawing again and again."""
    return lambda count: number.to_bytes(32, "big")[-count:]


def key_of(seed: bytes) -> str:
    return make_key(drawn(seed)).text


# --- keys ---


@given(seed=st.binary(max_size=16))
def test_a_key_has_its_form_and_says_its_own_id_and_secret(seed: bytes) -> None:
    key = make_key(drawn(seed))
    assert re.fullmatch(r"sd_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}[0-9A-Za-z]{6}", key.text)
    parsed = parse_key(key.text)
    assert parsed is not None
    id, secret = parsed
    assert id == key.id
    assert hash_secret(secret) == key.hash == hashlib.sha256(secret.encode()).digest()
    assert key.last4 == secret[-4:]


def test_the_secret_holds_all_256_bits() -> None:
    """No two drawings make one secret, neither the lowest nor the highest number."""
    edges = [0, 1, 2**255, 2**256 - 2, 2**256 - 1]
    assert len({make_key(always(number)).hash for number in edges}) == len(edges)
    assert math.log2(62) * 43 >= 256
    assert math.log2(62) * 22 >= 128


@given(seed=st.binary(max_size=8), where=st.integers(3, 59), other=st.sampled_from(ALPHABET))
def test_one_mistyped_character_is_noticed_without_looking_anywhere(seed: bytes, where: int, other: str) -> None:
    text = key_of(seed)
    mistyped = text[:where] + other + text[where + 1 :]
    assert (parse_key(mistyped) is None) == (mistyped != text)


@given(seed=st.binary(max_size=8), where=st.integers(3, 58))
def test_two_characters_that_changed_places_are_noticed(seed: bytes, where: int) -> None:
    text = key_of(seed)
    swapped = text[:where] + text[where + 1] + text[where] + text[where + 2 :]
    assert (parse_key(swapped) is None) == (swapped != text)


@given(text=st.text(max_size=80))
def test_no_text_at_all_is_taken_for_a_key_by_chance(text: str) -> None:
    assert parse_key(text) is None
    assert all(hash_token(kind, text) is None for kind in KINDS)


@pytest.mark.parametrize("spoil", ["", " {}", "{} ", "{}\n", "{}a", "\0{}", "sd_", "SD_{}", "{}\u0660"])
def test_a_key_with_anything_about_it_is_none(spoil: str) -> None:
    text = key_of(b"")
    spoilt = spoil.format(text.removeprefix("sd_") if spoil.startswith("SD_") else text)
    assert spoilt != text
    assert parse_key(spoilt) is None


def test_digits_of_other_scripts_are_no_digits() -> None:
    text = key_of(b"")
    assert parse_key(text.translate({ord(digit): ord(digit) - ord("0") + 0x0660 for digit in "0123456789"})) is None


def test_the_text_of_a_key_or_token_is_in_no_repr_and_no_log() -> None:
    made: list[MadeKey | NewToken] = [make_key(os.urandom), *(make_token(os.urandom, kind) for kind in KINDS)]
    for one in made:
        assert one.text not in repr(one)
        secret = one.text[-28:]
        assert secret not in redact(f"Authorization: {one.text}")
        assert secret not in redact(f"somebody pasted {one.text} here")
        assert one.hash not in one.text.encode()


# --- comparing ---


@given(one=st.binary(max_size=40), other=st.binary(max_size=40))
def test_same_means_equal(one: bytes, other: bytes) -> None:
    assert same(one, other) == (one == other)
    assert same(one, bytes(one))


def test_a_miss_is_compared_with_something_of_the_same_length_that_no_secret_has() -> None:
    assert len(NO_HASH) == len(hash_secret(""))
    assert hash_secret("") != NO_HASH


# --- tokens ---


@given(seed=st.binary(max_size=16), kind=st.sampled_from(KINDS), other=st.sampled_from(KINDS))
def test_a_token_is_what_it_was_made_for_and_nothing_else(seed: bytes, kind: TokenKind, other: TokenKind) -> None:
    token = make_token(drawn(seed), kind)
    assert (hash_token(other, token.text) == token.hash) == (kind == other)
    assert kind == other or hash_token(other, token.text) is None
    assert parse_key(token.text) is None


@given(seed=st.binary(max_size=8), where=st.integers(4, 31), wrong=st.sampled_from(ALPHABET))
def test_a_mistyped_token_is_refused_before_anything_is_looked_up(seed: bytes, where: int, wrong: str) -> None:
    text = make_token(drawn(seed), "reset").text
    mistyped = text[:where] + wrong + text[where + 1 :]
    assert (hash_token("reset", mistyped) is None) == (mistyped != text)


@pytest.mark.parametrize("empty", ["", " ", "sdr_", "None", "null", "0"])
def test_the_empty_token_is_refused_before_anything_is_looked_up(empty: str) -> None:
    assert all(hash_token(kind, empty) is None for kind in KINDS)


# --- ids ---


def test_ids_are_short_and_sids_hold_128_bits() -> None:
    assert re.fullmatch(r"[0-9A-Za-z]{8}", make_id(os.urandom))
    assert re.fullmatch(r"[0-9A-Za-z]{22}", make_sid(os.urandom))
    edges = [0, 1, 2**127, 2**128 - 1]
    assert len({make_sid(always(number)) for number in edges}) == 4
    assert len({make_id(os.urandom) for _ in range(2000)}) == 2000
