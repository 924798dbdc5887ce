"""Where a link that is sent to somebody leads."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.auth.public import public_urls
from controller.config.schema import Access, Config, Listener, Server, Tls, Tunnel

TLS = Tls(cert=Path("/c.pem"), key=Path("/c.key"))
LAN, EVERYWHERE, HERE = "192.168.1.20:8420", "0.0.0.0:8420", "127.0.0.1:8420"


@pytest.mark.parametrize(
    ("listeners", "hosts", "names", "urls"),
    [
        ([HERE], ["localhost"], [], ["http://localhost:8420"]),
        ([HERE, LAN], ["localhost"], [], ["http://192.168.1.20:8420"]),
        ([LAN], ["mini.local"], [], ["http://mini.local:8420", "http://192.168.1.20:8420"]),
        ([EVERYWHERE], ["localhost", "mini.local"], [], ["http://mini.local:8420"]),
        ([HERE], ["localhost"], ["ai.example.org"], ["https://ai.example.org"]),
        (["[fd00::5]:8420"], [], [], ["http://[fd00::5]:8420"]),
        (["unix:/run/sd.sock", HERE], [], [], ["http://localhost:8420"]),
        (["unix:/run/sd.sock"], [], [], ["http://localhost"]),
        ([HERE], ["localhost"], ["*.example.org"], ["http://localhost:8420"]),
    ],
)
def test_the_best_place_comes_first(listeners: list[str], hosts: list[str], names: list[str], urls: list[str]) -> None:
    server = Server(
        listeners=tuple(Listener(address=address) for address in listeners), tunnel=Tunnel(hostnames=tuple(names))
    )
    assert public_urls(Config(server=server, access=Access(hosts=tuple(hosts)))) == urls


def test_a_listener_with_a_certificate_is_https_and_goes_before_one_without() -> None:
    listeners = (Listener(address=LAN), Listener(address="192.168.1.20:443", tls=TLS))
    config = Config(server=Server(listeners=listeners), access=Access(hosts=("mini.example.org",)))
    assert public_urls(config) == [
        "https://mini.example.org",
        "http://mini.example.org:8420",
        "https://192.168.1.20",
        "http://192.168.1.20:8420",
    ]


def test_behind_a_proxy_alone_the_names_are_its_own() -> None:
    behind = Listener(address="127.0.0.1:8422", kind="proxy", trusted=("127.0.0.1",), header="x-forwarded-for")
    config = Config(server=Server(listeners=(Listener(address=HERE), behind)), access=Access(hosts=("ai.example.org",)))
    assert public_urls(config) == ["https://ai.example.org"]
