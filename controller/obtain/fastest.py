"""Which of the Pythons that are here is the fastest: `python controller/obtain/fastest.py`, asked once, before there is
an environment.

The one that is found first is often one that pyenv compiled without its profile: it takes almost twice as long for the
same work as Debian's, Homebrew's or uv's own, and with it every request and every test. What a Python says of its build
does not tell (Debian's says nothing), so each is measured. Standard library alone, and nothing of ours: none of it is
installed yet.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

MUCH = 0.8
"""Another one is taken when it needs at most this part of the time of the one that uv would take."""
LIMIT = 20  # seconds for any of them to answer
_WORK = """
import time
class Cell:
    __slots__ = ("left", "right")
    def __init__(self, left, right): self.left, self.right = left, right
    def sum(self, by, *, more=1): return self.left + by * more
def work():
    seen = {}
    for number in range(20_000):
        seen[number & 255] = Cell(number, number + 1).sum(3, more=2)
        b"%x" % number
def timed():
    begun = time.process_time()
    work()
    return time.process_time() - begun
print(min(timed() for _ in range(7)))
"""


def fastest(found: str, seconds: Mapping[str, float]) -> str:
    """The Python to take, by the seconds that each needs for the same work; `found` is the one uv would take."""
    if not seconds:
        return found
    best = min(seconds, key=lambda path: (seconds[path], path))
    return best if seconds[best] <= MUCH * seconds.get(found, float("inf")) else found


def _said(*argv: str) -> str:
    """What it prints; "" when it fails."""
    try:
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT)
    except (OSError, subprocess.SubprocessError):
        return ""
    return ran.stdout if ran.returncode == 0 else ""


def _here(uv: str, wanted: str) -> list[str]:
    """Those that fit, each once, whatever names lead to it."""
    try:
        listed = json.loads(_said(uv, "python", "list", "--only-installed", "--output-format", "json", wanted))
        paths = [each["path"] for each in listed if each["implementation"] == "cpython"]
    except (ValueError, LookupError, TypeError):
        return []
    real = {os.path.realpath(_said(path, "-c", "import sys; print(sys.executable)").strip() or path) for path in paths}
    return sorted(real)


def _seconds(python: str) -> float | None:
    try:
        return float(_said(python, "-I", "-c", _WORK))
    except ValueError:
        return None


def main() -> None:
    """Print the option that makes uv take it; nothing, when uv's own choice is as good."""
    wanted = Path(".python-versions").read_text().strip()
    found = os.path.realpath(sys.executable)
    seconds = {path: took for path in _here(os.environ["UV"], wanted) if (took := _seconds(path)) is not None}
    best = fastest(found, seconds)
    if best != found:
        print(f"--python={best}")


if __name__ == "__main__":
    main()
