"""What access.yaml and the listeners may say about who comes in."""

from __future__ import annotations

from typing import Any

import pytest

from controller.config.checks import inside, warnings
from controller.config.schema import Config


def told(**branches: Any) -> list[str]:
    return [".".join(map(str, each.location)) for each in inside(Config.model_validate(branches))]


@pytest.mark.parametrize(
    ("role", "right"), [("anonymous", "manage"), ("address", "admin"), ("child", "manage"), ("member", "admin")]
)
def test_no_role_is_given_what_the_table_never_gives_it(role: str, right: str) -> None:
    assert told(access={"roles": {role: {"may": ["list", right]}}}) == [f"access.roles.{role}.may.1"]
    assert told(access={"roles": {role: {"may": ["list"]}}}) == []


@pytest.mark.parametrize("label", ["desk", "DESK", "dеsk", "desk\u3164"])
def test_an_entry_has_a_label_that_nobody_takes_for_anothers(label: str) -> None:
    entries = [{"label": "desk", "addresses": ["10.0.0.1"]}, {"label": "shed", "addresses": ["10.0.0.2"]}]
    assert told(access={"allow": entries}) == []
    assert told(access={"allow": [*entries, {"label": label, "addresses": ["10.0.0.3"]}]}) == ["access.allow.2.label"]


def test_a_proxys_listener_names_its_proxy_or_is_a_socket() -> None:
    proxy: dict[str, Any] = {"address": "127.0.0.1:8421", "kind": "proxy"}
    assert told(server={"listeners": [proxy]}) == ["server.listeners.0.trusted"]
    assert told(server={"listeners": [{**proxy, "trusted": ["10.0.0.1"]}]}) == []
    assert told(server={"listeners": [{**proxy, "address": "unix:/tmp/proxy"}]}) == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "2a06:98c0:3600::103"])
def test_what_is_anybodys_is_nobodys_address_in_the_tunnel(address: str) -> None:
    entry = {"label": "x", "addresses": ["203.0.113.7", address], "through_tunnel": True}
    assert told(access={"allow": [entry]}) == ["access.allow.0.addresses.1"]


def test_what_opens_much_is_worth_a_word() -> None:
    wide = {"label": "x", "addresses": ["203.0.113.0/24"], "through_tunnel": True}
    config = Config.model_validate({"access": {"allow": [wide], "roles": {"anonymous": {"may": ["list"]}}}})
    words = " ".join(warnings(config))
    assert "from the internet, without a key" in words
    assert "access.roles.anonymous" in words
