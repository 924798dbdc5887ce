"""Who is at an address."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from controller.auth.access import AllowList, Principal
from controller.config.entry import Access, Allowed

HOME = AllowList(
    (
        Allowed(label="desk", addresses=("192.168.1.20",), manage=True),
        Allowed(label="home", addresses=("192.168.1.0/24", "fd00:5ea::/48"), lane=1.5),
    )
)


def who(listed: AllowList, peer: str) -> Principal | None:
    return listed.verdict(peer, 0.0).who


def test_the_shipped_list_knows_this_computer_alone() -> None:
    shipped = AllowList(Access().allow)
    assert who(shipped, "127.0.0.1") == Principal("this computer", 1.0, False)
    assert who(shipped, "::1") == Principal("this computer", 1.0, False)
    for stranger in ("127.0.0.2", "192.168.1.2", "::", "fe80::1", "", "/run/socket", "localhost"):
        assert who(shipped, stranger) is None


def test_no_two_callers_are_one_whatever_they_are_called() -> None:
    same = "this computer"
    callers = [
        Principal(same),
        Principal(same, id="A1"),
        Principal(same, kind="key", id="A1"),
        Principal(same, kind="person", id="A1"),
        Principal("anonymous"),
        Principal("anonymous", kind="anonymous"),
        Principal("access.yaml/this computer", kind="anonymous"),
    ]
    assert len({each.identity for each in callers}) == len(callers)
    assert Principal("Mia", kind="person", id="A1").identity == Principal("Maria", kind="person", id="A1").identity


def test_the_first_match_wins() -> None:
    assert who(HOME, "192.168.1.20") == Principal("desk", 1.0, True)
    assert who(HOME, "192.168.1.21") == Principal("home", 1.5, False)


def test_ipv4_in_ipv6_clothes_is_the_same_peer() -> None:
    assert who(HOME, "::ffff:192.168.1.20") == Principal("desk", 1.0, True)


def test_a_zone_changes_nothing() -> None:
    assert who(HOME, "fd00:5ea::1%en0") == Principal("home", 1.5, False)


@given(st.ip_addresses())
def test_only_addresses_of_the_list_are_known(address: object) -> None:
    text = str(address)
    inside = ip_address(text) in ip_network("192.168.1.0/24") or ip_address(text) in ip_network("fd00:5ea::/48")
    mapped = getattr(ip_address(text), "ipv4_mapped", None)
    if mapped is None:
        assert (who(HOME, text) is not None) == inside


def test_many_strangers_do_not_fill_the_memory() -> None:
    for number in range(10_000):
        assert who(HOME, f"10.{number >> 8}.{number & 255}.1") is None
    assert len(HOME._known) <= 4096
