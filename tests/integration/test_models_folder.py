"""The folder of the models on a real disk: there, away, another."""

from __future__ import annotations

from pathlib import Path

from controller.engines.ollama.models_folder import ModelsFolder


def test_a_named_one_has_to_be_there_and_ollamas_own_need_not(tmp_path: Path) -> None:
    named, own = (ModelsFolder(tmp_path / "models", own) for own in (False, True))
    assert "there is no such folder" in named.away()
    assert own.away() == ""
    assert not named.path.exists(), "nobody makes it"
    named.path.mkdir()
    assert named.away() == own.away() == ""


def test_a_link_to_a_disk_that_is_away_is_followed_by_nobody(tmp_path: Path) -> None:
    (tmp_path / ".ollama").symlink_to(tmp_path / "disk")
    own = ModelsFolder(tmp_path / ".ollama" / "models", own=True)
    assert f"{tmp_path / '.ollama'} leads to {tmp_path / 'disk'}, which is not there" in own.away()
    (tmp_path / "disk").mkdir()
    assert own.away() == ""


def test_what_is_no_folder_or_cannot_be_looked_at_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "it is no folder" in ModelsFolder(tmp_path / "file", own=False).away()
    assert "cannot be looked at" in ModelsFolder(tmp_path / ("x" * 300), own=False).away()


def test_another_folder_of_the_same_name_is_another(tmp_path: Path) -> None:
    folder = ModelsFolder(tmp_path / "models", own=False)
    assert folder.mark() is None
    folder.path.mkdir()
    first = folder.mark()
    folder.path.rename(tmp_path / "before")
    folder.path.mkdir()
    assert folder.mark() not in (first, None)
