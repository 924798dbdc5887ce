"""The controller's own log: one JSON object a line in a file that rotates, and plain words in a terminal.

Whoever has something to say only puts it into a bounded spool; a thread redacts, encodes and writes. So no disk, full
or slow or gone, and no terminal that somebody paused, ever holds up an answer.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TextIO, TypeAlias

import msgspec
from msgspec.structs import astuple

from controller.config.machine import LogSettings
from controller.events import Event
from controller.plain import clock_words, printable
from controller.redact import may_hold_secret, redact, redact_all

RANKS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
CAPACITY = 8192  # lines that wait to be written, at most; older ones give way and are counted
BATCH = 512
GATHER = 0.05  # seconds in which lines collect, so that a busy minute costs twenty writes a second and no more
CHATTY = (
    "httpx",
    "httpcore",
    "watchfiles",
    "uvicorn",
    "alembic",
)  # a line for every probe, listener, step: not worth keeping
RETRY = 1.0  # seconds between two tries of a disk that refuses


class LogLine(msgspec.Struct, frozen=True, tag_field="kind", tag="line"):
    """Something said, by an event or by a library. (Access lines are the gateway's own records.)"""

    at: float
    level: str
    source: str
    text: str
    facts: dict[str, object]

    def words(self) -> str:
        """For a terminal: one line, nothing in it that a terminal obeys, no secret."""
        mark = "" if RANKS[self.level] <= RANKS["info"] else f"{self.level}: "
        return printable(redact(f"{clock_words(self.at)}  {self.source:<10} {mark}{self.text}"))


Item: TypeAlias = msgspec.Struct
"""What is written: something said, or the gateway's record of a request. Its tag is the line's `kind`."""


class Spool:
    """Things on their way out, and the thread that carries them. `put` never waits and never fails."""

    def __init__(self, name: str, carry: Callable[[Sequence[Item]], None], *, retry: float = RETRY) -> None:
        self.dropped = 0
        self.trouble = ""  # why nothing can be written at this moment
        self._carry = carry
        self._retry = retry
        self._waiting: deque[Item] = deque(maxlen=CAPACITY)
        self._wanted = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"seadragon-{name}", daemon=True)

    def open(self) -> None:
        """Begin to carry; what was put before is not lost."""
        self._thread.start()

    def put(self, item: Item) -> None:
        """Hand over. When it is full, the oldest gives way."""
        if len(self._waiting) == CAPACITY:
            self.dropped += 1
        self._waiting.append(item)
        if not self._wanted.is_set():
            self._wanted.set()

    def close(self, limit: float = 2.0) -> None:
        """Write what waits, for at most `limit` seconds, and end."""
        self._closing.set()
        self._wanted.set()
        self._thread.join(limit)

    def _work(self) -> None:
        while self._waiting or not self._closing.is_set():
            self._wanted.wait()
            self._wanted.clear()
            self._closing.wait(GATHER)
            while self._waiting:
                if not self._deliver([self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]):
                    return

    def _deliver(self, batch: list[Item]) -> bool:
        """Try until it works. False: we are closing and it never did."""
        while True:
            try:
                self._carry(batch)
            except OSError as error:
                self.trouble = error.strerror or str(error)
                if self._closing.wait(self._retry):
                    return False
            else:
                self.trouble = ""
                return True


class RotatingFile:
    """A file (0600) that only grows by whole lines, and makes room for its successor when it is large enough."""

    def __init__(self, path: Path, *, size: int, files: int) -> None:
        self.path, self.size, self.files = path, size, files
        self._fd = -1

    def write(self, lines: bytes) -> None:
        """Append. Raises OSError; then nothing of `lines` is in the file, and the same call may be made again."""
        self._open()
        if 0 < self.size < os.fstat(self._fd).st_size + len(lines) and os.fstat(self._fd).st_size > 0:
            self._rotate()
        before = os.fstat(self._fd).st_size
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, before)
            raise

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        """Hold the file that has our name: somebody may have moved or removed it, or the whole folder."""
        if self._fd >= 0:
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.stat(self.path), os.fstat(self._fd)):
                    return
        self.close()
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if stat.S_ISREG(os.fstat(self._fd).st_mode):
            os.fchmod(self._fd, 0o600)

    def _rotate(self) -> None:
        names = [self.path, *(self.path.with_name(f"{self.path.name}.{number}") for number in range(1, self.files + 1))]
        for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)
        self._open()


def encode(batch: Sequence[Item]) -> bytes:
    """The lines of the file, without secrets. About a microsecond for an access record: every request pays it."""
    if any(isinstance(item, LogLine) for item in batch):  # seldom, and what it says may be of any shape
        return b"".join(map(_line, batch))
    try:
        lines = _ENCODER.encode_lines(batch)
    except (UnicodeEncodeError, TypeError, msgspec.MsgspecError):
        return b"".join(map(_line, batch))
    texts = " ".join([value for item in batch for value in astuple(item) if isinstance(value, str)])
    return b"".join(map(_line, batch)) if may_hold_secret(texts) else lines


def _line(item: Item) -> bytes:
    """One line, looked at closely."""
    try:
        line = _ENCODER.encode(item)
    except (UnicodeEncodeError, TypeError, msgspec.MsgspecError):  # half a character, or a fact nobody can spell
        return json.dumps({"kind": item.__struct_config__.tag, "text": redact(repr(item))}).encode() + b"\n"
    if may_hold_secret(line.decode()):
        line = _ENCODER.encode(redact_all(msgspec.json.decode(line)))
    return line + b"\n"


_ENCODER = msgspec.json.Encoder(enc_hook=str)


class Log:
    """Where everything goes that is worth keeping. Enter it, and `logging` is written through it as well."""

    def __init__(
        self, path: Path, settings: LogSettings, *, console: TextIO | None = None, retry: float = RETRY
    ) -> None:
        self._file = RotatingFile(path, size=settings.file_size, files=settings.files)
        self._spool = Spool("log", self._to_file, retry=retry)
        self._console = console
        self._console_spool = Spool("console", self._to_console) if console is not None else None
        self._spools = [spool for spool in (self._spool, self._console_spool) if spool is not None]
        self._handler = _LibraryHandler(self)
        self.apply(settings)

    def apply(self, settings: LogSettings) -> None:
        """New settings, from the next line on."""
        self._rank = RANKS[settings.level]
        self._access = settings.access
        self._file.size, self._file.files = settings.file_size, settings.files

    def __enter__(self) -> Self:
        for spool in self._spools:
            spool.open()
        root = logging.getLogger()
        root.addHandler(self._handler)
        root.setLevel(logging.INFO)
        logging.getLogger("controller").setLevel(logging.DEBUG)  # ours: `level` in server.yaml says what is kept
        for name in CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger().removeHandler(self._handler)
        for spool in self._spools:
            spool.close()
        self._file.close()

    @property
    def dropped(self) -> int:
        """Lines that found no room because the disk did not take them."""
        return self._spool.dropped

    @property
    def trouble(self) -> str:
        """Why nothing can be written at this moment; empty when all is well."""
        return self._spool.trouble

    def event(self, event: Event) -> None:
        """The journal's `said`."""
        self.say(event.level, event.source, event.text, at=event.at, **event.facts)

    def say(
        self,
        level: Literal["debug", "info", "warning", "error"],
        source: str,
        text: str,
        *,
        at: float | None = None,
        **facts: object,
    ) -> None:
        """Write a line, if its level is worth it."""
        if RANKS[level] < self._rank:
            return
        line = LogLine(time.time() if at is None else at, level, source, text, facts)
        self._spool.put(line)
        if self._console_spool is not None:
            self._console_spool.put(line)

    def access(self, record: Item) -> None:
        """One request and what became of it: the gateway's record. Never to the terminal."""
        if self._access:
            self._spool.put(record)

    def _to_file(self, batch: Sequence[Item]) -> None:
        self._file.write(encode(batch))

    def _to_console(self, batch: Sequence[Item]) -> None:
        assert self._console is not None
        with contextlib.suppress(OSError, ValueError):  # the terminal went away; the file has it all
            self._console.write("".join(f"{line.words()}\n" for line in batch if isinstance(line, LogLine)))
            self._console.flush()


class _LibraryHandler(logging.Handler):
    """What libraries say through `logging`."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        level: Literal["debug", "info", "warning", "error"] = (
            "error"
            if record.levelno >= 40
            else "warning"
            if record.levelno >= 30
            else "info"
            if record.levelno >= 20
            else "debug"
        )
        facts = {"trace": logging.Formatter().formatException(record.exc_info)} if record.exc_info else {}
        try:
            text = record.getMessage()
        except Exception as error:  # a wrong format string in a library must not break what it was reporting
            text = f"{record.msg!r} ({error})"
        self._log.say(level, record.name, text, at=record.created, **facts)


def terminal() -> TextIO | None:
    """Where plain words go: standard error, when a person looks at it."""
    return sys.stderr if sys.stderr.isatty() else None
