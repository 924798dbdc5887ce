"""A log on a real disk that fills up, goes away and comes back."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.supervision.logfile import LogFile


def log_at(path: Path, *, size: int = 1000, files: int = 3) -> LogFile:
    return LogFile(str(path), size=size, files=files)


def test_a_log_is_rotated_by_size_and_never_takes_more_than_its_share(tmp_path: Path) -> None:
    log = log_at(tmp_path / "logs" / "a.log")
    for number in range(100):
        log.write(b"%099d\n" % number)
    log.close()
    assert sorted(os.listdir(tmp_path / "logs")) == ["a.log", "a.log.1", "a.log.2"]
    kept = b"".join((tmp_path / "logs" / name).read_bytes() for name in ("a.log.2", "a.log.1", "a.log"))
    assert [int(line) for line in kept.split()] == list(range(70, 100))


def test_a_single_file_starts_anew_when_it_is_full(tmp_path: Path) -> None:
    log = log_at(tmp_path / "a.log", size=100, files=1)
    log.write(b"x" * 90 + b"\n")
    log.write(b"next one\n" * 2)
    log.close()
    assert (tmp_path / "a.log").read_bytes() == b"next one\n" * 2


def test_a_log_is_for_the_owner_alone_and_continues_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"before\n")
    (tmp_path / "a.log").chmod(0o644)
    log = log_at(tmp_path / "a.log")
    log.write(b"after\n")
    log.close()
    assert (tmp_path / "a.log").read_bytes() == b"before\nafter\n"
    assert (tmp_path / "a.log").stat().st_mode & 0o777 == 0o600


def test_a_deleted_folder_is_made_again(tmp_path: Path) -> None:
    log = log_at(tmp_path / "logs" / "a.log")
    log.write(b"lost with the folder\n")
    shutil.rmtree(tmp_path / "logs")
    log.tick()
    log.write(b"back\n")
    log.close()
    assert (tmp_path / "logs" / "a.log").read_bytes() == b"back\n"


def test_while_a_disk_is_away_the_log_is_discarded_and_then_says_so(tmp_path: Path) -> None:
    log = log_at(tmp_path / "disk" / "logs" / "a.log")
    log.write(b"12345\n")
    log.tick()
    log.write(b"6789\n")
    assert log.problem is not None
    assert str(tmp_path / "disk") in log.problem
    assert log.lost == 11
    (tmp_path / "disk").mkdir()
    log.tick()
    assert log.problem is None
    log.write(b"back\n")
    log.close()
    assert (tmp_path / "disk" / "logs" / "a.log").read_bytes() == b'{"dropped_bytes": 11}\nback\n'


def fill(log: LogFile) -> None:
    for _ in range(100):
        log.write(b"x" * 9999 + b"\n")
    assert log.problem is not None
    assert log.lost > 0


def assert_goes_on(log: LogFile, path: Path) -> None:
    """There is room again: the next look at the log finds it, and the log tells what it missed."""
    log.tick()
    assert log.problem is None
    log.write(b"back\n")
    log.close()
    *_, told, last = path.read_bytes().splitlines()
    assert told == b'{"dropped_bytes": %d}' % log.lost
    assert last == b"back"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB, half of it taken."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("only root on Linux can mount a small disk; a limited file stands in for it in the next test")
    (disk / "ballast").write_bytes(bytes(128 * 1024))
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_costs_what_does_not_fit_and_the_log_goes_on_when_there_is_room(small_disk: Path) -> None:
    log = log_at(small_disk / "a.log", size=2**30)
    fill(log)
    assert "No space left" in (log.problem or "")
    (small_disk / "ballast").unlink()
    assert_goes_on(log, small_disk / "a.log")


def test_a_file_that_may_not_grow_is_no_reason_to_fail_either(tmp_path: Path) -> None:
    log = log_at(tmp_path / "a.log", size=2**30)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (128 * 1024, limits[1]))
    try:
        fill(log)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_goes_on(log, tmp_path / "a.log")
