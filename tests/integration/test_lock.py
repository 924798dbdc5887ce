from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from controller.errors import AlreadyRunning
from controller.machine import lock


def test_a_second_controller_is_told_who_runs(tmp_path: Path) -> None:
    with lock.held(tmp_path, 12.5):
        with pytest.raises(AlreadyRunning, match=str(os.getpid())), lock.held(tmp_path, 13):
            pass
        assert lock.holder(tmp_path) == lock.LockHolder(os.getpid(), 12.5)
    assert lock.holder(tmp_path) is None


def test_the_lock_is_free_when_its_holder_was_killed(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from controller.machine import lock\n"
        f"with lock.held(Path({str(tmp_path)!r}), 1): print(1, flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert lock.holder(tmp_path) == lock.LockHolder(other.pid, 1)
        other.kill()
        other.wait()
    with lock.held(tmp_path, 2):
        pass


def test_the_lock_is_private_and_stays_when_left(tmp_path: Path) -> None:
    with lock.held(tmp_path, 1):
        pass
    assert (tmp_path / lock.NAME).stat().st_mode & 0o777 == 0o600


def test_who_only_asks_for_the_holder_is_in_nobodys_way(tmp_path: Path) -> None:
    program = (
        "import fcntl, os, sys, time\n"
        f"asking = os.open({str(tmp_path / lock.NAME)!r}, os.O_RDONLY | os.O_CREAT)\n"
        "fcntl.flock(asking, fcntl.LOCK_SH); print(1, flush=True); time.sleep(0.05)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as asking:
        assert asking.stdout is not None
        asking.stdout.readline()
        with lock.held(tmp_path, 1):
            pass
