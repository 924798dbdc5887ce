"""A command in a world of its own, where every address is this machine and every packet that was meant for another one
is written down: what does not show here never left the house. `python -m tests.kit.sealed OUT -- COMMAND …`, on Linux.

It has to be started in a network namespace of its own, which `run` does with `unshare` (of util-linux). There the
loopback device carries everything, and a packet socket on it sees each packet before anybody could answer it.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LIMIT = 240.0  # seconds a command may take
GET_FLAGS, SET_FLAGS, UP = 0x8913, 0x8914, 1  # linux/sockios.h, linux/if.h
NEW_ROUTE, ACKED_NEW = 24, 0x405  # linux/rtnetlink.h: RTM_NEWROUTE; a request that creates, and wants an answer
LOCAL, BY_HAND, OF_HOST, TABLE = 2, 3, 254, 255  # RTN_LOCAL, RTPROT_BOOT, RT_SCOPE_HOST, RT_TABLE_LOCAL
ROUTE_DEVICE = 4  # RTA_OIF
EVERYTHING, OF_PACKETS, STATISTICS = 3, 263, 6  # linux/if_packet.h: ETH_P_ALL, SOL_PACKET, PACKET_STATISTICS
ROOM_BY_FORCE = 33  # SO_RCVBUFFORCE
ROOM = 32 * 2**20  # bytes of packets that may wait to be looked at
TCP, UDP, DOMAIN = 6, 17, 53


@dataclass(frozen=True)
class Seen:
    """What a command tried."""

    names: tuple[str, ...]  # whose addresses it asked for
    reached: tuple[str, ...]  # addresses elsewhere that it sent something to, with protocol and port
    missed: int  # packets that came faster than they were looked at
    code: int  # what the command left with
    output: str


def impossible() -> str | None:
    """Why nothing can be sealed off on this machine."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    unshare = shutil.which("unshare")
    if unshare is None:
        return "there is no `unshare` (util-linux)"
    tried = subprocess.run([*_unshared(unshare), "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() or "it may not be done here" if tried.returncode else None


def run(out: Path, argv: Sequence[str], environment: Mapping[str, str]) -> Seen:
    """Run a command to its end where nothing can leave."""
    unshare = shutil.which("unshare")
    assert unshare is not None
    command = [*_unshared(unshare), sys.executable, "-m", "tests.kit.sealed", str(out), "--", *argv]
    done = subprocess.run(
        command,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert out.exists(), done.stdout
    told = json.loads(out.read_text())
    return Seen(tuple(told["names"]), tuple(told["reached"]), told["missed"], done.returncode, done.stdout)


def _unshared(unshare: str) -> list[str]:
    return [unshare, "--net"] if os.geteuid() == 0 else [unshare, "--map-root-user", "--net"]


# --- inside ---


def seal() -> None:
    """Every address is this machine from now on. Only for a namespace of one's own."""
    names = [name for _, name in socket.if_nameindex() if name != "lo"]
    assert not any(map(_is_up, names)), "This is the machine's own network."
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16sh14x", b"lo", 0)
        _, flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, GET_FLAGS, asked))
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14x", b"lo", flags | UP))
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):  # a machine without IPv6 sends none
            _everything_here(family)


def _is_up(name: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16sh14x", name.encode(), 0)
        return bool(struct.unpack("16sh14x", fcntl.ioctl(any_socket, GET_FLAGS, asked))[1] & UP)


def _everything_here(family: int) -> None:
    """`ip route add local default dev lo`."""
    route = struct.pack("=8BI", family, 0, 0, 0, TABLE, BY_HAND, OF_HOST, LOCAL, 0)
    device = struct.pack("=HHi", 8, ROUTE_DEVICE, socket.if_nametoindex("lo"))
    head = struct.pack("=IHHII", 16 + len(route) + len(device), NEW_ROUTE, ACKED_NEW, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        kernel.send(head + route + device)
        (fault,) = struct.unpack("=i", kernel.recv(4096)[16:20])
    if fault:
        raise OSError(-fault, os.strerror(-fault))


class Watch:
    """Looks at every packet, in a thread, until the block ends."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.reached: set[str] = set()
        self.missed = 0
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(EVERYTHING))
        with contextlib.suppress(OSError):  # beyond the usual limit: for the machine's own root alone
            self._socket.setsockopt(socket.SOL_SOCKET, ROOM_BY_FORCE, ROOM)
        self._socket.bind(("lo", EVERYTHING))
        self._socket.settimeout(0.2)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        statistics = self._socket.getsockopt(OF_PACKETS, STATISTICS, 8)
        self.missed = struct.unpack("=II", statistics)[1]
        self._socket.close()

    def _look(self) -> None:
        while True:
            try:
                packet = self._socket.recv(65536)
            except TimeoutError:
                if self._over.is_set():
                    return
                continue
            self._take(packet)

    def _take(self, packet: bytes) -> None:
        target, protocol, content = parts(packet)
        if target is None:
            return
        port = struct.unpack("!H", content[2:4])[0] if protocol in (TCP, UDP) and len(content) >= 4 else 0
        source = struct.unpack("!H", content[:2])[0] if port else 0
        if port == DOMAIN:
            self.names.add(_asked_for(content[8:]) if protocol == UDP else "(over TCP)")
        elif not target.is_loopback and source != DOMAIN and not _answers(protocol, content):
            self.reached.add(f"{target} {protocol} {port}")


def parts(packet: bytes) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address | None, int, bytes]:
    """For whom a packet is, its protocol's number, and what is in it."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        return ipaddress.IPv4Address(packet[16:20]), packet[9], packet[(packet[0] & 15) * 4 :]
    if version == 6 and len(packet) >= 40:
        return ipaddress.IPv6Address(packet[24:40]), packet[6], packet[40:]
    return None, 0, b""


def _answers(protocol: int, content: bytes) -> bool:
    """Whether it is the kernel's own "nobody is here" to something that was written down already."""
    refused = protocol == TCP and len(content) > 13 and content[13] & 0x04  # RST
    return bool(refused) or protocol in (1, 58)  # ICMP of both kinds


def _asked_for(question: bytes) -> str:
    """The name in a question to a name server."""
    return ".".join(_labels(question[12:])) or "(none)"


def _labels(text: bytes) -> Iterator[str]:
    at = 0
    while at < len(text) and text[at]:
        yield text[at + 1 : at + 1 + text[at]].decode("ascii", errors="replace")
        at += 1 + text[at]


def main() -> int:
    out, _, *argv = sys.argv[1:]
    seal()
    with Watch() as watch:
        code = subprocess.run(argv, check=False).returncode
    told = {"names": sorted(watch.names), "reached": sorted(watch.reached), "missed": watch.missed}
    Path(out).write_text(json.dumps(told))
    return code


if __name__ == "__main__":
    sys.exit(main())
