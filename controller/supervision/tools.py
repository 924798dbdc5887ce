"""Other people's programs that we run beside our children: to their end, or for as long as we want.

No keeper stands in between: a tool ends with us.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, cast, get_args

from controller.errors import SpawnFailed, SpawnFault
from controller.supervision.keeper import KINDS

POLL = 0.02  # seconds between two looks at what cannot be awaited
GOODBYE = 1.0  # seconds for a held tool to leave by itself

_ADVICE: dict[SpawnFault, str] = {
    "missing": "The program does not exist: install it, or correct its path.",
    "not_executable": "The program may not be executed: check its permissions.",
    "wrong_kind": "This is no program for this machine, or the interpreter it asks for is missing.",
    "exhausted": "The system has no room for another process or open file just now: close something, or raise a limit.",
    "away": "That is Seadragon's own Python, or the folder it keeps its children in: it is tried again by itself.",
    "held": "Stop what still runs of it (`lsof` on that file names it), then start again.",
    "other": "",
}


class ToolSaid(Protocol):
    """How a tool ended, for whoever runs it by a `RunTool`."""

    @property
    def code(self) -> int: ...
    @property
    def out(self) -> bytes: ...
    @property
    def err(self) -> bytes: ...


class RunTool(Protocol):
    """Runs a tool to its end, for `limit` seconds at most: `run_tool`, or what stands in for it. Raises SpawnFailed."""

    def __call__(self, argv: Sequence[str], *, limit: float) -> Coroutine[object, object, ToolSaid]: ...


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool said. `code` is negative for the signal that ended it, as ours does once its time is over."""

    code: int
    out: bytes
    err: bytes
    late: bool = False  # it was killed, for it took longer than it was given


async def run_tool(
    argv: Sequence[str],
    *,
    limit: float,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> ToolResult:
    """Run a program that ends by itself, for `limit` seconds at most. Raises SpawnFailed.

    Its output goes through files: a pipe would wait for every process that inherited it.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = _start(argv, subprocess.DEVNULL, out, err, environment, folder)
        late = False
        try:
            async with asyncio.timeout(limit):
                await reap(process)
        except TimeoutError:
            late = True
        finally:
            _kill(process)  # also what it left behind
            code = await reap(process)
        return ToolResult(code, _content(out), _content(err), late)


class HeldTool:
    """A tool that runs while we hold it."""

    def __init__(self, process: subprocess.Popen[bytes], err: IO[bytes]) -> None:
        self.pid = process.pid
        self._process = process
        self._err = err

    @property
    def runs(self) -> bool:
        """Whether it still does."""
        return self._process.poll() is None

    def words(self) -> str:
        """How it ended, in its own words."""
        said = _content(self._err).decode(errors="replace").strip()
        return said or f"it left with exit code {self._process.poll()}"


@asynccontextmanager
async def held_tool(argv: Sequence[str]) -> AsyncIterator[HeldTool]:
    """Run a program that reads its standard input to the end, and end it with the block. Raises SpawnFailed.

    Its input ends when we let go of it, and as well when we are killed: nobody has to remember it.
    """
    with tempfile.TemporaryFile() as err:
        process = _start(argv, subprocess.PIPE, subprocess.DEVNULL, err, None, None)
        assert process.stdin is not None
        try:
            yield HeldTool(process, err)
        finally:
            process.stdin.close()
            try:
                async with asyncio.timeout(GOODBYE):
                    await reap(process)
            except TimeoutError:
                _kill(process)
                await reap(process)


def _start(
    argv: Sequence[str],
    stdin: int,
    out: IO[bytes] | int,
    err: IO[bytes],
    environment: Mapping[str, str] | None,
    folder: Path | None,
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=out,
            stderr=err,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
    except OSError as error:
        raise spawn_failed(argv[0], KINDS.get(error.errno or 0, "other"), str(error)) from error


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


async def reap(process: subprocess.Popen[bytes]) -> int:
    """The return code of a process that ends soon. Polled: neither a thread nor a child watcher can fail us."""
    pause = 0.002
    while (code := process.poll()) is None:
        await asyncio.sleep(pause)
        pause = min(2 * pause, POLL)
    return code


def spawn_failed(name: str, kind: str, text: str) -> SpawnFailed:
    """What is raised for a program that could not be started, with what to do about it."""
    known: SpawnFault = cast(SpawnFault, kind) if kind in get_args(SpawnFault) else "other"
    return SpawnFailed(f"{name} could not be started: {text}. {_ADVICE[known]}".rstrip(), known)


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()
