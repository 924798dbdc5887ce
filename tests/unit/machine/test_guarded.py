"""Which folders macOS guards, and which program stands for us in its lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.machine.guarded import guarded, guarded_places, program_to_allow, translocated

HOME = Path("/Users/mia")


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/Users/mia/seadragon", ""),
        ("/Users/mia/Documents", "in Documents"),
        ("/Users/mia/Documents/code/seadragon", "in Documents"),
        ("/Users/mia/documents/seadragon", "in Documents"),  # the usual disk does not care
        ("/Users/mia/Desktop/seadragon", "on the Desktop"),
        ("/Users/mia/Downloads/seadragon-main", "in Downloads"),
        ("/Users/mia/Library/Mobile Documents/com~apple~CloudDocs/seadragon", "in iCloud Drive"),
        ("/Users/mia/Library/CloudStorage/Dropbox/models", "in a cloud drive"),
        ("/Volumes/SSD/models", "on an external disk"),
        ("/Users/mia/Documentsary", ""),
        ("/Users/mia/.ollama/models", ""),
        ("/Users/tom/Documents/seadragon", ""),  # another's are closed to us by other means
        ("/opt/seadragon", ""),
        ("/Volumes", ""),
    ],
)
def test_the_guarded_places_are_known(path: str, where: str) -> None:
    assert guarded(Path(path), HOME) == where


def test_what_lies_in_a_place_that_was_told_is_not_told_again() -> None:
    folders = [HOME / "Desktop/sea/data", HOME / "Desktop/sea", HOME / "Desktop/sea/logs", Path("/Volumes/SSD/models")]
    assert guarded_places(folders, HOME) == {
        HOME / "Desktop/sea": "on the Desktop",
        Path("/Volumes/SSD/models"): "on an external disk",
    }
    assert guarded_places([HOME / "sea", HOME / ".ollama/models"], HOME) == {}


UV = "/Users/mia/.local/share/uv/python/cpython-3.13.9-macos-aarch64-none/bin/python3.13"
BREW = "/opt/homebrew/Cellar/python@3.13/3.13.9/Frameworks/Python.framework/Versions/3.13"


@pytest.mark.parametrize(
    ("python", "program"),
    [
        (UV, UV),
        (f"{BREW}/bin/python3.13", f"{BREW}/Resources/Python.app"),
        (
            "/Library/Frameworks/Python.framework/Versions/3.13/bin/python3.13",
            "/Library/Frameworks/Python.framework/Versions/3.13/Resources/Python.app",
        ),
    ],
)
def test_the_program_to_allow_is_the_one_that_really_runs(python: str, program: str) -> None:
    assert program_to_allow(Path(python)) == Path(program)


def test_a_copy_that_macos_throws_away_is_known() -> None:
    assert translocated(Path("/private/var/folders/xy/T/AppTranslocation/3B0498B3/d/seadragon"))
    assert not translocated(Path("/Users/mia/AppTranslocation-notes"))
