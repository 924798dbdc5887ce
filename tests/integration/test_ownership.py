"""`sudo seadragon` on the instance of somebody else: nothing is left there that they cannot use."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.doctor.facts_folders import folder as look_at
from controller.machine.ownership import as_owner_of, foreign, uid_of
from controller.paths import CLONE, Paths
from controller.storage.file import NAME, make_ours
from controller.storage.migrate import migrate

ADA = 12345  # a user of the machine; that it has no name must not matter

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")


@pytest.fixture
def home() -> Iterator[Path]:
    """Ada's folder, where she can get at it: a test's own lies below one of root's."""
    folder = Path(tempfile.mkdtemp(prefix="sd-ada-"))
    os.chown(folder, ADA, ADA)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def data(home: Path) -> Path:
    folder = home / "data"
    make_ours(folder / NAME)
    migrate(folder / NAME, lambda: 0.0)
    for each in (folder, *folder.iterdir()):
        os.chown(each, ADA, ADA)
    return folder


def seadragon(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    places = [f"--config={home}/config", f"--data={home}/data", f"--logs={home}/logs"]
    command = [sys.executable, "-m", "controller", *arguments, *places]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=CLONE)


def owners(folder: Path) -> set[int]:
    return {each.lstat().st_uid for each in folder.rglob("*")}


def test_a_backup_by_root_belongs_to_whose_the_data_is(home: Path, data: Path) -> None:
    done = seadragon(home, "backup")
    assert done.returncode == 0, done.stderr
    assert len(list((data / "backups").iterdir())) == 1
    assert seadragon(home, "backup", f"{home}/copy.db").returncode == 0
    assert owners(home) == {ADA}


def test_a_restore_by_root_leaves_nothing_of_roots(home: Path, data: Path) -> None:
    assert seadragon(home, "backup", f"{home}/copy.db").returncode == 0
    done = seadragon(home, "restore", f"{home}/copy.db")
    assert done.returncode == 0, done.stderr
    assert owners(home) == {ADA}


def test_where_the_owner_may_not_write_root_is_told(home: Path, data: Path, tmp_path: Path) -> None:
    done = seadragon(home, "backup", f"{tmp_path}/copy.db")
    assert done.returncode == 1
    assert "ermission denied" in done.stderr


def test_what_is_done_as_the_owner_ends_with_the_block_and_whatever_happens_in_it(data: Path) -> None:
    with contextlib.suppress(ZeroDivisionError), as_owner_of(data):
        assert (os.geteuid(), os.getegid()) == (ADA, ADA)
        raise ZeroDivisionError
    assert (os.geteuid(), os.getegid()) == (0, 0)
    with as_owner_of(data / "nothing"):
        assert os.geteuid() == 0


def test_to_root_the_doctor_says_what_he_says_to_the_owner(home: Path, data: Path) -> None:
    said = seadragon(home, "doctor").stdout
    assert f"{data / NAME} is whole" in said
    (data / "backups").mkdir()
    assert f"sudo chown -R {ADA} {data}" in seadragon(home, "doctor").stdout


def test_root_finds_the_socket_of_the_owners_controller(home: Path, data: Path) -> None:
    long = home / ("x" * 100)
    shutil.move(data, long)
    assert uid_of(long) == ADA
    assert f"/tmp/sd-{ADA}-" in str(Paths(home, long, home).socket)


def test_what_root_left_is_found(home: Path, data: Path) -> None:
    assert foreign(data) == []
    (data / "backups").mkdir()
    (data / "backups" / "old.db").touch()
    (data / "link").symlink_to("/etc/passwd")
    os.lchown(data / "link", ADA, ADA)
    seen = look_at("data", data)
    assert (set(seen.foreign), seen.owner) == ({f"{data}/backups", f"{data}/backups/old.db"}, str(ADA))
