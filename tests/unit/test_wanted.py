"""What a configuration asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller import wanted
from controller.auth.public import places
from controller.config.schema import Config

RUN = Path("/tmp/run")


def a_config(*addresses: str, **server: Any) -> Config:
    return Config.model_validate({"server": {"listeners": [{"address": each} for each in addresses], **server}})


@pytest.mark.parametrize(
    ("given", "listened"),
    [
        (("127.0.0.1:8420",), ["127.0.0.1:9000"]),
        (("[::1]:8420", "0.0.0.0:80"), ["[::1]:9000", "0.0.0.0:80"]),
        (("unix:/tmp/a.sock",), ["unix:/tmp/a.sock"]),
        (("unix:/tmp/a.sock", "127.0.0.1:1"), ["unix:/tmp/a.sock", "127.0.0.1:9000"]),
    ],
)
def test_the_command_line_gives_the_first_direct_listener_another_port(
    given: tuple[str, ...], listened: list[str]
) -> None:
    config = a_config(*given)
    assert [each.address for each in wanted.listeners(wanted.on_port(config, 9000), RUN)] == listened
    assert wanted.on_port(config, None) is config


def test_links_lead_to_the_port_that_is_listened_on() -> None:
    assert places(wanted.on_port(a_config("127.0.0.1:8420"), 9000)).urls == ("http://localhost:9000",)


def test_a_tunnel_brings_a_listener_of_its_own_unless_there_is_one() -> None:
    tunnel = {"mode": "quick"}
    assert [each.kind for each in wanted.listeners(a_config("127.0.0.1:1", tunnel=tunnel), RUN)] == ["direct", "tunnel"]
    own = Config.model_validate(
        {"server": {"listeners": [{"address": "127.0.0.1:2", "kind": "tunnel"}], "tunnel": tunnel}}
    )
    assert [each.address for each in wanted.listeners(own, RUN)] == ["127.0.0.1:2"]
