"""Where a link that is sent to somebody leads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller.auth.public import AT_HOME, NAMELESS, ONLY_HERE, LinkPlaces, places
from controller.config.entry import Access
from controller.config.listening import Listener, Tls
from controller.config.processes import TunnelSettings
from controller.config.schema import Config, Server

TLS = Tls(cert=Path("/c.pem"), key=Path("/c.key"))
LAN, EVERYWHERE, HERE = "192.168.1.20:8420", "0.0.0.0:8420", "127.0.0.1:8420"


PROXY = Listener(address="127.0.0.1:8422", kind="proxy", trusted=("127.0.0.1",), header="x-forwarded-for")


def config(*listeners: Listener | str, hosts: tuple[str, ...] = ("localhost",), **server: Any) -> Config:
    """One that listens so; an address alone is a listener where people may sign in, wherever that is allowed."""
    made = (each if isinstance(each, Listener) else Listener(address=each, plain_cookies=True) for each in listeners)
    return Config(server=Server(listeners=tuple(made), **server), access=Access(hosts=hosts))


@pytest.mark.parametrize(
    ("listeners", "hosts", "names", "urls"),
    [
        ([HERE], ["localhost"], [], ["http://localhost:8420"]),
        ([HERE, LAN], ["localhost"], [], ["http://192.168.1.20:8420"]),
        ([LAN], ["mini.local"], [], ["http://mini.local:8420", "http://192.168.1.20:8420"]),
        ([HERE], ["localhost"], ["ai.example.org"], ["https://ai.example.org"]),
        (["[fd00::5]:8420"], [], [], ["http://[fd00::5]:8420"]),
        ([Listener(address="unix:/run/sd.sock"), HERE], [], [], ["http://localhost:8420"]),
        ([Listener(address="unix:/run/sd.sock")], [], [], ["http://localhost"]),
        ([HERE], ["localhost"], ["*.example.org"], ["http://localhost:8420"]),
    ],
)
def test_the_best_place_comes_first(
    listeners: list[Listener | str], hosts: list[str], names: list[str], urls: list[str]
) -> None:
    tunnel = TunnelSettings(mode="token" if names else "off", hostnames=tuple(names))
    assert places(config(*listeners, hosts=tuple(hosts), tunnel=tunnel)).urls == tuple(urls)


def test_a_listener_with_a_certificate_is_https_and_goes_before_one_without() -> None:
    found = places(config(LAN, Listener(address="192.168.1.20:443", tls=TLS), hosts=("mini.example.org",)))
    assert found.urls == (
        "https://mini.example.org",
        "http://mini.example.org:8420",
        "https://192.168.1.20",
        "http://192.168.1.20:8420",
    )
    assert not found.caution


def test_behind_a_proxy_alone_the_names_are_its_own() -> None:
    found = places(config(HERE, PROXY, hosts=("ai.example.org",)))
    assert found == LinkPlaces(("https://ai.example.org",))


TUNNEL = Listener(address="127.0.0.1:8421", kind="tunnel")
SECURE = Listener(address=EVERYWHERE, tls=TLS)


@pytest.mark.parametrize(
    ("made", "caution"),
    [
        (config(Listener(address=HERE)), AT_HOME),
        (config(Listener(address=HERE), hosts=("mini.local",)), AT_HOME),
        (config(Listener(address=LAN), hosts=("mini.local",)), AT_HOME),  # a form there would not be taken
        (config(Listener(address=EVERYWHERE), hosts=("mini.local",)), AT_HOME),
        (
            config(HERE, tunnel=TunnelSettings(hostnames=("ai.example.org",))),
            AT_HOME,
        ),  # nothing leads from there to here
        (config(HERE, tunnel=TunnelSettings(mode="quick")), NAMELESS),
        (config(HERE, TUNNEL), NAMELESS),
        (config(HERE, PROXY), NAMELESS),
        (config(SECURE), NAMELESS),  # any of its addresses will do, but none is known
        (
            config(HERE, LAN, require_https="all", tunnel=TunnelSettings(mode="token", hostnames=("*.example.org",))),
            NAMELESS,
        ),
    ],
)
def test_where_a_link_works_on_this_machine_only_it_is_said_with_what_to_set(made: Config, caution: str) -> None:
    found = places(made)
    assert found.caution == caution
    assert all("//localhost" in url for url in found.urls)
    assert caution.startswith(ONLY_HERE)
    assert caution.endswith("Then make it anew.")


@pytest.mark.parametrize(
    "made",
    [
        config(LAN),
        config(SECURE, hosts=("mini.example.org",)),
        config(
            HERE, TUNNEL, tunnel=TunnelSettings(hostnames=("ai.example.org",))
        ),  # of a tunnel that somebody else runs
        config(HERE, PROXY, hosts=("ai.example.org",)),
    ],
)
def test_a_link_that_works_elsewhere_needs_no_word(made: Config) -> None:
    found = places(made)
    assert not found.caution
    assert not any("localhost" in url for url in found.urls)
