"""Folders that macOS keeps from a service, whoever owns them, and the program that has to be allowed to see them.

What is started in a terminal acts with the terminal's rights, and its owner is asked once. What launchd starts before
anybody has logged in can ask nobody: it is refused ("Operation not permitted"), or waits for an answer for ever. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

BELOW_HOME = {
    "Documents": "in Documents",
    "Desktop": "on the Desktop",
    "Downloads": "in Downloads",
    "Library/Mobile Documents": "in iCloud Drive",
    "Library/CloudStorage": "in a cloud drive",
}
VOLUMES = Path("/Volumes")
TRANSLOCATED = "AppTranslocation"  # where macOS runs a copy of what was not moved out of Downloads, until it is closed
_FRAMEWORK = re.compile(r"(?P<version>.*/Python\.framework/Versions/[^/]+)/bin/python[^/]*")


def guarded(path: Path, home: Path) -> str:
    """In which guarded place `path` lies, in words; empty when in none. Links have been followed.

    The Mac's usual disk does not tell large letters from small ones.
    """
    folded = _folded(path)
    for below, words in BELOW_HOME.items():
        if folded.is_relative_to(_folded(home / below)):
            return words
    return "on an external disk" if path != VOLUMES and folded.is_relative_to(_folded(VOLUMES)) else ""


def guarded_places(folders: Iterable[Path], home: Path) -> dict[Path, str]:
    """Those that lie in a guarded place, and in which; what lies in one of them is not told again."""
    found: dict[Path, str] = {}
    for folder in sorted(folders):
        if not any(folder.is_relative_to(each) for each in found) and (where := guarded(folder, home)):
            found[folder] = where
    return found


def translocated(path: Path) -> bool:
    """Whether it lies in a copy that is gone after the next start of the machine."""
    return TRANSLOCATED in path.parts


def program_to_allow(python: Path) -> Path:
    """What stands for us in the lists of System Settings: the real file, links followed.

    Python from python.org and from Homebrew starts itself again, as an app inside its framework.
    """
    framework = _FRAMEWORK.fullmatch(str(python))
    return Path(framework["version"]) / "Resources" / "Python.app" if framework else python


def places_words(places: Mapping[Path, str]) -> str:
    """Which of ours lie where, as the rest of a sentence."""
    return ", ".join(f"{path} is {where}" for path, where in places.items())


def allowing_words(program: Path) -> str:
    """How to let it see them."""
    return (
        "System Settings > Privacy & Security > Full Disk Access > +, then press Command-Shift-G and enter "
        f"{program} (again after each newer Python)"
    )


def _folded(path: Path) -> Path:
    return Path(str(path).casefold())
