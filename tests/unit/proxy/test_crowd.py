from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.proxy.crowd import Crowd


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
