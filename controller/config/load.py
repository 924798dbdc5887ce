"""Three YAML files in one folder into one frozen `Config`, or every mistake in them at once.

A path is relative to that folder, and `~` is the home folder. A file that is not there means its defaults (with a
warning); an empty block means its defaults too. Secrets come from files that only we can read, or from the
controller's environment: `environment: {NAME: {file: path}}` and `{NAME: {from: NAME}}`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from controller.config import checks, document
from controller.config.problem import ConfigInvalid, Problem
from controller.config.reading import YamlReading
from controller.config.renames import RENAMES, Rename
from controller.config.schema import Config

__all__ = ["ROOTS", "ConfigInvalid", "LoadedConfig", "Problem", "load", "read_texts", "understand"]

ROOTS: Final = ("server", "models", "access")


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration that holds, and what it was made of."""

    config: Config
    warnings: tuple[str, ...]
    digest: str  # of the files' bytes: two equal digests are the same YAML
    texts: Mapping[str, bytes] = field(repr=False)  # file name to content, of the files that were there
    secrets: tuple[Path, ...] = ()  # files that `{file: path}` named; a change in one is a change of the whole


def load(folder: Path, environment: Mapping[str, str]) -> LoadedConfig:
    """Read the three files in `folder`. `environment` is what `{from: NAME}` looks in.

    Raises ConfigInvalid with all problems at once.
    """
    return understand(read_texts(folder), folder, environment)


def read_texts(folder: Path) -> dict[str, bytes]:
    """What the files hold, those that are there.

    Raises ConfigInvalid when the folder or one of the files cannot be read.
    """
    if not os.path.isdir(folder):
        wanted = "a folder with server.yaml (`make setup` makes one)"
        raise ConfigInvalid((Problem(folder, 1, 1, "config", "no such folder", wanted),))
    problems: list[Problem] = []
    texts: dict[str, bytes] = {}
    for root in ROOTS:
        file = folder / f"{root}.yaml"
        try:
            texts[file.name] = _content(file)
        except FileNotFoundError:
            continue
        except OSError as error:
            refused = f"a file we may not read ({error.strerror})"
            found = "something that is not a file" if error.errno in _NO_FILE else refused
            problems.append(Problem(file, 1, 1, root, found, "a file that we may read", outside=True))
    if problems:
        raise ConfigInvalid(tuple(problems))
    return texts


_NO_FILE: Final = (errno.EISDIR, errno.ESPIPE)


def _content(file: Path) -> bytes:
    with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb") as opened:  # a pipe nobody writes to would block
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise OSError(errno.ESPIPE, os.strerror(errno.ESPIPE))
        return opened.read(document.LONGEST + 1)


def understand(
    texts: Mapping[str, bytes],
    folder: Path,
    environment: Mapping[str, str],
    *,
    renames: Iterable[Rename] = RENAMES,
    look_outside: bool = True,
) -> LoadedConfig:
    """Make sense of what `read_texts` brought. `look_outside=False` leaves out the checks of other files.

    Raises ConfigInvalid with all problems at once.
    """
    reading = YamlReading(folder, environment)
    for root in ROOTS:
        reading.take(document.read(texts.get(f"{root}.yaml", b""), folder / f"{root}.yaml", root), root)
    reading.rename(renames)
    reading.fill_in()
    config = reading.build()
    reading.check(config, checks.inside(config), outside=False)
    if look_outside:
        reading.check(config, checks.outside(config), outside=True)
    if reading.problems:
        raise ConfigInvalid(tuple(sorted(reading.problems, key=_reading_order)))
    missing = [f"{folder / root}.yaml is not there: its defaults are used." for root in _missing(texts)]
    warnings = (*missing, *reading.warnings, *checks.warnings(config))
    return LoadedConfig(config, warnings, digest(texts), dict(texts), tuple(reading.secrets))


def digest(texts: Mapping[str, bytes]) -> str:
    """One word for the content of the files."""
    whole = hashlib.sha256()
    for name, text in sorted(texts.items()):
        whole.update(f"{name} {len(text)}\n".encode() + text)
    return whole.hexdigest()


def _missing(texts: Mapping[str, bytes]) -> list[str]:
    return [root for root in ROOTS if f"{root}.yaml" not in texts]


def _reading_order(problem: Problem) -> tuple[str, int, int, str]:
    return str(problem.file), problem.line, problem.column, problem.field
