"""Where a link that is sent to somebody leads."""

from __future__ import annotations

import pytest

from controller.auth.public import public_urls
from controller.config.schema import Access, Config, Listener, Server, Tunnel

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
    ],
)
def test_the_best_place_comes_first(listeners: list[str], hosts: list[str], names: list[str], urls: list[str]) -> None:
    server = Server(
        listeners=tuple(Listener(address=address) for address in listeners), tunnel=Tunnel(hostnames=tuple(names))
    )
    assert public_urls(Config(server=server, access=Access(hosts=tuple(hosts)))) == urls
