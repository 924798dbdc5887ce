"""Which passwords may be chosen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.auth.passwords import LEAST, MOST, common, encoded, fault, too_long


@pytest.mark.parametrize(
    "good", ["correct horse battery", "Zürich im Mai", "🐉🐉 im Teich", "x" * 40 + "yz", " a b c d "]
)
def test_any_characters_will_do(good: str) -> None:
    assert fault(good, "mia") == ""


@pytest.mark.parametrize("short", ["", "a", "seven77", "🐉🐉🐉🐉🐉🐉🐉"])
def test_a_short_one_is_refused_for_its_length(short: str) -> None:
    assert f"{LEAST} characters" in fault(short, "mia")


def test_seventy_two_bytes_are_the_most_and_not_seventy_two_letters() -> None:
    assert fault("ab" * 33 + "cdefgh", "mia") == ""
    assert "too long" in fault("ab" * 33 + "cdefghi", "mia")
    assert "too long" in fault("🐉abcde" * 9, "mia")  # 54 letters, 81 bytes
    assert not too_long("ä" * 36)
    assert too_long("ä" * 37)


@pytest.mark.parametrize(
    "known", ["password", "PASSWORD", "Password123", "iloveyou", "1q2w3e4r", "qwertzuiop", "aaaabbbb"]
)
def test_what_everybody_tries_first_is_refused(known: str) -> None:
    assert "tries first" in fault(known, "mia")


@pytest.mark.parametrize("own", ["mia-lopez", "MIA-LOPEZ", "mia-lopez1", "2026mia-lopez!", "mia-lopezmia-lopez"])
def test_ones_own_name_is_refused_also_with_digits_around_it(own: str) -> None:
    assert "like the name" in fault(own, "Mia-Lopez")


def test_a_password_that_only_holds_a_name_is_good() -> None:
    assert fault("mia lopez likes the sea", "mia") == ""


def test_accents_are_the_same_from_whichever_keyboard() -> None:
    assert encoded("Zu\u0308rich im Mai") == encoded("Z\u00fcrich im Mai")


def test_the_list_is_worth_its_name_and_holds_only_what_length_does_not_refuse() -> None:
    assert len(common()) >= 3000
    assert {"12345678", "football", "letmein1", "trustno1", "sunshine"} <= common()
    assert all(len(each) >= LEAST and each == each.casefold() for each in common())


@given(st.text(), st.text())
def test_every_text_gets_a_verdict_and_what_passes_bcrypt_sees_whole(password: str, name: str) -> None:
    if fault(password, name) == "":
        assert LEAST <= len(encoded(password)) <= MOST
