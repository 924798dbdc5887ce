"""`cloudflared tunnel`: managed in the dashboard (token), a tunnel of one's own (named), a throw-away name (quick)."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import time
from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from controller.config.processes import TUNNEL
from controller.config.schema import Config
from controller.errors import SpawnFailed, Unreachable
from controller.files import PLAIN_FILE, marked
from controller.readiness import Verdict
from controller.supervision import ports
from controller.supervision.moves import Answered, Bereft, ChildLimits, Diagnosis, ExitKind, Obstacle, Silent, Waiting
from controller.supervision.probe import ask
from controller.supervision.programs import (
    EndedRun,
    Launch,
    Note,
    Plan,
    ProbeResult,
    Runs,
    Workspace,
    blocked,
    crash,
    find,
    not_ours,
    port_of,
    stamp,
    stopped_outside,
    unfit,
    with_last_words,
)
from controller.supervision.spec import ChildSpec, ChildState
from controller.supervision.tools import ToolResult, run_tool

EDGES = ("region1.v2.argotunnel.com:7844", "region2.v2.argotunnel.com:7844")  # where cloudflared itself connects to
CONNECT_LIMIT = 3.0
VALIDATE_LIMIT = 15.0
SOON = 10.0  # seconds after a start within which an exit 0 that nobody asked for is a usage message, not a goodbye
BOOTING = 60.0  # seconds after the machine came up during which a missing network is nothing to talk about
USAGE = re.compile(rb"flag provided but not defined|Incorrect Usage|flag needs an argument", re.IGNORECASE)
PORT_TAKEN = re.compile(rb"bind: address already in use")

Tool = Callable[..., Awaitable[ToolResult]]


def machine_uptime() -> float:
    """Seconds since the machine came up."""
    return time.time() - psutil.boot_time()


@dataclass(slots=True)
class Cloudflared:
    """The tunnel as `config` wants it; it forwards to `origin`, "http://host:port" or "unix:/path". `open`: whether we
    listen there. While somebody else might, nobody is led there from outside.
    """

    config: Config
    place: Workspace
    origin: str
    open: Callable[[], bool] = lambda: True
    edges: Sequence[str] = EDGES
    uptime: Callable[[], float] = machine_uptime
    tool: Tool = run_tool
    _verified: tuple[int, int] | None = field(default=None, init=False)  # (pid, port) whose listener is surely ours
    _valid: Hashable = field(default=None, init=False)  # what the last validation that went well was about

    @property
    def name(self) -> str:
        return TUNNEL

    @property
    def limits(self) -> ChildLimits:
        """Its metrics listener opens only after its look-ups, each with a limit of up to 15 s."""
        return ChildLimits(startup=60, probe_every=2, probe_limit=5, probe_misses=3, stop_grace=self._wish.grace + 5)

    @property
    def _wish(self) -> Any:
        return self.config.server.tunnel

    # --- starting ---

    async def plan(self) -> Plan:
        program = self._program() or blocked("cloudflared", self._wish.binary, self.place)
        if program is None:
            return Obstacle(ChildState.MISCONFIGURED, NOT_FOUND)
        if problem := unfit(program, "server.tunnel.binary") or self._incomplete():
            return problem
        if not self.open():
            return Obstacle(ChildState.WAITING, self._unopened)
        evidence = stamp(program, self._wish.token_file, self._wish.credentials_file), self._configuration()
        try:
            self._write_configuration()
        except OSError as error:
            return Obstacle(ChildState.MISCONFIGURED, f"{self._file} cannot be written: {error.strerror}.")
        if self._wish.mode == "named" and (problem := await self._invalid(program, evidence)):
            return problem
        port = ports.free_port()
        return Launch(self._spec(program, port), {"port": port, "program": str(program)}, evidence)

    def spec(self, note: Note) -> ChildSpec | None:
        port = port_of(note)
        if port is None:
            return None
        return self._spec(self._program() or Path(str(note.get("program"))), port)

    def _program(self) -> Path | None:
        return find("cloudflared", self._wish.binary, self.place)

    @property
    def _unopened(self) -> str:
        return (
            f"Its listener, {self.origin}, is not open, and another program may have its place: the tunnel is started "
            "by itself once it is open. `seadragon status` says why it is not."
        )

    def _incomplete(self) -> Obstacle | None:
        """What this mode needs and does not have."""
        wish = self._wish
        words: dict[str, Callable[[], str | None]] = {
            "token": lambda: _secret_problem(wish.token_file, "server.tunnel.token_file"),
            "named": lambda: (
                _secret_problem(wish.credentials_file, "server.tunnel.credentials_file")
                or (None if wish.tunnel_id else "server.tunnel.tunnel_id is empty: `cloudflared tunnel list` shows it.")
                or (
                    None
                    if wish.hostnames
                    else "server.tunnel.hostnames is empty: name the public names of this tunnel."
                )
            ),
            "quick": lambda: None,
        }
        problem = words[wish.mode]()
        return None if problem is None else Obstacle(ChildState.MISCONFIGURED, problem)

    @property
    def _file(self) -> Path:
        """Named by its content: cloudflared reads it once, so another content must be another process."""
        digest = hashlib.sha256(self._configuration().encode()).hexdigest()[:12]
        return self.place.home / TUNNEL / f"cloudflared-{digest}.yml"

    def _configuration(self) -> str:
        """Always given to cloudflared, also when there is little to say: else it would read a stray one."""
        content: dict[str, object] = {"no-autoupdate": True}
        if self._wish.mode == "named":
            content |= {
                "tunnel": self._wish.tunnel_id,
                "credentials-file": str(self._wish.credentials_file.expanduser()),
                "ingress": [
                    *({"hostname": each, "service": self.origin} for each in self._wish.hostnames),
                    {"service": "http_status:404"},
                ],
            }
        return yaml.safe_dump(content, sort_keys=False)

    def _write_configuration(self) -> None:
        """Raises OSError."""
        text, path = self._configuration(), self._file
        with contextlib.suppress(OSError):
            if path.read_text() == text:
                return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for former in path.parent.glob("cloudflared-*"):
            former.unlink()
        _write(text, path)

    async def objection(self) -> str | None:
        """What cloudflared has against these rules, before a running tunnel is given up for them; None for nothing,
        and also when it cannot be asked: then the start will tell.
        """
        program = self._program()
        if self._wish.mode != "named" or program is None or unfit(program, "server.tunnel.binary") is not None:
            return None
        draft = self._file.with_name(f"draft-{self._file.name}")
        try:
            draft.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(self._configuration(), draft)
            problem = await self._refused(program, draft)
        except OSError:
            return None
        finally:
            draft.unlink(missing_ok=True)
        return problem.words if problem is not None else None

    async def _invalid(self, program: Path, evidence: Hashable) -> Obstacle | None:
        """What it has against what it would be started with; not asked again when it has accepted just that."""
        if self._valid == evidence:
            return None
        problem = await self._refused(program, self._file)
        if problem is None:
            self._valid = evidence
        return problem

    async def _refused(self, program: Path, file: Path) -> Obstacle | None:
        """What cloudflared itself has against `file`. It must say OK: unknown keys only make it warn."""
        argv = [str(program), "tunnel", "--config", str(file), "ingress", "validate"]
        try:
            result = await self.tool(argv, limit=VALIDATE_LIMIT, environment=dict(self._environment()))
        except SpawnFailed as problem:
            return None if problem.kind == "exhausted" else Obstacle(ChildState.MISCONFIGURED, str(problem))
        if b"OK" not in result.out.split():
            words = with_last_words("cloudflared does not accept the tunnel's configuration", result.err or result.out)
            return Obstacle(ChildState.MISCONFIGURED, f"{words}: correct server.tunnel.")
        return None

    def _environment(self) -> tuple[tuple[str, str], ...]:
        return self.place.variables(self._wish.environment)

    def _spec(self, program: Path, port: int) -> ChildSpec:
        return ChildSpec(
            name=TUNNEL,
            argv=(str(program), *self._arguments(port)),
            environment=self._environment(),
            folder=str(self.place.data),
            stop_grace=self.limits.stop_grace,
            log_file=self.place.log(TUNNEL),
            log_file_size=self.place.log_file_size,
            log_files=self.place.log_files,
        )

    def _arguments(self, port: int) -> Iterator[str]:
        """Flags of `tunnel` stand before `run`: behind it cloudflared prints its usage and leaves with exit code 0."""
        wish = self._wish
        yield from ("tunnel", "--config", str(self._file), "--no-autoupdate", "--metrics", f"{ports.HERE}:{port}")
        yield from ("--output", "json", "--loglevel", "info", "--grace-period", f"{wish.grace:g}s")
        if wish.protocol != "auto":
            yield from ("--protocol", wish.protocol)
        for edge in wish.edge:
            yield from ("--edge", edge)
        if wish.edge_ca is not None:
            yield from ("--cacert", str(wish.edge_ca.expanduser()))
        if wish.mode == "quick":
            unix = self.origin.removeprefix("unix:")
            yield from ("--url", self.origin) if unix == self.origin else ("--unix-socket", unix)
            return
        yield "run"
        if wish.mode == "token":  # by file: an argument could be read by every user of this machine
            yield from ("--token-file", str(wish.token_file.expanduser()))

    # --- asking ---

    async def probe(self, runs: Runs) -> ProbeResult:
        """Its own word on its connections. That it gives one, whatever it is, shows that it lives."""
        port = port_of(runs.note)
        if runs.pid is None or port is None:
            return ProbeResult(Silent("it does not run"))
        if not self.open():
            return ProbeResult(Bereft(self._unopened))
        if self._verified != (runs.pid, port):
            if (verdict := await not_ours(port, runs.pid)) is not None:
                return ProbeResult(verdict)
            self._verified = (runs.pid, port)
        try:
            reply = await ask(f"http://{ports.HERE}:{port}/ready", self.limits.probe_limit)
            facts = {"connections": reply.facts().get("readyConnections", 0), **await self._public_name(port)}
        except Unreachable as problem:
            return ProbeResult(Silent(str(problem)))
        return ProbeResult(Answered() if reply.status == 200 else Waiting(NOT_CONNECTED), facts)

    async def _public_name(self, port: int) -> dict[str, object]:
        if self._wish.mode != "quick":
            return {}
        reply = await ask(f"http://{ports.HERE}:{port}/quicktunnel", self.limits.probe_limit)
        return {"hostname": reply.facts().get("hostname")}

    async def network(self) -> bool:
        """Whether anything that cloudflared would connect to takes a connection."""
        tries = (_connects(edge) for edge in (self._wish.edge or self.edges))
        return any(await asyncio.gather(*tries))

    def url(self, note: Note) -> str | None:
        port = port_of(note)
        return None if port is None else f"http://{ports.HERE}:{port}"

    # --- telling ---

    async def diagnose(self, ended: EndedRun) -> Diagnosis:
        words = with_last_words(ended.exit.words, ended.tail)
        code = ended.exit.code
        if code == 255:
            return Diagnosis(ExitKind.FAULT, f"{words}: put its token, or its credentials and tunnel_id, right")
        if code == 0 and not ended.was_ready and (USAGE.search(ended.tail) or ended.lived < SOON):
            return Diagnosis(
                ExitKind.FAULT, f"{words} at once: it does not know one of its flags, so update cloudflared"
            )
        if stopped_outside(ended):
            return Diagnosis(
                ExitKind.OUTSIDE, "was told to leave by another program", "Find out who stops cloudflared here."
            )
        if code == 1 and PORT_TAKEN.search(ended.tail):
            return Diagnosis(ExitKind.TAKEN, "found the port of its metrics taken by another program")
        if code == 1 and (self.uptime() < BOOTING or not await self.network()):
            return Diagnosis(ExitKind.NETWORK, f"{words}: the network is away, and it is tried again")
        return crash(ended)

    def tell(self, verdict: Verdict, reason: str, note: Note) -> None:
        """Nobody waits for the tunnel."""


NOT_FOUND = (
    "No cloudflared was found on the PATH or with Homebrew: install it, or say where it is with server.tunnel.binary."
)
NOT_CONNECTED = "It runs, and has no connection to Cloudflare: the network is away, or Cloudflare does not take it."


def _write(text: str, path: Path) -> None:
    """In one step, for us alone. Raises OSError."""
    draft = path.with_suffix(".new")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def _secret_problem(path: Path | None, setting: str) -> str | None:
    if path is None:
        return f"{setting} is empty: name the file."
    file = path.expanduser()
    try:
        found = file.stat()
        empty = not file.read_bytes().strip()
    except OSError as error:
        return f"{file} cannot be read ({error.strerror}): put it there, or correct {setting}."
    if empty:
        return f"{file} is empty: write the secret into it ({setting})."
    if marked(file):
        return f"{file} begins with a byte order mark, which cloudflared cannot read: save {PLAIN_FILE}."
    if found.st_mode & 0o077:
        return f"{file} can be read by other users: run `chmod 600 {file}`."
    return None


async def _connects(edge: str) -> bool:
    host, _, port = edge.rpartition(":")
    try:
        async with asyncio.timeout(CONNECT_LIMIT):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
