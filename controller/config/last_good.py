"""The copy of the YAML that last ran, for a start that finds it broken. Replaced as a whole, never by halves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from controller.config.document import LONGEST
from controller.config.load import ROOTS, digest, understand
from controller.config.problem import ConfigInvalid
from controller.config.start import LastGood
from controller.machine import durable

NAME: Final = "last-good"


def keep_last_good(data: Path, texts: Mapping[str, bytes]) -> None:
    """Make `<data>/last-good/` hold exactly these files (0600).

    The name is a link that is swapped in one step. Raises OSError (disk full, say) with the older copy untouched.
    """
    link, folder = data / NAME, data / f"{NAME}.{digest(texts)[:16]}"
    if _points_to(link) == folder.name and folder.is_dir():
        os.utime(folder)
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    for name, text in texts.items():
        _write(folder / name, text)
    durable.flush_path(folder)
    beside = data / f"{NAME}.new"
    beside.unlink(missing_ok=True)
    beside.symlink_to(folder.name)
    beside.replace(link)
    durable.flush_path(data)
    for older in data.glob(f"{NAME}.*"):
        if older.name != folder.name:
            shutil.rmtree(older, ignore_errors=True)


def load_last_good(data: Path, folder: Path, environment: Mapping[str, str]) -> LastGood | None:
    """The kept copy; None when there is none or this version of Seadragon can no longer use it.

    Its paths are still relative to `folder`. Other files are not checked again: a program that is missing now is one
    child's trouble, not a reason to run nothing.
    """
    try:
        kept = (data / NAME).resolve()
        texts = {file.name: file.read_bytes()[:LONGEST] for root in ROOTS if (file := kept / f"{root}.yaml").is_file()}
        saved_at = kept.stat().st_mtime
        return LastGood(understand(texts, folder, environment, look_outside=False), saved_at)
    except (OSError, ConfigInvalid):
        return None


def _points_to(link: Path) -> str | None:
    try:
        return os.readlink(link)
    except OSError:
        return None


def _write(file: Path, text: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as opened:
        opened.write(text)
        opened.flush()
        durable.flush(opened.fileno())
