"""Which tokens are a session's: every forgery that is known of is tried."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.auth.sessions import (
    ABSOLUTE,
    ADMIN_IDLE,
    DAY,
    IDLE,
    LONGEST_TOKEN,
    REQUIRED,
    Claims,
    SigningKeys,
    over,
    proven,
    read,
    sign,
)

NOW = 1_700_000_000.0
KEYS = SigningKeys("new", {"new": bytes(range(32)), "old": bytes(range(100, 132))})
OTHERS = SigningKeys("new", {"new": bytes(range(64, 96))})
GOOD: dict[str, Any] = {
    "iss": "seadragon",
    "aud": "pages",
    "typ": "session",
    "sid": "s1",
    "sub": "u1",
    "iat": int(NOW) - 10,
    "exp": int(NOW) + 1000,
}


def forged(claims: dict[str, Any], algorithm: str = "HS256", secret: Any = KEYS.secrets["new"], **headers: Any) -> str:
    return jwt.encode(claims, secret, algorithm, headers={"kid": "new", **headers})


def by_hand(header: dict[str, Any], signature: str = "") -> str:
    parts = (base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in (header, GOOD))
    return ".".join((*parts, signature))


def test_a_token_says_whose_it_is_until_it_ends() -> None:
    token = sign("s1", "u1", NOW, NOW + ABSOLUTE, KEYS)
    assert read(token, KEYS, NOW) == Claims("s1", "u1")
    assert read(token, KEYS, NOW + ABSOLUTE - 1) == Claims("s1", "u1")
    assert read(token, KEYS, NOW + ABSOLUTE) is None


def test_the_helper_of_these_tests_makes_good_tokens() -> None:
    assert read(forged(GOOD), KEYS, NOW) == Claims("s1", "u1")


def test_a_token_of_the_key_before_still_holds_and_one_of_the_key_before_that_does_not() -> None:
    assert read(sign("s1", "u1", NOW, NOW + 9, SigningKeys("old", KEYS.secrets)), KEYS, NOW) == Claims("s1", "u1")
    assert read(sign("s1", "u1", NOW, NOW + 9, SigningKeys("older", {"older": bytes(32)})), KEYS, NOW) is None


@pytest.mark.parametrize("missing", REQUIRED)
def test_every_claim_must_be_there(missing: str) -> None:
    assert read(forged({name: value for name, value in GOOD.items() if name != missing}), KEYS, NOW) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"typ": "invite"},
        {"typ": ["session"]},
        {"aud": "api"},
        {"aud": []},
        {"iss": "somebody"},
        {"exp": int(NOW)},
        {"exp": int(NOW) - 1},
        {"exp": "9999999999"},
        {"exp": 9e99},
        {"exp": True},
        {"iat": int(NOW) + 3600},
        {"iat": None},
        {"sid": ""},
        {"sid": 7},
        {"sid": None},
        {"sub": ""},
    ],
)
def test_a_claim_that_is_not_as_ours_are_is_refused(wrong: dict[str, Any]) -> None:
    try:
        token = forged({**GOOD, **wrong})
    except TypeError:  # the library would not even write it: write it by hand
        token = jwt.api_jws.encode(json.dumps({**GOOD, **wrong}).encode(), KEYS.secrets["new"], "HS256", {"kid": "new"})
    assert read(token, KEYS, NOW) is None


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS384", "HS512", "RS256", "ES256", ""])
def test_no_other_algorithm_is_taken(algorithm: str) -> None:
    assert read(by_hand({"alg": algorithm, "typ": "JWT", "kid": "new"}), KEYS, NOW) is None
    if algorithm.startswith("HS"):
        assert read(forged(GOOD, algorithm, bytes(range(64))), KEYS, NOW) is None
        longer = SigningKeys("new", {"new": bytes(range(64))})
        assert read(forged(GOOD, algorithm, bytes(range(64))), longer, NOW) is None


def test_a_signature_by_another_key_or_none_is_refused() -> None:
    assert read(forged(GOOD, secret=OTHERS.secrets["new"]), KEYS, NOW) is None
    head, body, _ = forged(GOOD).split(".")
    assert read(f"{head}.{body}.", KEYS, NOW) is None


@pytest.mark.parametrize("kid", ["old", "nobody", "", None, 7, ["new"], "../new"])
def test_the_key_is_found_by_its_name_among_ours_alone(kid: Any) -> None:
    header = {"alg": "HS256", "typ": "JWT", "kid": kid}
    signature = forged(GOOD).rpartition(".")[2]
    assert read(by_hand(header, signature), KEYS, NOW) is None


@pytest.mark.parametrize("pointer", ["jku", "jwk", "x5u", "x5c"])
def test_a_key_that_the_token_itself_brings_is_not_looked_at(pointer: str) -> None:
    theirs = OTHERS.secrets["new"]
    brought: Any = {"kty": "oct", "k": base64.urlsafe_b64encode(theirs).decode()}
    assert read(forged(GOOD, secret=theirs, **{pointer: brought}), KEYS, NOW) is None


def test_an_endless_text_is_not_even_looked_at() -> None:
    assert read(forged({**GOOD, "sid": "s" * LONGEST_TOKEN}), KEYS, NOW) is None


@given(st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode() + "." * 2))
def test_no_other_text_is_a_session(text: str) -> None:
    assert read(text, KEYS, NOW) is None


@given(st.integers(0, 10_000), st.characters(codec="ascii"))
def test_a_token_with_one_letter_changed_is_none(place: int, letter: str) -> None:
    token = forged(GOOD)
    at = place % (len(token) - 1)  # the last one holds bits that do not count
    changed = token[:at] + letter + token[at + 1 :]
    assert (read(changed, KEYS, NOW) is None) == (changed != token)


def test_a_session_ends_unused_after_thirty_days_and_used_after_ninety() -> None:
    assert not over(NOW, NOW, NOW + ABSOLUTE, NOW + IDLE - 1)
    assert over(NOW, NOW, NOW + ABSOLUTE, NOW + IDLE)
    assert over(NOW, NOW + ABSOLUTE - 5, NOW + ABSOLUTE, NOW + ABSOLUTE)


def test_what_a_clock_that_was_ahead_noted_of_a_session_is_not_believed() -> None:
    ahead = NOW + 20 * DAY
    assert over(ahead, ahead, ahead + ABSOLUTE, NOW)
    assert read(sign("s1", "u1", ahead, ahead + ABSOLUTE, KEYS), KEYS, NOW) is None
    assert over(NOW - IDLE, ahead, NOW + ABSOLUTE, NOW)  # nobody knows when it was used last, if not at its beginning
    assert not over(NOW - DAY, ahead, NOW + ABSOLUTE, NOW)
    assert not proven(ahead, ahead, NOW)
    assert proven(NOW - 3600, ahead, NOW)


def test_an_admins_rights_want_the_password_after_twelve_idle_hours() -> None:
    assert proven(NOW, 0.0, NOW + ADMIN_IDLE - 1)
    assert not proven(NOW, 0.0, NOW + ADMIN_IDLE)
    assert proven(NOW, NOW + 3600, NOW + ADMIN_IDLE)
