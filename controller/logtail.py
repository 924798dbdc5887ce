"""The end of a log file, and what is added to it: across rotation, truncation, and a file that is not there yet."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from controller.plain import clock_words, printable

BLOCK = 64 * 1024
LONGEST = 64 * 1024  # bytes of a line; longer ones come in pieces


class Tail:
    """The first `read` gives the last `count` lines, each later one what has been added since."""

    def __init__(self, path: Path, count: int) -> None:
        self._path = path
        self._count = count
        self._file: BinaryIO | None = None
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def read(self) -> list[str]:
        """Whole lines only, at most about 256 KiB of them: call again soon when there was something."""
        if self._file is None:
            return self._begin()
        lines = self._more()
        if not lines and self._replaced():
            self._file.close()
            self._file, self._count = None, -1
            return self._begin()
        return lines

    def _begin(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            self._file = self._path.open("rb")
        if self._file is None:
            self._count = -1  # it comes later: then all of it is new
            return []
        if self._count >= 0:
            self._file.seek(_start_of_last(self._file, self._count))
        return self._more()

    def _more(self) -> list[str]:
        assert self._file is not None
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)
            self._rest = b""
        *lines, self._rest = (self._rest + self._file.read(4 * BLOCK)).split(b"\n")
        if len(self._rest) > LONGEST:
            lines, self._rest = [*lines, self._rest], b""
        return [line.decode(errors="replace").rstrip("\r") for line in lines]

    def _replaced(self) -> bool:
        assert self._file is not None
        try:
            return not os.path.samestat(os.stat(self._path), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return False  # between two names: the new file is not there yet


def _start_of_last(file: BinaryIO, count: int) -> int:
    """Where the last `count` lines begin."""
    position = file.seek(0, os.SEEK_END)
    wanted = count + 1  # the newline before the first wanted line
    while position > 0:
        step = min(BLOCK, position)
        file.seek(position - step)
        block = file.read(step)
        end = len(block)
        while wanted and (end := block.rfind(b"\n", 0, end)) >= 0:
            wanted -= 1
            if not wanted:
                return position - step + end + 1
        position -= step
    return 0


def in_words(line: str) -> str:
    """A line of the controller's log for people; any other line as it is. Nothing in it that a terminal obeys."""
    try:
        record = json.loads(line)
        words = _WORDS[record["kind"]](record)
    except (ValueError, KeyError, TypeError, AttributeError):
        return printable(line)
    return printable(f"{clock_words(record['at'])}  {words}")


def _said(record: dict[str, Any]) -> str:
    mark = "" if record["level"] in ("info", "debug") else f"{record['level']}: "
    return f"{record['source']:<10} {mark}{record['text']}"


def _asked(record: dict[str, Any]) -> str:
    about = [
        record["method"],
        record["route"],
        record["model"],
        record["reason"],
        f"for {record['who'] or 'a stranger'}",
    ]
    return f"{'request':<10} {record['status']} in {record['total']:.2f} s  {' '.join(word for word in about if word)}"


_WORDS = {"line": _said, "access": _asked}
