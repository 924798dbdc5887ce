#!/usr/bin/env python3
"""A runnable `ollama serve` that misbehaves on request. Standard library only.

    OLLAMA_HOST=127.0.0.1:PORT FAKE_OLLAMA_KNOBS=knobs.json python tests/fakes/ollama.py serve

`program(folder)` writes an executable called `ollama` that does that. Knobs are a JSON object in the file that
FAKE_OLLAMA_KNOBS names (no file: none set); it is read again whenever it changes, and a change resets the `*_next`
counts. Beyond the real routes there is `GET /fake/seen`: each request so far, its method, path, headers, size, digest.

At start
    version         what it says it is ("0.32.0", or what its program was written for); below 0.30 its runners and its
                    words are those of that time
    exit_code       leave at once with this code; stderr says `exit_words`
    port_taken      fail as the real one does when its port is taken (it does so too when it really is)
    slow_start      seconds between the open port and the first HTTP answer
    crash_after     seconds after its first HTTP answer at which it dies, by `crash_signal` (9) or with `crash_code`
    busy            runners that are started now compute, whatever they are asked: a tenth of a processor each
    setsid_runner   runners leave our session, so that a group kill misses them
    ignore_term     TERM and INT do nothing (read at start)
    library         what it says it computes with: "cpu" (no GPU was found) or "Metal"; on a Mac Metal unless told
    mum             it does not say at all what it computes with
While it runs
    mute            nothing is answered at all, /api/version neither: connections are taken, and silence follows
    freeze          inference brings no byte; /api/version, /api/tags and /api/ps answer
    leak_slots      a client that leaves in mid-stream takes its runner's slot along: it brings no byte until killed
    fail_next       this many inference requests get `fail_status` (500) and `fail_error` instead of an answer
    close_next      this many requests of any kind have their connection closed before the head
    drop_after      the connection is cut in mid-stream after this many tokens
    crash_tokens    the server kills itself after this many tokens in all
    poison          a prompt with this text in it kills its runner, before the first token
    error_after     the stream ends with the real one's error line after this many tokens
    tokens          tokens of an answer (8), if the request wants as many
    pause           seconds before each token but the first (0)
    prefill         seconds before the first token (0)
    load            seconds that loading a model takes (0)
    load_fails      loading fails with this text (status 500, or `load_status`) …
    load_fails_next … only this many times
    load_crashes    this many loads (counted since the knobs changed) end with their runner dying
    cursed          the name of a model whose every load ends with its runner dying
    load_hangs      the runner of a load starts, and then nothing happens until it is killed
    size            bytes that a loaded model takes, as /api/ps tells it (4,000,000)
    forget          /api/ps does not list what is loaded: as after an eviction of its own
    models          names that exist (["tiny:latest"]); `same_blob` true: all of one blob
    echo            every route but /api/version answers with what it was asked, as /fake/seen tells it
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORDS = ("the", "sea", "is", "deep", "and", "full", "of", "dragons")
LOOK = 0.2  # seconds between two looks at whether a runner is alive
RUNNER_GONE = "an error was encountered while running the model: unexpected EOF"
VERSION = "0.32.0"
LLAMA_SERVER = "/opt/ollama/lib/ollama/llama-server"
FLAGS = (
    "--host 127.0.0.1 --no-webui --offline -c 8192 -np 1 --log-verbosity 4 --no-log-prefix --no-log-timestamps "
    "--no-jinja --chat-template chatml --no-mmap --flash-attn auto -b 1024 -ub 1024 --context-shift --keep 4"
)


def program(folder: Path, version: str = VERSION) -> Path:
    """Write an executable `ollama` into `folder` that runs this fake, and return its path. As installers do, whatever
    was there is replaced by another file.
    """
    path, draft = folder / "ollama", folder / "ollama.new"
    run = f'FAKE_OLLAMA_VERSION={version} exec "{sys.executable}" -IS "{Path(__file__).resolve()}" "$@"'
    draft.write_text(f"#!/bin/sh\n{run}\n")
    draft.chmod(0o755)
    draft.replace(path)
    return path


def own_version() -> str:
    """What the program is that was started."""
    return os.environ.get("FAKE_OLLAMA_VERSION", VERSION)


class Knobs:
    """The knobs file, as it is now."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._text = ""
        self._values: dict[str, Any] = {}
        self._spent: dict[str, int] = {}

    def __getitem__(self, name: str) -> Any:
        self._refresh()
        return self._values.get(name)

    def number(self, name: str, default: float = 0) -> float:
        value = self[name]
        return default if value is None else float(value)

    def take(self, name: str) -> bool:
        """One of the `*_next` knobs: whether this request is among its count."""
        left = self.number(name) - self._spent.get(name, 0)
        self._spent[name] = self._spent.get(name, 0) + 1
        return left > 0

    def _refresh(self) -> None:
        if self._path is None:
            return
        with contextlib.suppress(OSError, ValueError):
            text = Path(self._path).read_text()
            if text != self._text:
                self._values, self._text, self._spent = json.loads(text), text, {}


@dataclass
class Request:
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def to_json(self) -> dict[str, Any]:
        digest = hashlib.sha256(self.body).hexdigest()
        headers = [list(pair) for pair in self.headers]
        return {"method": self.method, "path": self.path, "headers": headers, "size": len(self.body), "digest": digest}

    @property
    def asked(self) -> dict[str, Any]:
        with contextlib.suppress(ValueError):
            value = json.loads(self.body)
            if isinstance(value, dict):
                return value
        return {}


@dataclass
class Runner:
    name: str
    blob: str
    process: subprocess.Popen[bytes]
    stuck: bool = False

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Fake:
    knobs: Knobs
    runners: dict[str, Runner] = field(default_factory=dict)
    loading: asyncio.Lock = field(default_factory=asyncio.Lock)  # as the real one: loads go one after the other
    seen: list[Request] = field(default_factory=list)
    tokens: int = 0
    ready_at: float = 0.0

    @property
    def version(self) -> str:
        return str(self.knobs["version"] or own_version())

    @property
    def dated(self) -> bool:
        """Whether it is one of those whose models run in its own program."""
        return tuple(map(int, self.version.split(".")[:2])) < (0, 30)

    @property
    def died(self) -> str:
        return f"{'llama runner' if self.dated else 'llama-server'} process has terminated: signal: killed"

    @property
    def models(self) -> list[str]:
        return list(self.knobs["models"] or ["tiny:latest"])

    def blob(self, name: str) -> str:
        seed = "one" if self.knobs["same_blob"] else self.full(name)
        folder = os.environ.get("OLLAMA_MODELS") or os.path.join(os.path.expanduser("~"), ".ollama", "models")
        return os.path.join(folder, "blobs", "sha256-" + hashlib.sha256(seed.encode()).hexdigest())

    @staticmethod
    def full(name: str) -> str:
        return name.lower() if ":" in name else f"{name.lower()}:latest"

    # --- connections -----------------------------------------------------------------------------------------------

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while (request := await read_request(reader)) is not None:
                await self.answer(request, reader, writer)
                await writer.drain()
                if writer.is_closing():
                    break
        writer.close()

    async def answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(max(0.0, self.ready_at - time.monotonic()))
        if request.path == "/fake/seen":
            return send_json(writer, 200, {"seen": [each.to_json() for each in self.seen]})
        self.seen.append(request)
        while self.knobs["mute"]:  # noqa: ASYNC110 - a file changes: there is nothing to wait for
            await asyncio.sleep(0.02)
        if self.knobs["close_next"] and self.knobs.take("close_next"):
            return writer.close()
        path = request.path.partition("?")[0]
        if self.knobs["echo"] and path != "/api/version":
            return send_json(writer, 200, request.to_json(), head=request.method == "HEAD")
        if path in ("/api/generate", "/api/chat", "/v1/chat/completions", "/v1/messages"):
            return await self.infer(path, request.asked, reader, writer)
        status, value = self.metadata(path, request)
        send_json(writer, status, value, head=request.method == "HEAD")

    def metadata(self, path: str, request: Request) -> tuple[int, object]:
        if path == "/":
            return 200, "Ollama is running"
        if path == "/api/version":
            return 200, {"version": self.version}
        if path == "/api/tags":
            return 200, {"models": [self.described(name) for name in self.models]}
        if path == "/api/ps":
            loaded = [] if self.knobs["forget"] else [each for each in self.runners.values() if each.alive]
            size = {"size": int(self.knobs.number("size", 4_000_000))}
            return 200, {"models": [self.described(each.name) | size for each in loaded]}
        if path == "/v1/models":
            return 200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]}
        if path == "/api/show":
            name = str(request.asked.get("model") or request.asked.get("name") or "")
            if self.full(name) not in self.models:
                return 404, {"error": f"model '{name}' not found"}
            return 200, {"modelfile": f"# Modelfile\nFROM {self.blob(name)}\n", "capabilities": ["completion"]}
        return 404, "404 page not found"

    def described(self, name: str) -> dict[str, Any]:
        digest = self.blob(name).rpartition("-")[2]
        return {"name": name, "model": name, "size": 4_000_000, "size_vram": 0, "digest": digest, "details": {}}

    # --- inference -------------------------------------------------------------------------------------------------

    async def infer(
        self, path: str, asked: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        name = str(asked.get("model", ""))
        if self.full(name) not in self.models:
            return send_json(writer, 404, {"error": f"model '{name}' not found"})
        if self.knobs["fail_next"] and self.knobs.take("fail_next"):
            error = self.knobs["fail_error"] or self.died
            return send_json(writer, int(self.knobs.number("fail_status", 500)), {"error": error})
        if asked.get("keep_alive") == 0 and not asked.get("prompt") and not asked.get("messages"):
            self.unload(name)
            return send_json(writer, 200, {"model": name, "response": "", "done": True, "done_reason": "unload"})
        try:
            runner = await self.load(name)
        except LoadFails as problem:
            return send_json(writer, int(self.knobs.number("load_status", 500)), {"error": str(problem)})
        if not asked.get("prompt") and not asked.get("messages"):
            return send_json(writer, 200, {"model": name, "response": "", "done": True, "done_reason": "load"})
        if self.knobs["poison"] and self.knobs["poison"] in json.dumps(asked):
            runner.kill()
        await self.speak(path, name, asked, runner, reader, writer)

    async def load(self, name: str) -> Runner:
        blob = self.blob(name)
        async with self.loading:
            runner = self.runners.get(blob)
            if runner is None or not runner.alive:
                await asyncio.sleep(self.knobs.number("load"))
                self.refuse_load()
                process = subprocess.Popen(  # noqa: ASYNC220
                    self.argv(blob), executable=sys.executable, start_new_session=bool(self.knobs["setsid_runner"])
                )
                runner = Runner(self.full(name), blob, process)
                await self.come_up(runner)
                self.runners[blob] = runner
            return runner

    def argv(self, blob: str) -> list[str]:
        """What a runner is started with: to everybody who looks it is what the real one starts."""
        program, word = (sys.executable, "runner") if self.dated else (LLAMA_SERVER, "--")
        argv = [program, "-IS", __file__, word, "--model", blob, "--port", "0"]
        return argv + ([] if self.dated else FLAGS.split()) + (["--busy"] if self.knobs["busy"] else [])

    def refuse_load(self) -> None:
        words = self.knobs["load_fails"]
        if words and (self.knobs["load_fails_next"] is None or self.knobs.take("load_fails_next")):
            raise LoadFails(words)

    async def come_up(self, runner: Runner) -> None:
        """A runner that has to be seen starting, as one that crashes or hangs while it loads."""
        cursed = self.knobs["cursed"] and self.full(self.knobs["cursed"]) == runner.name
        if cursed or (self.knobs["load_crashes"] and self.knobs.take("load_crashes")):
            runner.kill()
        while runner.alive and self.knobs["load_hangs"]:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)
        if not runner.alive:
            raise LoadFails(self.died)

    def unload(self, name: str) -> None:
        if runner := self.runners.pop(self.blob(name), None):
            runner.kill()

    async def speak(
        self,
        path: str,
        name: str,
        asked: dict[str, Any],
        runner: Runner,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        stream = bool(asked.get("stream", not path.startswith("/v1")))
        gone = asyncio.ensure_future(reader.read(1))  # a client that leaves is the end of the file
        try:
            pieces = shape(path, name, self.pieces(asked, runner, gone))
            if stream:
                await self.relay(path, pieces, writer)
            else:
                text = "".join([str(piece.get("text", "")) async for piece in self.pieces(asked, runner, gone)])
                send_json(writer, 200, whole(path, name, text))
        except RunnerDied:
            if not stream:
                return send_json(writer, 500, {"error": RUNNER_GONE})
            writer.close()
        finally:
            if gone.done() and self.knobs["leak_slots"]:
                runner.stuck = True
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await gone

    async def relay(self, path: str, pieces: AsyncIterator[bytes], writer: asyncio.StreamWriter) -> None:
        head, count = False, 0
        try:
            async for piece in pieces:
                if not head:
                    kind = "text/event-stream" if path.startswith("/v1") else "application/x-ndjson"
                    start_stream(writer, kind)
                    head = True
                send_chunk(writer, piece)
                await writer.drain()
                count += 1
                if (limit := self.knobs["drop_after"]) is not None and count >= limit:
                    return abort(writer)
        except RunnerDied:
            if not head:
                return send_json(writer, 500, {"error": RUNNER_GONE})
            if not path.startswith("/v1"):
                send_chunk(writer, json.dumps({"error": RUNNER_GONE}).encode() + b"\n")
        writer.write(b"0\r\n\r\n")

    async def pieces(
        self, asked: dict[str, Any], runner: Runner, gone: asyncio.Future[bytes]
    ) -> AsyncIterator[dict[str, Any]]:
        """The answer a token at a time. Raises RunnerDied; ends early when the client is gone."""
        while self.knobs["freeze"] or runner.stuck:
            await self.wait(0.02, runner, gone)
        wanted = dict(asked.get("options") or {}).get("num_predict")
        count = min(int(self.knobs.number("tokens", len(WORDS))), wanted or sys.maxsize)
        for number in range(count):
            await self.wait(self.knobs.number("pause" if number else "prefill"), runner, gone)
            if (limit := self.knobs["error_after"]) is not None and number >= limit:
                raise RunnerDied
            yield {"text": WORDS[number % len(WORDS)] + " "}
            self.tokens += 1
            if (limit := self.knobs["crash_tokens"]) is not None and self.tokens >= limit:
                os.kill(os.getpid(), signal.SIGKILL)
        yield {"done": True, "count": count}

    async def wait(self, seconds: float, runner: Runner, gone: asyncio.Future[bytes]) -> None:
        end = time.monotonic() + seconds
        while True:
            if not runner.alive:
                raise RunnerDied
            left = end - time.monotonic()
            await asyncio.wait([gone], timeout=min(max(left, 0.0), LOOK))
            if gone.done():
                raise ConnectionResetError
            if left <= LOOK:
                break
        if not runner.alive:
            raise RunnerDied


class RunnerDied(Exception):
    pass


class LoadFails(Exception):
    pass


async def shape(path: str, name: str, pieces: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    """Pieces as the path's dialect writes them, one record each."""
    if path == "/v1/messages":
        async for event in messages(name, pieces):
            yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        return
    async for piece in pieces:
        text, done = str(piece.get("text", "")), bool(piece.get("done"))
        if path == "/v1/chat/completions":
            choice = {"index": 0, "delta": {"content": text}, "finish_reason": "stop" if done else None}
            chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": name, "choices": [choice]}
            yield b"data: " + json.dumps(chunk).encode() + b"\n\n"
            if done:
                yield b"data: [DONE]\n\n"
            continue
        said: dict[str, Any] = {"message": {"role": "assistant", "content": text}}
        if path == "/api/generate":
            said = {"response": text}
        end = {"done_reason": "stop", "eval_count": piece["count"]} if done else {}
        yield json.dumps({"model": name, **said, "done": done, **end}).encode() + b"\n"


async def messages(name: str, pieces: AsyncIterator[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    """The events of Anthropic's dialect."""
    begun = False
    async for piece in pieces:
        if not begun:
            begun = True
            yield {"type": "message_start", "message": message_of(name, [], None)}
            yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        if "text" in piece:
            yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece["text"]}}
            continue
        yield {"type": "content_block_stop", "index": 0}
        usage = {"output_tokens": piece["count"]}
        yield {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage}
        yield {"type": "message_stop"}


def message_of(name: str, content: list[dict[str, Any]], reason: str | None) -> dict[str, Any]:
    usage = {"input_tokens": 0, "output_tokens": 0}
    about = {"id": "msg_1", "type": "message", "role": "assistant", "model": name}
    return {**about, "content": content, "stop_reason": reason, "usage": usage}


def whole(path: str, name: str, text: str) -> dict[str, Any]:
    """An answer that is not streamed."""
    message = {"role": "assistant", "content": text}
    if path == "/v1/messages":
        return message_of(name, [{"type": "text", "text": text}], "end_turn")
    if path == "/v1/chat/completions":
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return {"id": "chatcmpl-1", "object": "chat.completion", "model": name, "choices": [choice]}
    said: dict[str, Any] = {"response": text} if path == "/api/generate" else {"message": message}
    return {"model": name, **said, "done": True, "done_reason": "stop"}


# --- HTTP ----------------------------------------------------------------------------------------------------------


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection, or None at its end."""
    line = await reader.readline()
    if not line.strip():
        return None
    method, path, _ = line.decode("latin-1").split(" ", 2)
    headers: list[tuple[str, str]] = []
    while (line := await reader.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers.append((name.strip(), value.strip()))
    known = {name.lower(): value for name, value in headers}
    if known.get("transfer-encoding", "").lower() == "chunked":
        body = b"".join([chunk async for chunk in read_chunks(reader)])
    else:
        body = await reader.readexactly(int(known.get("content-length", "0")))
    return Request(method, path, headers, body)


async def read_chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int((await reader.readline()).split(b";")[0], 16):
        yield (await reader.readexactly(size + 2))[:size]
    await reader.readline()


def send_json(writer: asyncio.StreamWriter, status: int, value: object, *, head: bool = False) -> None:
    text = isinstance(value, str)
    body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
    kind = "text/plain" if text else "application/json; charset=utf-8"
    start = f"HTTP/1.1 {status} Status\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(start.encode() + (b"" if head else body))


def start_stream(writer: asyncio.StreamWriter, kind: str) -> None:
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())


def send_chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))


def abort(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


# --- the two commands ------------------------------------------------------------------------------------------------


def failures(knobs: Knobs) -> Iterator[tuple[int, str]]:
    """Reasons to leave at once: exit code and what stderr says."""
    if knobs["exit_code"] is not None:
        yield int(knobs["exit_code"]), str(knobs["exit_words"] or "Error: told to fail")
    if knobs["port_taken"]:
        yield 1, f"Error: listen tcp {os.environ['OLLAMA_HOST']}: bind: address already in use"


async def serve() -> int:
    knobs = Knobs(os.environ.get("FAKE_OLLAMA_KNOBS"))
    for code, words in failures(knobs):
        print(words, file=sys.stderr)
        return code
    fake = Fake(knobs, ready_at=time.monotonic() + knobs.number("slow_start"))
    leave = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, (lambda: None) if knobs["ignore_term"] else leave.set)
    host, _, port = os.environ.get("OLLAMA_HOST", "127.0.0.1:11434").rpartition(":")
    try:
        server = await asyncio.start_server(fake.connected, host, int(port), limit=2**26)
    except OSError as problem:
        if problem.errno != errno.EADDRINUSE:
            raise
        print(f"Error: listen tcp {host}:{port}: bind: address already in use", file=sys.stderr)
        return 1
    print(f'time=now level=INFO msg="Listening on {host}:{port} (version {fake.version})"', file=sys.stderr, flush=True)
    if not knobs["mum"]:
        say_compute(str(knobs["library"] or ("Metal" if sys.platform == "darwin" else "cpu")))
    crash = knobs["crash_after"]
    with contextlib.suppress(TimeoutError):
        limit = None if crash is None else knobs.number("slow_start") + float(crash)
        await asyncio.wait_for(leave.wait(), limit)
    server.close()
    if not leave.is_set():
        if knobs["crash_code"] is not None:
            os._exit(int(knobs["crash_code"]))
        os.kill(os.getpid(), int(knobs.number("crash_signal", signal.SIGKILL)))
    for runner in fake.runners.values():
        runner.kill()
    return 0


def say_compute(library: str) -> None:
    """As the real one does between the open port and the first answer."""
    device = 'id=0 library=Metal compute="" name=Metal description="Apple M4 Pro" libdirs="" driver=0.0 pci_id="" '
    if library == "cpu":
        device = 'id=cpu library=cpu compute="" name=cpu description=cpu libdirs=ollama driver="" pci_id="" '
    sizes = 'type="" total="48.0 GiB" available="48.0 GiB"'
    print('time=now level=INFO source=runner.go:67 msg="discovering available GPUs..."', file=sys.stderr)
    print(
        f'time=now level=INFO source=types.go:60 msg="inference compute" {device}{sizes}', file=sys.stderr, flush=True
    )


def main() -> int:
    if sys.argv[1:2] in (["runner"], ["--"]):
        if "--busy" in sys.argv:
            compute()
        signal.pause()  # weighs nothing, says nothing, and is there to be found, stopped and killed
        return 0
    if sys.argv[1:2] == ["--version"]:
        print("Warning: could not connect to a running Ollama instance")
        print(f"Warning: client version is {own_version()}")
        return 0
    if sys.argv[1:2] != ["serve"]:
        print("usage: ollama serve", file=sys.stderr)
        return 2
    return asyncio.run(serve_then_leave())


def compute() -> None:
    """For ever, and not at full speed: others want to get on as well."""
    while True:
        end = time.perf_counter() + 0.01
        while time.perf_counter() < end:
            pass
        time.sleep(0.09)


async def serve_then_leave() -> int:
    code = await serve()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # as the real one: streams in flight are cut, not finished


if __name__ == "__main__":
    sys.exit(main())
