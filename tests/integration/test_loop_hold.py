"""How long one request may hold up all others: the worst bodies there may be, at their longest, through a gateway.

The loop is watched from inside while another process sends.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from controller.machine.eventloop import new_loop
from tests.integration.plane import config, fake_ollama, gateway

MOST = 0.05  # seconds
MIB = 2**20
SEND = """
import socket, sys
data = open(sys.argv[2], "rb").read()
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as made:
    made.sendall(data)
    print(made.recv(65536).split()[1].decode())
"""
JSON = b"application/json"
FORM = b"multipart/form-data; boundary=b"
FIELD = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\ntiny\r\n'
FILE = FIELD + b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'


def chat(inner: bytes) -> bytes:
    return b'{"model":"tiny","messages":[' + inner + b"]}"


def said(text: bytes) -> bytes:
    return chat(b'{"role":"user","content":"' + text + b'"}')


CHAT, EMBED, COUNT, AUDIO = b"/api/chat", b"/v1/embeddings", b"/v1/messages/count_tokens", b"/v1/audio/transcriptions"
WORST: Mapping[str, tuple[bytes, bytes, bytes]] = {
    "a picture": (CHAT, JSON, chat(b'{"role":"user","images":["' + b"A" * (31 * MIB) + b'"]}')),
    "escapes": (CHAT, JSON, said(b"\\n" * (15 * MIB))),
    "quotes": (CHAT, JSON, said(b'\\"' * (15 * MIB))),
    "commas in a text": (CHAT, JSON, said(b'{\\",[' * (6 * MIB))),
    "backslashes": (CHAT, JSON, said(b"\\\\" * (15 * MIB))),
    "codes": (CHAT, JSON, said(b"\\u0041" * (5 * MIB))),
    "pairs": (CHAT, JSON, said(b"\\ud83d\\ude00" * (2 * MIB))),
    "halves": (CHAT, JSON, said(b"\\ud83d" * (5 * MIB))),
    "a half at the end": (CHAT, JSON, said(b"\\\\" * (15 * MIB) + b"\\ud83d")),
    "bytes that are no characters": (CHAT, JSON, said(b"\xff" * (31 * MIB))),
    "lists": (CHAT, JSON, chat(b"[]," * (10 * MIB) + b"[]")),
    "lists of lists": (CHAT, JSON, chat(b"[" + b"[]," * (16 * MIB // 32) + b"[]]," * 19 + b"[]")),
    "many long lists": (CHAT, JSON, chat(b",".join([b"[" + b"[]," * 600_000 + b"[]]"] * 17))),
    "objects": (CHAT, JSON, chat(b'{"a":1},' * (3 * MIB) + b"0")),
    "numbers": (CHAT, JSON, chat(b"0," * (15 * MIB) + b"0")),
    "members": (CHAT, JSON, b"{" + b",".join(b'"%x":1' % number for number in range(2_500_000)) + b"}"),
    "an option": (CHAT, JSON, b'{"model":"tiny","options":{"stop":["' + b"\\n" * (15 * MIB) + b'"]}}'),
    "blanks": (CHAT, JSON, b'{"model":"tiny",' + b" " * (31 * MIB) + b"}"),
    "a long name": (CHAT, JSON, b'{"model":"' + b"m" * (31 * MIB) + b'"}'),
    "a long member": (CHAT, JSON, b'{"' + b"m" * (31 * MIB) + b'":1}'),
    "a large document that is none": (CHAT, JSON, b"[" * (31 * MIB)),
    "inputs": (EMBED, JSON, b'{"model":"tiny","input":[' + b'"",' * (10 * MIB) + b'""]}'),
    "a long input": (EMBED, JSON, b'{"model":"tiny","input":["' + b'\\",' * (10 * MIB) + b'"]}'),
    "pictures that are none": (COUNT, JSON, said(b'\\"' + b'A\\"' * (10 * MIB))),
    "pictures": (COUNT, JSON, chat(b",".join([b'"' + b"A" * 4096 + b'"'] * 7500))),
    "a file": (AUDIO, FORM, FILE + b"x" * (31 * MIB) + b"\r\n--b--\r\n"),
    "lines in a file": (AUDIO, FORM, FILE + b"\r\n" * (15 * MIB) + b"\r\n--b--\r\n"),
    "boundaries, almost": (AUDIO, FORM, FILE + b"\r\n--" * (7 * MIB) + b"\r\n--b--\r\n"),
}
FOLDED: Mapping[str, bytes] = {
    "zeros": said(b"0" * (19 * MIB)),
    "folded escapes": said(b"\\n" * (9 * MIB)),
    "folded lists": chat(b"[]," * (6 * MIB) + b"[]"),
}


@contextlib.asynccontextmanager
async def watched() -> AsyncIterator[list[float]]:
    """How long the loop was held each time, in seconds."""
    held: list[float] = []

    async def watch() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            held.append(now - last)
            last = now

    watching = asyncio.create_task(watch())
    yield held
    watching.cancel()


def longest(folder: Path, request: bytes) -> tuple[float, str]:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(_longest(folder, request))


async def _longest(folder: Path, request: bytes) -> tuple[float, str]:
    """Seconds for which the loop was held at most, and the status. The best of three: others want the machine, too."""
    file, best, status = folder / "request", float("inf"), b""
    file.write_bytes(request)
    async with fake_ollama(folder) as fake, gateway(fake.address, using=config()) as plane:
        for _ in range(3):
            sending = await asyncio.create_subprocess_exec(
                sys.executable, "-IS", "-c", SEND, str(plane.port), str(file), stdout=asyncio.subprocess.PIPE
            )
            async with watched() as held:
                status, _ = await sending.communicate()
            best = min(best, max(held))
            if best < MOST:
                break
    return best, status.decode().strip()


@pytest.mark.proof
@pytest.mark.parametrize("shape", WORST)
def test_no_request_holds_up_all_others(tmp_path: Path, shape: str) -> None:
    path, kind, body = WORST[shape]
    assert len(body) <= 32 * MIB
    head = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
    seconds, status = longest(tmp_path, head % (path, kind, len(body)) + body)
    assert status in ("200", "400", "404")
    assert seconds < MOST, f"{seconds * 1000:.0f} ms, answered {status}"


@pytest.mark.proof
@pytest.mark.parametrize("shape", FOLDED)
def test_no_request_that_unfolds_holds_up_all_others(tmp_path: Path, shape: str) -> None:
    body = gzip.compress(FOLDED[shape])
    head = b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    seconds, status = longest(tmp_path, head % len(body) + body)
    assert status in ("200", "400")
    assert seconds < MOST, f"{seconds * 1000:.0f} ms, answered {status}"
