"""Everything a bench starts: each is a `with` block, listens on 127.0.0.1, and is gone at the block's end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from tests.bench.arithmetic import DIRECT, NGINX
from tests.bench.load import PATH, BenchFailed, answers
from tests.bench.pretence import ANSWERS
from tests.kit.ports import free_port

ROOT = Path(__file__).parents[2]
LOAD_CORE, GATEWAY_CORE = 0, 1
FIXED_ANSWER = (
    '{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"bench","system_fingerprint":'
    '"fp_ollama","choices":[{"index":0,"message":{"role":"assistant","content":"Rayleigh scattering."},'
    '"finish_reason":"stop"}]}'
)
_NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
  access_log off; default_type application/json; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  {servers}
}}
"""
_FIXED = """server {{
    listen 127.0.0.1:{port} backlog=512;
    location = {path} {{ return 200 '{answer}'; }}
    {pretence}
  }}"""
_PASS = """upstream up{port} {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=512;
    location / {{
      proxy_pass http://up{port}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering {buffering};
    }}
  }}"""


@contextmanager
def on_core(number: int | None) -> Iterator[None]:
    """This process, and all it starts meanwhile, on one core. macOS has no such call: there the kernel decides."""
    if number is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    cores = sorted(before)
    os.sched_setaffinity(0, {cores[min(number, len(cores) - 1)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def running(argv: Sequence[str], log: Path, core: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process for as long as the block lasts, on one core if told: asked to leave at its end, made to after 30 s."""
    with log.open("wb") as output, on_core(core):
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(what: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, limit: float = 30) -> float:
    """Seconds until `what()` holds, asked every 2 ms.

    Raises BenchFailed, with the end of the log, when the process ends or `limit` seconds pass before.
    """
    begun = time.monotonic()
    while not what():
        if process.poll() is not None or time.monotonic() - begun > limit:
            said = log.read_text(errors="replace")[-2000:]
            raise BenchFailed(f"{process.args!r} did not get ready.\n{said}")
        time.sleep(0.002)
    return time.monotonic() - begun


@dataclass(frozen=True, slots=True)
class Target:
    """A way from the load to the upstreams: straight, or through a gateway."""

    name: str
    small: int  # port that leads to the fixed answer
    streams: int  # port that leads to the paced streamer
    processes: tuple[psutil.Process, ...] = ()

    def cpu(self) -> float:
        """Seconds of processor time used so far."""
        return sum(sum(process.cpu_times()[:2]) for process in self.processes)

    def memory(self) -> float:
        """MB (10⁶ bytes) resident now, of the largest of its processes."""
        return max((process.memory_info().rss for process in self.processes), default=0) / 1e6


def _nginx(folder: Path, servers: Sequence[str]) -> list[str]:
    folder.mkdir()
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, servers="\n  ".join(servers)))
    return ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def _pretence() -> str:
    return " ".join(f"location = {path} {{ return 200 '{answer}'; }}" for path, answer in ANSWERS.items())


@contextmanager
def upstreams(folder: Path) -> Iterator[Target]:
    """nginx with a fixed answer, and the paced streamer, both on the load's core."""
    small, streams = free_port(), free_port()
    fixed = _nginx(folder / "fixed", [_FIXED.format(port=small, path=PATH, answer=FIXED_ANSWER, pretence=_pretence())])
    paced = [sys.executable, "-m", "tests.bench.streamer", str(streams)]
    with ExitStack() as stack:
        for argv, port, log in ((fixed, small, folder / "fixed.log"), (paced, streams, folder / "streamer.log")):
            process = stack.enter_context(running(argv, log, LOAD_CORE))
            wait_for(partial(answers, port), process, log)
        yield Target(DIRECT, small, streams)


@contextmanager
def nginx(folder: Path, upstream: Target) -> Iterator[Target]:
    """nginx as a gateway: one worker, connections kept alive on both sides."""
    small, streams = free_port(), free_port()
    servers = [
        _PASS.format(port=small, upstream=upstream.small, buffering="on"),
        _PASS.format(port=streams, upstream=upstream.streams, buffering="off"),
    ]
    log = folder / "nginx.log"
    with running(_nginx(folder / "nginx", servers), log, GATEWAY_CORE) as process:
        wait_for(lambda: answers(small) and answers(streams), process, log)
        yield Target(NGINX, small, streams, (psutil.Process(process.pid),))


Command = Callable[[int, int, Path], list[str]]  # (port, upstream's port, a folder of its own) → argv


@contextmanager
def gateway(name: str, command: Command, folder: Path, upstream: Target) -> Iterator[Target]:
    """Any gateway that is a command: one process for each upstream."""
    with ExitStack() as stack:
        ports, processes = [], []
        for kind, behind in (("small", upstream.small), ("streams", upstream.streams)):
            ports.append(port := free_port())
            own = folder / f"{name}-{kind}"
            own.mkdir()
            log = own / "output.log"
            process = stack.enter_context(running(command(port, behind, own), log, GATEWAY_CORE))
            wait_for(partial(answers, port), process, log)
            processes.append(psutil.Process(process.pid))
        yield Target(name, ports[0], ports[1], tuple(processes))
