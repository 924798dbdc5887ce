from __future__ import annotations

from collections import Counter
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.config.listening import LimitSettings
from controller.proxy.crowd import Crowd, Full, Places


def test_an_address_has_as_many_connections_as_it_may_and_another_has_its_own() -> None:
    crowd = Crowd(2)
    assert [crowd.enter("192.168.1.5") for _ in range(3)] == [True, True, False]
    assert crowd.enter("192.168.1.6")
    crowd.leave("192.168.1.5")
    assert crowd.enter("192.168.1.5")


def test_an_ipv6_address_shares_with_its_household_and_an_ipv4_one_in_its_clothes_is_itself() -> None:
    crowd = Crowd(1)
    assert crowd.enter("fd00:0:0:1::5")
    assert not crowd.enter("fd00:0:0:1:ffff::6")
    assert crowd.enter("fd00:0:0:2::5")
    assert crowd.enter("::ffff:192.168.1.5")
    assert not crowd.enter("192.168.1.5")


def test_a_proxy_brings_the_connections_of_many() -> None:
    crowd = Crowd(1, [ip_network("10.0.0.0/24"), ip_network("fd00::/64")])
    assert all(crowd.enter(peer) for peer in ("10.0.0.1", "10.0.0.1", "::ffff:10.0.0.1", "fd00::1", "fd00::2"))
    assert [crowd.enter("10.0.1.1") for _ in range(2)] == [True, False]


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1", ""])
def test_programs_of_this_machine_are_not_counted(peer: str) -> None:
    crowd = Crowd(1)
    assert all(crowd.enter(peer) for _ in range(5))
    crowd.leave(peer)
    assert len(crowd) == 0


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["10.0.0.1", "10.0.0.2", "fd00::1"]))), st.integers(1, 3))
def test_nobody_ever_has_more_than_the_limit_and_nothing_is_kept_of_those_who_left(
    steps: list[tuple[bool, str]], limit: int
) -> None:
    crowd, inside = Crowd(limit), Counter[str]()
    for comes, peer in steps:
        if comes:
            assert crowd.enter(peer) == (inside[peer] < limit)
            inside[peer] = min(limit, inside[peer] + 1)
        elif inside[peer]:
            crowd.leave(peer)
            inside[peer] -= 1
    assert len(crowd) == sum(1 for count in inside.values() if count)


LIMITS = LimitSettings(connections=8, per_address=4)


def test_a_visitor_has_a_share_of_the_open_requests_and_another_has_their_own() -> None:
    places = Places()
    assert [places.enter("203.0.113.9", LIMITS, page=False) for _ in range(5)] == [None] * 4 + [Full.VISITOR]
    assert places.enter("203.0.113.10", LIMITS, page=False) is None
    places.leave("203.0.113.9", page=False)
    assert places.enter("203.0.113.9", LIMITS, page=False) is None


def test_pages_have_half_of_the_places_and_the_api_the_others_whoever_asks() -> None:
    places = Places()
    visitors = [f"203.0.113.{number}" for number in range(9)]
    assert [places.enter(each, LIMITS, page=True) for each in visitors[:5]] == [None] * 4 + [Full.PAGES]
    assert [places.enter(each, LIMITS, page=False) for each in visitors[4:]] == [None] * 5
    places.leave(visitors[0], page=True)
    assert places.enter("", LIMITS, page=True) is None


@given(st.lists(st.tuples(st.sampled_from(["203.0.113.9", "fd00::1", "fd00::2", "127.0.0.1"]), st.booleans())))
def test_who_leaves_leaves_nothing_behind(asked: list[tuple[str, bool]]) -> None:
    places = Places()
    let_in = [one for one in asked if places.enter(one[0], LIMITS, page=one[1]) is None]
    for visitor, page in let_in:
        places.leave(visitor, page=page)
    assert [places.enter("203.0.113.9", LIMITS, page=True) for _ in range(5)][:4] == [None] * 4
