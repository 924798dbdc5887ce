"""The networks of containers on this machine: those of its own that reach nobody else."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_interface
from typing import Any, Final

import psutil

from controller.auth.access import Network
from controller.clock import Clock

LOOK: Final = 10.0  # seconds for which they count as known: Docker makes one for each project
_IP: Final = (socket.AF_INET, socket.AF_INET6)
_BRIDGE: Final = re.compile(
    r"docker0|docker_gwbridge|br-[0-9a-f]{12}"  # Docker
    r"|podman\d+|cni-podman\d+"  # Podman
    r"|bridge1\d\d"  # macOS, for virtual machines; bridge0 is a real network (Thunderbolt)
)


class Bridges:
    """Knows whose address is a container's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: tuple[Network, ...] = ()
        self._looked: float | None = None

    def has(self, peer: str) -> bool:
        """Whether the address `peer` is in one of them."""
        now = self._clock.now()
        if self._looked is None or now - self._looked >= LOOK:
            self._known, self._looked = tuple(networks(psutil.net_if_addrs())), now
        address = ip_address(peer)
        return any(address in network for network in self._known)


def networks(interfaces: Mapping[str, Iterable[Any]]) -> Iterator[Network]:
    """Those of `interfaces`, as psutil tells them, that containers are in."""
    for name, addresses in interfaces.items():
        if not _BRIDGE.fullmatch(name):
            continue
        for each in addresses:
            if each.family in _IP and each.netmask:
                found = ip_interface(f"{each.address.partition('%')[0]}/{_length(each.netmask)}")
                if not found.is_link_local:
                    yield found.network


def _length(netmask: str) -> str:
    """As a number of bits: Python reads IPv6's no other way."""
    return str(int(ip_address(netmask)).bit_count()) if ":" in netmask else netmask
