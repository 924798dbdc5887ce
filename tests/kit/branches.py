"""How much of the rooms that let people in is tried: `python -m tests.kit.branches`, a step of `make proof`.

Their own tests alone run, under coverage.py, which pyproject.toml tells which rooms those are. Every way out of a line
counts, not the lines only: in a room like this the refusals are what matters.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TOP = Path(__file__).parents[2]
LEAST = 95.0  # percent, of the lines and of the branches
TESTS = (
    *("tests/unit/auth", "tests/unit/proxy", "tests/integration/auth"),
    *("tests/integration/test_doorroom.py", "tests/integration/test_hashing.py", "tests/integration/test_people.py"),
    *("tests/integration/test_gateway_doors.py", "tests/integration/test_gateway_https.py"),
    *("tests/integration/test_gateway_keys.py", "tests/integration/test_listeners_https.py"),
    *("tests/integration/test_policy_rows.py", "tests/integration/test_promise_7.py"),
    *("tests/integration/test_rights_api.py", "tests/integration/test_rights_cli.py"),
)


def coverage(folder: Path, *arguments: str) -> int:
    """One command of coverage.py, whose figures lie in `folder`; its exit code."""
    environment = {**os.environ, "COVERAGE_FILE": str(folder / "figures")}
    return subprocess.run(
        [sys.executable, "-m", "coverage", *arguments], cwd=TOP, env=environment, check=False
    ).returncode


def percent(covered: int, whole: int) -> float:
    return 100.0 * covered / whole if whole else 0.0


def verdict(totals: dict[str, Any]) -> tuple[str, int]:
    """A line to print, and the exit code: 1 when too little is tried."""
    lines = percent(totals["covered_lines"], totals["num_statements"])
    branches = percent(totals["covered_branches"], totals["num_branches"])
    told = (
        f"seadragon: of the rooms that let people in, {lines:.1f} % of the lines and {branches:.1f} % of the branches"
    )
    enough = min(lines, branches) >= LEAST
    return (f"{told} are tried." if enough else f"{told} are tried: {LEAST:g} % is the least."), int(not enough)


def main() -> int:
    """The exit code; what is printed says the rest."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if failed := coverage(folder, "run", "-m", "pytest", "-q", "-m", "not proof", *TESTS):
            return failed
        told = folder / "told.json"
        if failed := coverage(folder, "report") or coverage(folder, "json", "--quiet", "-o", str(told)):
            return failed
        line, code = verdict(json.loads(told.read_text())["totals"])
    print(line)
    return code


if __name__ == "__main__":
    sys.exit(main())
