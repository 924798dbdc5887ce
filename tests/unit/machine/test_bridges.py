"""Which of this machine's networks are those of containers."""

from __future__ import annotations

import re
import socket
from ipaddress import ip_network
from typing import Any, NamedTuple

import pytest

from controller.auth.gate import CONTAINERS
from controller.machine.bridges import networks
from controller.paths import CLONE


class Told(NamedTuple):
    """An address as psutil tells it."""

    family: Any
    address: str
    netmask: str | None


DOCKER = Told(socket.AF_INET, "172.17.0.1", "255.255.0.0")
SIX = Told(socket.AF_INET6, "fd00:d0c::1", "ffff:ffff:ffff::")
HARDWARE = Told(17, "02:42:ac:11:00:01", None)
LOCAL = Told(socket.AF_INET6, "fe80::42%docker0", "ffff:ffff:ffff:ffff::")


@pytest.mark.parametrize(
    "name",
    ["docker0", "docker_gwbridge", "br-0123456789ab", "podman0", "podman12", "cni-podman0", "bridge100", "bridge101"],
)
def test_the_bridges_of_containers_are_known_by_their_names(name: str) -> None:
    assert set(networks({name: [HARDWARE, DOCKER, SIX, LOCAL]})) == {
        ip_network("172.17.0.0/16"),
        ip_network("fd00:d0c::/48"),
    }


@pytest.mark.parametrize(
    "name", ["eth0", "en0", "lo", "bridge0", "br0", "br-lan", "br-0123456789abc", "wg0", "utun3", "docker", "xdocker0"]
)
def test_networks_that_others_are_in_are_none_of_them(name: str) -> None:
    assert not list(networks({name: [DOCKER]}))


def test_the_documents_name_what_containers_call_this_machine() -> None:
    text = (CLONE / "config" / "access.example.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"[a-z]+\.[a-z]+\.internal", text)) == CONTAINERS
