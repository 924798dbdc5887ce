"""`make`, with a uv that only notes what it is told: which Python is taken, and what happens where there is none."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from controller.paths import CLONE

SYNC = "sync --quiet --locked"
NOTING = """
printf '%s\n' "$*" >>"$UV_NOTES"
case "$1 $2" in
"python find") printf '%s' "$FOUND"; exit ${FINDS:-0} ;;
"python install") echo 'error: no route to host' >&2; exit ${INSTALLS:-0} ;;
"sync --quiet") exit ${SYNCS:-0} ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the Makefile alone, its name as awkward as people's are."""
    folder = tmp_path / "it's 100% $HOME, sea dragon & co #1 🐉 `x` (a\\b)"
    folder.mkdir()
    shutil.copy(CLONE / "Makefile", folder)
    return folder


def tool(clone: Path, name: str, text: str) -> None:
    """Put a program on the PATH of `make`, before the real one of that name."""
    program = clone / "bin" / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


def make(
    clone: Path, *, finds: int = 0, installs: int = 0, syncs: int = 0, found: Path | str = ""
) -> tuple[list[str], str, int]:
    """`make developing`; what uv was told, what a person sees, and make's exit code. `found`: uv's own choice."""
    notes = clone / "notes"
    notes.touch()
    tool(clone, "uv", NOTING)
    answers = {"UV_NOTES": str(notes), "FINDS": str(finds), "INSTALLS": str(installs), "SYNCS": str(syncs)}
    answers["FOUND"] = str(found)
    path = f"{clone / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(clone), "SEADRAGON_CACHE": str(clone / "cache"), **answers}
    ran = subprocess.run(["make", "developing"], cwd=clone, env=environment, capture_output=True, text=True, timeout=60)
    return notes.read_text().splitlines(), ran.stdout + ran.stderr, ran.returncode


def test_a_python_that_fits_is_used_as_it_is(clone: Path) -> None:
    told, seen, code = make(clone)
    assert (told, seen, code) == (["python find", SYNC], "", 0)


def test_a_faster_python_than_the_first_is_used_whatever_its_folder_is_called(clone: Path) -> None:
    tool(clone, "first", 'printf %s "--python=/it\'s $HOME/python" && test "$*" = controller/obtain/fastest.py')
    told, _, code = make(clone, found=clone / "bin" / "first")
    assert (told, code) == (["python find", f"{SYNC} --python=/it's {clone}/python"], 0)


def test_where_the_pythons_cannot_be_compared_the_first_is_used(clone: Path) -> None:
    tool(clone, "first", "echo --python=rubbish; exit 1")
    told, _, code = make(clone, found=clone / "bin" / "first")
    assert (told, code) == (["python find", SYNC], 0)


def test_an_environment_that_is_there_keeps_its_python(clone: Path) -> None:
    (clone / ".venv" / "bin").mkdir(parents=True)
    (clone / ".venv" / "bin" / "python").touch()
    tool(clone, "first", "echo --python=/another")
    told, _, code = make(clone, found=clone / "bin" / "first")
    assert (told, code) == (["python find", SYNC], 0)


def test_the_fastest_python_is_found_by_trying_them(tmp_path: Path) -> None:
    """Two that are this one, one of which does all work three times over; and two that are none."""
    wanted = ">=3.11"
    (tmp_path / ".python-versions").write_text(wanted)
    thrice = """case "$*" in *-I*) "$PYTHON" -I -c "print(3 * float('$("$PYTHON" "$@")'))" ;; *) echo "$0" ;; esac"""
    once = """case "$*" in *-I*) exec "$PYTHON" "$@" ;; *) echo "$0" ;; esac"""
    for name, text in (("slow", thrice), ("quick", once), ("broken", "exit 1"), ("mute", "echo so")):
        tool(tmp_path, name, text)
    listed = json.dumps(
        [
            {"path": str(tmp_path / "bin" / each), "implementation": "cpython"}
            for each in ("slow", "quick", "broken", "mute")
        ]
    )
    tool(tmp_path, "uv", f"test \"$6\" = '{wanted}' && echo '{listed}'")
    environment = {**os.environ, "UV": str(tmp_path / "bin" / "uv"), "PYTHON": sys.executable}
    script = str(CLONE / "controller" / "obtain" / "fastest.py")
    ran = subprocess.run([sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == (f"--python={tmp_path}/bin/quick\n", "")


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


@pytest.mark.parametrize("home", [{}, {"HOME": ""}])
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_without_a_home_and_with_any_umask_what_is_made_is_nobody_elses_to_change(
    clone: Path, umask: int, home: dict[str, str]
) -> None:
    (clone / "config").mkdir()
    (clone / "config" / "server.example.yaml").write_text("listeners: []")
    tool(clone, "uv", "touch made")
    path = f"{clone / 'bin'}{os.pathsep}{os.environ['PATH']}"
    make = ["make", "-f", str(clone / "Makefile"), "config", "developing"]
    ran = subprocess.run(make, cwd="/", env={"PATH": path, **home}, umask=umask, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    made = [clone / "made", clone / "config" / "server.yaml"]
    assert not [each for each in made if each.stat().st_mode & 0o022], "others may change it"
    assert umask == 0 or not [each for each in made if each.stat().st_mode & 0o077]


@pytest.mark.parametrize("home", [{}, {"HOME": ""}])
def test_without_a_home_what_is_fetched_goes_where_the_system_says_that_this_user_lives(
    clone: Path, home: dict[str, str]
) -> None:
    tool(clone, "mkdir", 'printf "%s\\n" "made $*" >&2; exit 1')
    tool(clone, "python3", "exit 1")
    tool(clone, "id", "echo nobody")
    make = ["make", "-C", str(clone), "uv"]
    ran = subprocess.run(make, env={"PATH": f"{clone / 'bin'}:/usr/bin:/bin", **home}, capture_output=True, text=True)
    kept = "Library/Caches" if sys.platform == "darwin" else ".cache"
    tool(clone, "id", "echo 54321; exit 1")
    lost = subprocess.run(make, env={"PATH": f"{clone / 'bin'}:/usr/bin:/bin", **home}, capture_output=True, text=True)
    assert f"made -p {clone}/data/{kept}/seadragon" in lost.stderr, "a number without a name keeps it with its data"
    assert f"made -p {pwd.getpwnam('nobody').pw_dir}/{kept}/seadragon" in ran.stderr


def test_the_file_of_wanted_pythons_is_one_that_uv_reads_and_pyenv_does_not() -> None:
    assert (CLONE / ".python-versions").exists()
    assert not (CLONE / ".python-version").exists(), "pyenv would warn at every `python3` in the clone, or change it"


def mac(clone: Path, machine: str, silicon: str) -> None:
    """Answers as a Mac's `uname` and `sysctl` give them: Rosetta changes the first, and not the second."""
    tool(clone, "uname", f'[ "$1" = -sm ] && echo "Darwin {machine}" || echo Darwin')
    tool(clone, "sysctl", f'[ "$*" = "-n hw.optional.arm64" ] && {silicon}')


def test_in_a_terminal_under_rosetta_nothing_is_set_up_for_the_wrong_processor(clone: Path) -> None:
    mac(clone, "x86_64", "echo 1")
    told, seen, code = make(clone)
    assert told == []
    assert "Run this instead: arch -arm64 make developing" in seen
    assert code != 0


@pytest.mark.parametrize(
    ("machine", "silicon"), [("arm64", "echo 1"), ("x86_64", "{ echo unknown oid >&2; exit 1; }"), ("x86_64", "echo 0")]
)
def test_every_mac_in_its_own_right_is_set_up(clone: Path, machine: str, silicon: str) -> None:
    mac(clone, machine, silicon)
    told, _, code = make(clone)
    assert told[-1] == SYNC
    assert code == 0


def test_a_mac_without_its_command_line_tools_is_told_how_to_get_them(clone: Path) -> None:
    """There /usr/bin/python3 is a stub that opens a window and fails."""
    tool(clone, "python3", "echo 'xcode-select: note: No developer tools were found, requesting install.' >&2; exit 1")
    tool(clone, "id", "echo 501")
    environment = {
        "PATH": f"{clone / 'bin'}:/usr/bin:/bin",
        "HOME": str(clone),
        "SEADRAGON_CACHE": str(clone / "cache"),
    }
    ran = subprocess.run(["make", "uv"], cwd=clone, env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode != 0
    assert "No developer tools were found" in ran.stderr
    assert "On a Mac run xcode-select --install" in ran.stderr
