"""`make`, with a uv that only notes what it is told: which Python is taken, and what happens where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from controller.paths import CLONE

SYNC = "sync --quiet --locked"
NOTING = """#!/bin/sh
echo "$@" >>"$UV_NOTES"
case "$1 $2" in
"python find") exit ${FINDS:-0} ;;
"python install") echo 'error: no route to host' >&2; exit ${INSTALLS:-0} ;;
"sync --quiet") exit ${SYNCS:-0} ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the Makefile alone, its name as awkward as people's are."""
    folder = tmp_path / "sea dragon & co"
    folder.mkdir()
    shutil.copy(CLONE / "Makefile", folder)
    return folder


def make(clone: Path, *, finds: int = 0, installs: int = 0, syncs: int = 0) -> tuple[list[str], str, int]:
    """`make developing`; what uv was told, what a person sees, and make's exit code."""
    uv, notes = clone / "bin" / "uv", clone / "notes"
    uv.parent.mkdir()
    uv.write_text(NOTING)
    uv.chmod(0o755)
    answers = {"UV_NOTES": str(notes), "FINDS": str(finds), "INSTALLS": str(installs), "SYNCS": str(syncs)}
    path = f"{uv.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(clone), "SEADRAGON_CACHE": str(clone / "cache"), **answers}
    ran = subprocess.run(["make", "developing"], cwd=clone, env=environment, capture_output=True, text=True, timeout=60)
    return notes.read_text().splitlines(), ran.stdout + ran.stderr, ran.returncode


def test_a_python_that_fits_is_used_as_it_is(clone: Path) -> None:
    told, seen, code = make(clone)
    assert (told, seen, code) == (["python find", SYNC], "", 0)


def test_where_none_fits_one_is_fetched(clone: Path) -> None:
    told, seen, code = make(clone, finds=2)
    assert told == ["python find", "python install --quiet", SYNC]
    assert "seadragon: fetching a Python, once" in seen
    assert code == 0


def test_where_none_can_be_fetched_whatever_is_there_will_do(clone: Path) -> None:
    told, seen, code = make(clone, finds=2, installs=1)
    assert told == ["python find", "python install --quiet", f"{SYNC} --python=>=3.11"]
    assert "no route to host" not in seen
    assert code == 0


def test_when_nothing_helps_it_is_told_what_to_install(clone: Path) -> None:
    _, seen, code = make(clone, finds=2, installs=1, syncs=2)
    assert "Seadragon needs Python 3.11 or newer" in seen
    assert code != 0


def test_the_file_of_wanted_pythons_is_one_that_uv_reads_and_pyenv_does_not() -> None:
    assert (CLONE / ".python-versions").exists()
    assert not (CLONE / ".python-version").exists(), "pyenv would warn at every `python3` in the clone, or change it"
