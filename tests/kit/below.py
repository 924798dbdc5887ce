"""The processes of an Ollama, as anybody sees them: each may be gone before it has been looked at. And as it tells of
them itself.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import psutil

from controller.engines.ollama.inside import held_by

STARTED = re.compile(r'msg="starting (?:runner|llama-server)" cmd="[^"]*--model ')


def started_in(log: Path) -> int:
    """How many runners were started for models so far, by Ollama's own log."""
    return len(STARTED.findall(log.read_text(errors="replace")))


def argv_of(process: psutil.Process) -> list[str]:
    """What it was started with; nothing when it has ended."""
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def parent_of(process: psutil.Process) -> int | None:
    """The pid of who started it; None when it has ended."""
    with contextlib.suppress(psutil.Error):
        return process.ppid()
    return None


def runners_below(pid: int) -> list[psutil.Process]:
    """The runners of the Ollama with this pid; none when it has ended."""
    with contextlib.suppress(psutil.Error):
        below = psutil.Process(pid).children(recursive=True)
        return [one for one in below if held_by(argv_of(one)) is not None]
    return []
