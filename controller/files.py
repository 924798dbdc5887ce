"""What files of the operator's must be like: secrets ours alone, programs such as can be run."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from controller.config.problem import shown
from controller.obtain.find import Fault, fault_of

PLAIN_FILE: Final = "the same text saved as plain UTF-8, without a byte order mark (BOM)"
PRIVATE_FILE: Final = "a file of ours that only we may read (chmod 600)"
NO_PROGRAM: Final[Mapping[Fault, str]] = {
    "missing": "no program",
    "dangling": "a link to what is not there",
    "shut": "a program in a folder that this user may not enter",
    "no_file": "a folder",
    "not_executable": "a file that may not be executed (chmod +x)",
}


def private_file_fault(path: Path) -> str | None:
    """Why a file may not hold a secret; None when it may: a file of ours that nobody else can read."""
    facts = _facts(path)
    if facts is None:
        return "no such file"
    if not stat.S_ISREG(facts.st_mode):
        return "something that is not a file"
    if facts.st_mode & 0o077:
        return f"a file that others may read (mode {stat.S_IMODE(facts.st_mode):04o})"
    if os.geteuid() not in (0, facts.st_uid):
        return "a file that belongs to somebody else"
    return None if facts.st_size else "an empty file"


def marked(path: Path) -> bool:
    """Whether a file begins with a byte order mark: who reads it as it is takes that for a part of the text."""
    try:
        with path.open("rb") as file:
            return file.read(3).startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"))
    except OSError:
        return False


def program_fault(binary: Path) -> str | None:
    """Why this file cannot be run, and its path; None when it can."""
    fault = fault_of(binary)
    return None if fault is None else f"{NO_PROGRAM[fault]}: {shown(str(binary))}"


def is_folder(path: Path) -> bool:
    """Whether a folder is there, links followed."""
    facts = _facts(path)
    return facts is not None and stat.S_ISDIR(facts.st_mode)


def readable(path: Path) -> bool:
    """Whether it is a file that we may read."""
    facts = _facts(path)
    return facts is not None and stat.S_ISREG(facts.st_mode) and os.access(path, os.R_OK)


def _facts(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (OSError, ValueError):  # ValueError: a zero character or half a surrogate in the path
        return None
