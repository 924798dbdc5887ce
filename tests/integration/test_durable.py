"""A file that is replaced as a whole, on a real disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controller.machine import durable


def test_a_file_is_replaced_as_a_whole_and_is_nobody_elses(tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    file.write_text("a longer text than the one that takes its place")
    file.chmod(0o644)
    before = file.stat().st_ino
    durable.write(file, b"new")
    assert file.read_bytes() == b"new"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_ino != before, "it was not written over"
    assert os.listdir(tmp_path) == ["kept.json"]


def test_a_mode_counts_whatever_the_umask(tmp_path: Path) -> None:
    former = os.umask(0o077)
    try:
        durable.write(tmp_path / "unit", b"text", 0o644)
    finally:
        os.umask(former)
    assert (tmp_path / "unit").stat().st_mode & 0o777 == 0o644


def test_what_cannot_take_its_place_leaves_the_old_one_and_no_draft(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    with pytest.raises(OSError, match="directory"):
        durable.write(tmp_path / "kept", b"new")
    assert os.listdir(tmp_path) == ["kept"]
