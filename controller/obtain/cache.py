"""What was downloaded or built once: kept outside the clone, one folder for each name and version.

A folder appears whole or not at all, and two set-ups at the same time do the work once. Standard library only: this
runs before anything is installed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from controller.paths import CLONE, settle_home


def cache_folder(environment: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Where it is kept: SEADRAGON_CACHE, else the platform's customary place for caches."""
    if chosen := environment.get("SEADRAGON_CACHE"):
        return Path(chosen)
    settled = dict(environment)
    settle_home(settled, otherwise=CLONE / "data")
    home = Path(settled["HOME"])
    if platform == "darwin":
        return home / "Library" / "Caches" / "seadragon"
    return Path(environment.get("XDG_CACHE_HOME") or home / ".cache") / "seadragon"


@contextmanager
def once(target: Path) -> Iterator[Path | None]:
    """Give an empty folder to fill, which becomes `target` when the block ends well; None when `target` is there.

    Waits while another process fills the same one. What a failed or killed attempt left behind is never used.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock(target.parent / f".{target.name}.lock"):
        if target.is_dir():
            yield None
            return
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.unfinished-", dir=target.parent))
        try:
            yield folder
            folder.chmod(0o755)
            folder.rename(target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
