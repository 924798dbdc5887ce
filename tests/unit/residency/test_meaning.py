"""What a name means here."""

from __future__ import annotations

import pytest

from controller.residency.meaning import Meanings

REDIRECTS = {"gpt-*": "shorter", "gpt-4o-*": "longer", "gpt-4o": "exact", "short*": "shorter", "red": "blue:1b"}


def meant(text: str) -> str | None:
    meaning = Meanings(REDIRECTS).of(text)
    return None if meaning is None else meaning.name.written


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("gpt-4o", "exact"),
        ("GPT-4o:latest", "exact"),
        ("gpt-4o-mini", "longer"),
        ("gpt-4", "shorter"),
        ("gpt-3", "shorter"),
        ("qwen3", "qwen3"),
        ("shorter", "shorter"),
        ("red", "blue:1b"),
        ("library/red", "blue:1b"),
        ("red:local", "blue:1b"),
        ("demo:///library/Red:Latest", "blue:1b"),
        ("red:8b", "red:8b"),
        ("me/red", "me/red"),
        ("gpt-5[1m]", "shorter"),  # no name to Ollama, but one that a redirection is written for
        ("qwen3[1m]", None),
        ("", None),
        ("a//red", None),
        ("gpt-" + "x" * 640, None),
    ],
)
def test_an_exact_name_goes_before_a_pattern_and_a_longer_before_a_shorter(asked: str, found: str | None) -> None:
    assert meant(asked) == found


def test_a_redirection_is_followed_once() -> None:
    assert Meanings({"a": "b", "b": "c"}).redirects("a")
    found = Meanings({"a": "b", "b": "a"}).of("a")
    assert found is not None
    assert found.name.full == "b:latest"


def test_a_name_of_itself_is_no_redirection() -> None:
    assert not Meanings({"red": "library/Red:latest"}).redirects("red")


def test_exact_names_can_be_listed_and_patterns_cannot() -> None:
    assert {name: one.written for name, one in Meanings(REDIRECTS).listed.items()} == {
        "gpt-4o": "exact",
        "red": "blue:1b",
    }


def test_however_many_names_are_asked_what_is_kept_stays_small() -> None:
    meanings = Meanings(REDIRECTS)
    for number in range(5000):
        meanings.of(f"m{number}")
    assert meanings.remembered <= 1024
