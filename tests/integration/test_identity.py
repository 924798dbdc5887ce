"""Real processes, told apart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from controller.supervision.identity import (
    ProcessIdentity,
    alive,
    boot_id,
    descendants,
    identify,
    send,
    table,
)
from tests.kit.children import UNRULY, who


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-I", "-S", str(UNRULY), "quiet"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def test_a_process_is_known_by_pid_and_start_time(bystander: subprocess.Popen[bytes]) -> None:
    known = who(bystander.pid)
    assert alive(known)
    assert not alive(known._replace(start=known.start - 1))
    assert known in descendants([os.getpid()], table())


def test_a_dead_process_and_a_zombie_are_not_alive(bystander: subprocess.Popen[bytes]) -> None:
    known = who(bystander.pid)
    bystander.kill()
    os.waitid(os.P_PID, bystander.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the table
    assert identify(bystander.pid) is None
    assert not alive(known)
    bystander.wait()
    assert not alive(known)


def test_a_signal_reaches_only_the_process_that_was_meant(bystander: subprocess.Popen[bytes]) -> None:
    known = who(bystander.pid)
    for start in range(known.start - 500, known.start):
        assert not send(ProcessIdentity(known.pid, start), signal.SIGKILL)
    assert alive(known)
    assert send(known, signal.SIGKILL)
    assert bystander.wait() == -signal.SIGKILL
    assert not send(known, signal.SIGKILL)


def test_the_boot_has_a_name_that_stays() -> None:
    assert boot_id() == boot_id() != ""
