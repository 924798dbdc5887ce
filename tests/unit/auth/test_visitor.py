"""From where a request comes: never a value that an untrusted sender chose."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.auth.visitor import DIRECT, TUNNELLED, Proxied, Unclear, arrival, neighbourhood
from controller.config.listening import Listener
from tests.kit.examples import examples

TRUSTED = (ip_network("10.1.0.0/16"), ip_network("fd00:1::/48"))
PROXIED = Proxied(TRUSTED, b"x-forwarded-for")
SOCKET = Proxied((), b"x-real-ip", socket=True)

addresses = st.one_of(
    st.ip_addresses().map(str),
    st.ip_addresses(v=4).map(lambda each: f"::ffff:{each}"),
    st.sampled_from(["10.1.0.1", "10.1.2.3", "fd00:1::5", "127.0.0.1", "::1", "203.0.113.7"]),
)
junk = st.sampled_from(
    ["", "unknown", "localhost", "1.2.3", "fe80::1%en0", "1.2.3.4:80", "[::1]", "010.1.2.3", "１.2.3.4"]
)
lists = st.lists(st.one_of(addresses, addresses, junk), min_size=1, max_size=5).map(", ".join)
NAMES = [b"cf-connecting-ip", b"x-forwarded-for", b"x-real-ip", b"forwarded", b"true-client-ip", b"cf-pseudo-ipv4"]
headers = st.lists(st.tuples(st.sampled_from(NAMES), lists.map(lambda text: text.encode())), max_size=6)


def plain(text: str) -> str:
    address = ip_address(text)
    return str(getattr(address, "ipv4_mapped", None) or address)


def trusted(text: str) -> bool:
    return any(ip_address(plain(text)) in network for network in TRUSTED)


@examples(200)
@given(addresses, headers)
def test_a_direct_peer_is_who_its_socket_says_whatever_it_sends(peer: str, sent: list[tuple[bytes, bytes]]) -> None:
    assert DIRECT.address(peer, sent) == plain(peer)


@examples(200)
@given(addresses, headers)
def test_the_tunnel_believes_one_header_that_is_there_once(peer: str, sent: list[tuple[bytes, bytes]]) -> None:
    named = [value.decode() for name, value in sent if name == b"cf-connecting-ip"]
    seen = TUNNELLED.address(peer, sent)
    if isinstance(seen, str):
        assert [plain(each) for each in named] == [seen]
    else:
        assert seen.status == 400
        assert len(named) != 1 or not _is_address(named[0])


@examples(200)
@given(addresses, headers)
def test_a_proxy_is_believed_up_to_the_first_hop_that_is_nobodys_own(
    peer: str, sent: list[tuple[bytes, bytes]]
) -> None:
    """Whatever an untrusted sender put before its own address in the list changes nothing."""
    seen = PROXIED.address(peer, sent)
    if not trusted(peer):
        assert isinstance(seen, Unclear)
        return
    if isinstance(seen, str) and not trusted(seen):
        chosen = [(b"x-forwarded-for", b"203.0.113.66, garbage"), *sent]
        assert PROXIED.address(peer, chosen) == seen
        hops = b",".join(value for name, value in sent if name == b"x-forwarded-for").decode().split(",")
        behind = [hop.strip() for hop in hops]
        last = next(hop for hop in reversed(behind) if not trusted(hop))
        assert plain(last) == seen


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def test_a_list_of_trusted_hops_alone_is_the_first_of_them() -> None:
    assert PROXIED.address("10.1.0.1", [(b"x-forwarded-for", b"10.1.0.9, 10.1.0.8")]) == "10.1.0.9"


@pytest.mark.parametrize(
    "sent", [[], [(b"x-real-ip", b"")], [(b"x-real-ip", b"1.2.3.4:80")], [(b"x-forwarded-for", b"1.2.3.4")]]
)
def test_a_proxy_that_says_nothing_plain_is_refused(sent: list[tuple[bytes, bytes]]) -> None:
    seen = SOCKET.address("", sent)
    assert isinstance(seen, Unclear)
    assert seen.status == 400


def test_whoever_may_open_the_socket_is_trusted() -> None:
    assert SOCKET.address("", [(b"x-real-ip", b"203.0.113.7")]) == "203.0.113.7"


def test_a_peer_without_an_address_has_none() -> None:
    assert DIRECT.address("", []) == ""
    assert DIRECT.address("fe80::1%en0", []) == "fe80::1"


def test_each_listener_has_its_own_way() -> None:
    assert arrival(Listener(address="127.0.0.1:1")) is DIRECT
    assert arrival(Listener(address="unix:/tmp/x", kind="tunnel")) is TUNNELLED
    told = arrival(Listener(address="10.1.0.5:1", kind="proxy", trusted=("10.1.0.0/16",), header="X-Real-IP"))
    assert told == Proxied((TRUSTED[0],), b"x-real-ip")
    assert arrival(Listener(address="unix:/tmp/y", kind="proxy")) == Proxied((), b"x-forwarded-for", socket=True)


def test_a_64_counts_as_one_visitor() -> None:
    assert neighbourhood("2001:db8:1:2:3::4") == neighbourhood("2001:db8:1:2::9") == "2001:db8:1:2::/64"
    assert neighbourhood("203.0.113.7") == "203.0.113.7"
    assert neighbourhood("") == ""


def test_a_list_of_more_hops_than_any_way_has_is_not_read() -> None:
    sent = [(b"x-forwarded-for", b", ".join([b"203.0.113.7"] * 65))]
    assert isinstance(PROXIED.address("10.1.0.1", sent), Unclear)
    assert PROXIED.address("10.1.0.1", [(b"x-forwarded-for", b"203.0.113.7")]) == "203.0.113.7"


def test_a_visitor_with_a_zone_is_unclear_since_that_means_something_on_one_machine_alone() -> None:
    assert isinstance(PROXIED.address("10.1.0.1", [(b"x-forwarded-for", b"fe80::1%en0")]), Unclear)
