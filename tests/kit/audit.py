"""Known holes in what we install: `python -m tests.kit.audit`, a step of `make proof`.

pip-audit, at the version of the lock file, is asked about every locked package. It needs the network: without one this
says so and lets the rest go on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

TOP = Path(__file__).parents[2]
LIMIT = 300.0  # seconds for each step

Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


def run(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, cwd=TOP, capture_output=True, text=True, timeout=LIMIT, check=False)


def audit(uv: str, run: Run = run) -> tuple[list[str], int]:
    """Lines to print, and the exit code: 1 when a package we install has a known hole."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as locked:
        try:
            exported = run([uv, "export", "--quiet", "--locked", "--no-default-groups", "--no-emit-project"])
            locked.write(exported.stdout)
            locked.flush()
            options = ["--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off"]
            ours = [uv, "run", "--quiet", "--locked", "--only-group", "audit"]
            asked = run([*ours, "pip-audit", *options, "--requirement", locked.name])
            return verdict(exported.returncode, asked.stdout, asked.stderr or exported.stderr)
        except (OSError, subprocess.TimeoutExpired) as error:
            return verdict(1, "", str(error))


def verdict(exported: int, said: str, complaint: str) -> tuple[list[str], int]:
    """What pip-audit's answer comes to."""
    try:
        packages = json.loads(said)["dependencies"] if exported == 0 else []
    except (ValueError, KeyError, TypeError):
        packages = []
    if not packages:
        why = (complaint.strip().splitlines() or ["no answer"])[-1]
        return [f"seadragon: the dependencies could not be audited, going on without: {why}"], 0
    holes = list(_holes(packages))
    return holes or [f"seadragon: {len(packages)} dependencies, none with a known hole."], 1 if holes else 0


def _holes(packages: list[dict[str, object]]) -> Iterator[str]:
    for package in packages:
        found = package.get("vulns")
        for hole in found if isinstance(found, list) else ():
            fixed = ", ".join(hole.get("fix_versions", [])) or "nothing yet"
            yield f"{package['name']} {package.get('version')}: {hole['id']}; mended in {fixed}"


if __name__ == "__main__":
    lines, code = audit(os.environ.get("UV", "uv"))
    print(*lines, sep="\n")
    sys.exit(code)
