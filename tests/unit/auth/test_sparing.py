"""A scanner is seen, and fills no disk."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.auth.sparing import ALL, EACH, PLACES, STRETCH, Sparing, place_of

PEERS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 40)), max_size=40)


@given(calls=PEERS)
def test_of_any_storm_each_refusal_is_told_or_counted_once(calls: Sequence[tuple[int, int]]) -> None:
    sparing, told, made = Sparing(), 0, 0
    for host, count in calls:
        for _ in range(count):
            told += sparing.tell(f"192.0.2.{host}", 10.0)
            made += 1
    silenced = sparing.ended(10.0 + STRETCH)
    assert told <= ALL
    assert told + sum(count for _, count in silenced) == made
    assert [count for _, count in silenced] == sorted((count for _, count in silenced), reverse=True)


def test_the_first_of_an_address_are_told_and_then_they_are_counted() -> None:
    sparing = Sparing()
    assert [sparing.tell("192.0.2.1", 0.0) for _ in range(EACH + 5)] == [True] * EACH + [False] * 5
    assert sparing.tell("192.0.2.2", 1.0)
    assert sparing.ended(STRETCH - 1) == []
    assert sparing.ended(STRETCH) == [("192.0.2.1", 5)]
    assert sparing.ended(STRETCH) == []


def test_the_next_stretch_tells_again() -> None:
    sparing = Sparing()
    for _ in range(EACH + 1):
        sparing.tell("192.0.2.1", 0.0)
    assert sparing.ends == STRETCH
    sparing.ended(STRETCH)
    assert sparing.ends is None
    assert sparing.tell("192.0.2.1", STRETCH)


def test_as_many_addresses_as_a_scanner_likes_take_a_bounded_room() -> None:
    sparing = Sparing()
    told = sum(
        sparing.tell(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0) for number in range(5 * PLACES)
    )
    silenced = sparing.ended(STRETCH)
    assert told == ALL
    assert len(silenced) <= PLACES + 1
    assert told + sum(count for _, count in silenced) == 5 * PLACES


@pytest.mark.parametrize(
    ("peer", "place"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::9%en0", "2001:db8:1:2::/64"),
        ("", ""),
        ("nonsense", "nonsense"),
    ],
)
def test_an_ipv6_address_counts_with_its_network(peer: str, place: str) -> None:
    assert place_of(peer) == place
