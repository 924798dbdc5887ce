"""The folder that Ollama keeps models in: which one it is, and whether it is there to be used.

It may lie on a disk that comes later, or goes. A folder made in its place would hide the real one, or be hidden by it,
and fill the wrong disk: so nobody makes one.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.plain import fault_words

FSTAB: Final = Path("/etc/fstab")
MOUNTS: Final = Path("/proc/self/mounts")
_PLUGGED: Final = {"darwin": r"/Volumes/[^/]+", "linux": r"/(?:run/)?media/[^/]+/[^/]+"}
"""Where a system puts the disks that are plugged in: each has a folder of its own, and only while it is there."""


@dataclass(frozen=True, slots=True)
class ModelsFolder:
    """One that somebody has named, or (`own`) Ollama's, which it makes when there is none."""

    path: Path
    own: bool

    def away(
        self,
        platform: str = sys.platform,
        is_mounted: Callable[[str], bool] = lambda place: mounted(place),
        fixed: Callable[[], Iterable[str]] = lambda: fixed_disks(),
    ) -> str:
        """Why it cannot be used, and what happens then: some sentences. Empty when it can. Blocks as long as its disk
        does. `fixed`: mount points that the system is told of.
        """
        try:
            why = self._why(platform, is_mounted, fixed)
        except OSError as error:
            why = f"it cannot be looked at ({fault_words(error)})"
        if not why:
            return ""
        return (
            f"The folder of the models, {self.path}, cannot be used: {why}. No other is made in its place; Ollama is "
            "started by itself as soon as it is there. If another is meant, see models.folder; a new one: mkdir -p"
        )

    def _why(self, platform: str, is_mounted: Callable[[str], bool], fixed: Callable[[], Iterable[str]]) -> str:
        for each in (*reversed(self.path.parents), self.path):
            if each.is_symlink() and not each.exists():
                return f"{each} leads to {os.readlink(each)}, which is not there"
        real = os.path.realpath(self.path)
        plugged = re.match(_PLUGGED.get(platform, r"(?!)"), real)
        places = [*([plugged[0]] if plugged else []), *fixed()]
        for place in places:
            if (real == place or real.startswith(f"{place}/")) and not is_mounted(place):
                return f"the disk {place} is not connected"
        if not os.path.lexists(self.path):
            return "" if self.own else "there is no such folder"
        return "" if self.path.is_dir() else "it is no folder"

    def mark(self) -> list[int] | None:
        """Which folder it is, also when another takes its name; None when there is none."""
        try:
            seen = self.path.stat()
        except OSError:
            return None
        return [seen.st_dev, seen.st_ino]


def models_folder(configured: Path | None, environment: Mapping[str, str]) -> ModelsFolder:
    """The configured folder, else the environment's, else Ollama's own: what a person already has is used."""
    chosen = configured or environment.get("OLLAMA_MODELS")
    if chosen:
        return ModelsFolder(Path(chosen).expanduser().absolute(), own=False)
    return ModelsFolder(Path(environment.get("HOME", "/")) / ".ollama" / "models", own=True)


def mounted(place: str, table: Path = MOUNTS) -> bool:
    """Whether something is mounted there; also a folder of the same disk, which only the system's own list tells."""
    return os.path.ismount(place) or place in _places(table)


def fixed_disks(table: Path = FSTAB) -> list[str]:
    """Where the system mounts disks when it starts, or when it is asked; none where it has no such table."""
    return [place for place in _places(table) if place]


def _places(table: Path) -> list[str]:
    try:
        lines = table.read_text(errors="replace").splitlines()
    except OSError:
        return []
    fields = [line.split() for line in lines if not line.lstrip().startswith("#")]
    return [_spelled(each[1]) for each in fields if len(each) > 2 and each[1].startswith("/")]


def _spelled(place: str) -> str:
    """`/mnt/my\\040disk`: the table writes blanks as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), place).rstrip("/")
