"""What a caller shows, in every spelling."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.auth.access import Principal
from controller.auth.credentials import NOTHING, Offered, extract, holds_key
from controller.auth.keyring import Denied, Flaw, Keyring
from tests.fakes.rows import Rows, key
from tests.kit.examples import examples

GOOD, GOOD_ROW = key("good")
OTHER, OTHER_ROW = key("other")
GONE, GONE_ROW = key("gone", revoked_at=1.0)
STRANGE, _ = key("of another house")
KEYRING = Keyring(Rows(GOOD_ROW, OTHER_ROW, GONE_ROW))
TOKENS = {
    GOOD: "good",
    OTHER: "other",
    GONE: Flaw.REVOKED,
    STRANGE: Flaw.UNKNOWN,
    GOOD[:-1] + "!": Flaw.MISTYPED,
}

SPACES = st.sampled_from(["", " ", "\t", "  "])
GAPS = st.sampled_from([" ", "  ", "\t"])


def basic(text: str) -> str:
    return "Basic " + b64encode(text.encode()).decode()


@st.composite
def spelled(draw: st.DrawFn, token: str) -> tuple[bytes, bytes]:
    """One header that shows `token`."""
    cased = draw(st.sampled_from([str.lower, str.upper, str.title]))
    ways = {
        "key": ("x-api-key", token),
        "bearer": ("authorization", cased("bearer") + draw(GAPS) + token),
        "password": ("authorization", basic(f"anybody:{token}").replace("Basic", cased("basic"))),
        "user": ("authorization", basic(f"{token}:")),
        "name": ("authorization", basic(token)),
    }
    name, value = ways[draw(st.sampled_from(sorted(ways)))]
    return name.encode(), (draw(SPACES) + value + draw(SPACES)).encode()


def found(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """As `proxy/headers.py: read` joins them."""
    joined: dict[bytes, bytes] = {}
    for name, value in headers:
        joined[name] = value if name not in joined else joined[name] + b", " + value
    return joined


def decision(headers: dict[bytes, bytes]) -> str | Flaw | None:
    seen = KEYRING.look(extract(headers), "192.0.2.1", 10.0)
    return seen.label if isinstance(seen, Principal) else seen.why if isinstance(seen, Denied) else None


@examples(250)
@given(st.data(), st.sampled_from(sorted(TOKENS)), st.integers(1, 3))
def test_a_key_means_the_same_in_every_spelling_and_however_often(data: st.DataObject, token: str, times: int) -> None:
    headers = [data.draw(spelled(token)) for _ in range(times)]
    assert decision(found(headers)) == TOKENS[token]


@examples(50)
@given(st.data())
def test_two_different_good_keys_are_one_too_many(data: st.DataObject) -> None:
    headers = data.draw(st.permutations([data.draw(spelled(GOOD)), data.draw(spelled(OTHER))]))
    assert decision(found(list(headers))) is Flaw.SEVERAL


@examples(50)
@given(st.data(), st.sampled_from([GONE, STRANGE]))
def test_no_good_key_beside_it_makes_a_bad_one_good(data: st.DataObject, bad: str) -> None:
    headers = data.draw(st.permutations([data.draw(spelled(GOOD)), data.draw(spelled(bad))]))
    assert decision(found(list(headers))) is TOKENS[bad]


@examples(100)
@given(st.dictionaries(st.sampled_from([b"authorization", b"x-api-key"]), st.binary(max_size=200)))
def test_nothing_that_is_sent_breaks_it_and_nothing_but_a_key_opens(headers: dict[bytes, bytes]) -> None:
    assert decision(headers) in (None, Flaw.MISTYPED, Flaw.UNKNOWN)


@pytest.mark.parametrize(
    "value", [b"", b"Bearer", b"Bearer ", b"bearer\t", b"Basic ", b"Basic Og==", b" ", b",", b", ,"]
)
def test_an_empty_credential_is_none(value: bytes) -> None:
    assert extract({b"authorization": value, b"x-api-key": b" "}) == NOTHING


@pytest.mark.parametrize(
    "value", [b"Bearer ollama", b"not-needed", b"Basic !!", b"Digest a=b, c=d", basic("me:x").encode()]
)
def test_what_others_give_out_is_not_ours(value: bytes) -> None:
    offered = extract({b"authorization": value})
    assert offered.ours == ()
    assert offered.foreign


def test_a_foreign_password_beside_a_key_is_passed_over() -> None:
    """A proxy's own Basic stays in the header while the key travels in the other."""
    offered = extract({b"authorization": basic("me:house").encode(), b"x-api-key": GOOD.encode()})
    assert offered == Offered((GOOD,), ("house",), ambient=True)


def test_only_what_a_browser_remembers_is_ambient() -> None:
    assert not extract({b"authorization": b"Bearer " + GOOD.encode()}).ambient
    assert not extract({b"x-api-key": GOOD.encode()}).ambient
    assert extract({b"authorization": basic(f"x:{GOOD}").encode()}).ambient


def test_a_key_is_seen_wherever_it_stands() -> None:
    assert holds_key(b"/v1/models/" + GOOD.encode())
    assert holds_key(b"note=sdi_" + b"a" * 28)
    assert not holds_key(b"/v1/models/sd_turbo:latest")
