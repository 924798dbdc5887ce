#!/usr/bin/env python3
"""A runnable `cloudflared` that misbehaves on request, and forwards for real. Standard library only.

    FAKE_CLOUDFLARED_KNOBS=knobs.json python tests/fakes/cloudflared.py tunnel --config F … run

`program(folder)` writes an executable called `cloudflared` that does that. It takes the flags of `tunnel` and of `run`
where the real one takes them; one that is not known there makes it print its usage and leave with exit code 0, as the
real one does. It serves /ready, /healthcheck, /quicktunnel and /metrics where --metrics says, and answers
`tunnel --config F ingress validate`. Its edge is a port of its own (knob `front`): what is asked there travels to the
origin of the ingress rule (or --url, --unix-socket) with the headers that Cloudflare adds, streamed both ways; the
request header `Lab-Client-IP` sets the visitor's address.

Knobs are a JSON object in the file that FAKE_CLOUDFLARED_KNOBS names (no file: none set), as it is at the moment.

At start
    exit_code       leave at once with this code; stderr says `exit_words`
    no_network      leave with exit code 1, as without name service
    slow_start      seconds before the metrics listener opens
    front           port of 127.0.0.1 where the public comes in
    invalid         `ingress validate` says this instead of OK
While it runs
    outage          no connection to the edge: /ready says 503, and the front 530
    connections     how many connections it has otherwise (4; a quick tunnel 1)
    mute            the metrics listener takes connections and is silent
    crash_after     seconds after which it dies by SIGKILL
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import ipaddress
import json
import os
import re
import signal
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONNECTOR = str(uuid.uuid5(uuid.NAMESPACE_DNS, "fake.connector"))
QUICK_NAME = "made-up-words.trycloudflare.com"
VALUED = {
    "tunnel": {"config", "metrics", "output", "loglevel", "grace-period", "edge", "cacert", "protocol", "url"}
    | {"unix-socket", "ha-connections", "logfile", "origincert", "edge-ip-version", "retries", "region", "pidfile"},
    "run": {"token", "token-file", "credentials-file", "credentials-contents", "protocol", "url", "unix-socket"},
}
PLAIN = {"tunnel": {"no-autoupdate", "no-prechecks", "post-quantum"}, "run": {"post-quantum"}}
LONGEST_GRACE = 180.0
HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "lab-client-ip"}


def program(folder: Path) -> Path:
    """Write an executable `cloudflared` into `folder` that runs this fake, and return its path."""
    path = folder / "cloudflared"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{Path(__file__).resolve()}" "$@"\n')
    path.chmod(0o755)
    return path


class Knobs:
    """The knobs file, as it is now."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._values: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if self._path is not None:
            with contextlib.suppress(OSError, ValueError):
                self._values = json.loads(Path(self._path).read_text())
        return self._values.get(name)


class Leave(Exception):
    """The end of the program: exit code, and what it says."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


# --- the command line -------------------------------------------------------------------------------------------------


@dataclass
class Command:
    """What it was told: `verb` is "", "run" or "validate"."""

    verb: str
    flags: dict[str, list[str]] = field(default_factory=dict)

    def one(self, name: str, default: str = "") -> str:
        return self.flags.get(name, [default])[-1]


def parse(argv: list[str]) -> Command:
    """Raises Leave with exit code 0 and the usage for a flag that is not known where it stands."""
    if argv[:1] != ["tunnel"]:
        raise Leave(
            0, "NAME:\n   cloudflared - Cloudflare's command-line tool and agent\n\nUSAGE: cloudflared tunnel …"
        )
    command, place, rest = Command(""), "tunnel", argv[1:]
    while rest:
        word = rest.pop(0)
        if word.startswith("-"):
            take_flag(command, place, word, rest)
        elif place == "tunnel" and word == "run":
            command.verb, place = "run", "run"
        elif place == "tunnel" and word == "ingress" and rest[:1] == ["validate"]:
            command.verb, rest = "validate", rest[1:]
        elif place != "run":
            raise Leave(0, f"Incorrect Usage: no such command: {word}")
    return command


def take_flag(command: Command, place: str, word: str, rest: list[str]) -> None:
    name, given, value = word.lstrip("-").partition("=")
    if name in VALUED[place]:
        if not given and not rest:
            raise Leave(0, f"Incorrect Usage: flag needs an argument: -{name}")
        command.flags.setdefault(name, []).append(value if given else rest.pop(0))
    elif name in PLAIN[place]:
        command.flags[name] = ["true"]
    else:
        raise Leave(0, f"Incorrect Usage: flag provided but not defined: -{name}\n\nUSAGE:\n   cloudflared tunnel run")


def check_identity(command: Command) -> None:
    """A run needs a token, or a configuration that names a tunnel. Raises Leave as the real one does."""
    if token_file := command.one("token-file"):
        try:
            check_token(Path(token_file).read_text().strip())
        except OSError as problem:
            raise Leave(255, f"Failed to read token file: {problem}") from None
    elif command.one("token"):
        check_token(command.one("token"))
    elif command.verb == "run" and not re.search(r'^\s*"?tunnel"?:', configuration(command), re.MULTILINE):
        raise Leave(255, '"cloudflared tunnel run" requires the ID or name of the tunnel to run as the last argument')


def check_token(token: str) -> None:
    try:
        if {"a", "s", "t"} <= set(json.loads(base64.b64decode(token, validate=True))):
            return
    except (binascii.Error, ValueError):
        pass
    raise Leave(255, "Provided Tunnel token is not valid.")


def configuration(command: Command) -> str:
    path = command.one("config")
    return Path(path).read_text() if path else ""


def check_rules(text: str) -> None:
    """Raises Leave, as the real one does for a list of rules that leaves something open."""
    rules = re.findall(r"^- (.*(?:\n  .*)*)", text.partition("ingress:")[2], re.MULTILINE)
    if not rules or "hostname:" in rules[-1]:
        raise Leave(1, "The last ingress rule must match all URLs (i.e. it should not have a hostname or path filter)")
    for rule in rules:
        service = re.search(r"service: (\S+)", rule)
        if service is None or not re.match(r"(https?://[^/]+$|unix:/|http_status:\d{3}$)", service[1]):
            raise Leave(1, f"{rule!r} doesn't have a service that can be reached")


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(ms|s|m)", text).groups()  # type: ignore[union-attr]  # our own caller
    return float(number) * {"ms": 0.001, "s": 1.0, "m": 60.0}[unit]


def origin(command: Command) -> str:
    """The service of the first ingress rule that is one; --url and --unix-socket come first."""
    if command.one("unix-socket"):
        return "unix:" + command.one("unix-socket")
    services = re.findall(r'"?service"?:\s*"?([^\s"},]+)', configuration(command))
    return command.one("url") or next((each for each in services if not each.startswith("http_status")), "")


# --- serving ----------------------------------------------------------------------------------------------------------


@dataclass
class Tunnel:
    command: Command
    knobs: Knobs
    leaving: bool = False
    in_flight: int = 0

    @property
    def quick(self) -> bool:
        return self.command.verb == ""

    @property
    def connections(self) -> int:
        if self.knobs["outage"] or self.leaving:
            return 0
        known = self.knobs["connections"]
        return int(known) if known is not None else (1 if self.quick else 4)

    async def metrics(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            while self.knobs["mute"]:  # noqa: ASYNC110 - a file changes: there is nothing to wait for
                await asyncio.sleep(0.02)
            status, body = self.answer(head.split(b" ")[1].decode())
            writer.write(response(status, body))
            await writer.drain()
        writer.close()

    def answer(self, path: str) -> tuple[int, str]:
        if path == "/ready":
            status = 200 if self.connections else 503
            return status, json.dumps(
                {"status": status, "readyConnections": self.connections, "connectorId": CONNECTOR}
            )
        if path == "/healthcheck":
            return 200, "OK\n"
        if path == "/quicktunnel":
            return 200, json.dumps({"hostname": QUICK_NAME if self.quick else ""})
        if path == "/metrics":
            return 200, f"cloudflared_tunnel_ha_connections {self.connections}\n"
        return 404, "404 page not found\n"

    async def front(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the public: one request, as far as its body goes, then the answer until its end."""
        self.in_flight += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n\r\n")
            if not self.connections:
                writer.write(response(530, "error code: 1033"))
            else:
                await self.relay(head, reader, writer)
            await writer.drain()
        self.in_flight -= 1
        writer.close()

    async def relay(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await connect(origin(self.command))
        except OSError:
            writer.write(response(502, "Unable to reach the origin service."))
            return
        inner_writer.write(add_headers(head, writer.get_extra_info("peername")[0]))
        up = asyncio.create_task(copy(reader, inner_writer))
        down = asyncio.create_task(copy(inner_reader, writer))
        outage = asyncio.create_task(self.outage())
        try:
            # A visitor that leaves ends the request at the origin; the origin's last byte ends it here.
            await asyncio.wait([up, down, outage], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (up, down, outage):
                task.cancel()
            await asyncio.gather(up, down, outage, return_exceptions=True)
            inner_writer.close()

    async def outage(self) -> None:
        while self.connections or self.leaving:  # noqa: ASYNC110 - a file changes
            await asyncio.sleep(0.02)


async def connect(service: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if service.startswith("unix:"):
        return await asyncio.open_unix_connection(service.removeprefix("unix:"))
    host, _, port = service.removeprefix("http://").rstrip("/").rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


def add_headers(head: bytes, peer: str) -> bytes:
    """The request's head as Cloudflare hands it on; the origin is asked to close, so that its end is the answer's."""
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    pairs = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    named = next((value for name, value in pairs if name.lower() == "lab-client-ip"), peer)
    visitor = str(ipaddress.ip_address(named))
    before = [value for name, value in pairs if name.lower() == "x-forwarded-for"]
    dropped = HOP_BY_HOP | {"cf-connecting-ip", "x-forwarded-for", "x-forwarded-proto", "accept-encoding"}
    kept = [(name, value) for name, value in pairs if name.lower() not in dropped]
    added = [
        ("CF-Connecting-IP", visitor),
        ("X-Forwarded-For", ", ".join([*before, visitor])),
        ("X-Forwarded-Proto", "https"),
        ("CF-Ray", "0123456789abcdef-LAB"),
        ("CF-Visitor", '{"scheme":"https"}'),
        ("Accept-Encoding", "gzip, br"),
        ("Cf-Warp-Tag-Id", CONNECTOR),
        ("Connection", "close"),
    ]
    return "\r\n".join([first, *(f"{name}: {value}" for name, value in [*kept, *added]), "", ""]).encode("latin-1")


def response(status: int, body: str) -> bytes:
    data = body.encode()
    return f"HTTP/1.1 {status} Status\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode() + data


def say(level: str, message: str) -> None:
    print(json.dumps({"level": level, "time": "2026-01-01T00:00:00Z", "message": message}), file=sys.stderr, flush=True)


async def run(command: Command, knobs: Knobs) -> None:
    """Serve until TERM; then finish what is under way, for the grace period at most. Raises Leave."""
    grace = seconds(command.one("grace-period", "30s"))
    if grace > LONGEST_GRACE:
        raise Leave(1, "grace-period must be equal or less than 3m0s")
    check_identity(command)
    if knobs["no_network"]:
        raise Leave(1, "Could not lookup srv records on _v2-origintunneld._tcp.argotunnel.com: no such host")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await asyncio.sleep(float(knobs["slow_start"] or 0))
    tunnel = Tunnel(command, knobs)
    host, _, port = command.one("metrics", "127.0.0.1:0").rpartition(":")
    try:
        await asyncio.start_server(tunnel.metrics, host, int(port))
        if knobs["front"]:
            await asyncio.start_server(tunnel.front, "127.0.0.1", int(knobs["front"]), limit=2**20)
    except OSError as problem:
        raise Leave(1, f"Error opening metrics server listener: bind: address already in use ({problem})") from None
    say("info", f"Registered tunnel connection connIndex=0 connections={tunnel.connections}")
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), knobs["crash_after"])
    if not stop.is_set():
        os.kill(os.getpid(), signal.SIGKILL)
    tunnel.leaving = True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(grace):
            while tunnel.in_flight:  # noqa: ASYNC110 - asked 50 times a second is soon enough
                await asyncio.sleep(0.02)


def act(argv: list[str]) -> None:
    """Raises Leave."""
    knobs = Knobs(os.environ.get("FAKE_CLOUDFLARED_KNOBS"))
    if knobs["exit_code"] is not None:
        raise Leave(int(knobs["exit_code"]), str(knobs["exit_words"] or "told to fail"))
    command = parse(argv)
    if command.verb == "validate":
        said = f"Validating rules from {command.one('config')}\n"
        check_rules(configuration(command))
        raise Leave(0, str(knobs["invalid"] or said + "OK"))
    asyncio.run(run(command, knobs))
    say("info", "Tunnel server stopped")


def main() -> int:
    try:
        act(sys.argv[1:])
    except Leave as leave:
        if leave.code == 0:
            print(leave, flush=True)
        else:
            say("error", str(leave))
        return leave.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
