"""Which names are taken for one another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.auth.lookalikes import alike, visible


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Mia", "Mia"),
        ("Mia", "mIA"),
        ("Mia", "ＭＩＡ"),  # full width
        ("Mia", "Мiа"),  # Cyrillic М and а
        ("Mia", "ΜΙΑ"),  # Greek, all of it
        ("Mia", "𝓜𝓲𝓪"),
        ("Mia", "rnia"),
        ("Mia", "Mi\u200da"),
        ("Mia", "Mia\ufe0f"),
        ("Mia", "Mia\u3164"),
        ("Mia", "Mi\u034fa"),
        ("Ian", "lan"),
        ("Olga", "0lga"),
        ("laptop 1", "laptop l"),
        ("this computer", "this  computer"),
        ("this computer", "this\u00a0computer"),
        ("operator", "оperatоr"),
        ("kitchen", "kıtchen"),
        ("Strauß", "STRAUSS"),
        ("café", "cafe\u0301"),
    ],
)
def test_names_that_look_alike_are_found_either_way(name: str, other: str) -> None:
    assert alike(name, ["Zoë", other]) == other
    assert alike(other, ["Zoë", name]) == name


@pytest.mark.parametrize(
    ("name", "other"), [("Mia", "Max"), ("Anna", "Anne"), ("Ольга", "Olga"), ("laptop 1", "laptop 2"), ("李", "王")]
)
def test_names_that_differ_to_the_eye_do_not_meet(name: str, other: str) -> None:
    assert alike(name, [other]) is None


@given(st.text(min_size=1, max_size=64))
def test_every_name_that_can_be_seen_is_like_itself(name: str) -> None:
    if visible(name):
        assert alike(name, [name]) == name


@pytest.mark.parametrize("name", ["\u3164", "\u200b\u200d", "\u2800", " \ufe0f "])
def test_a_name_nobody_sees_is_none(name: str) -> None:
    assert not visible(name)
