"""What is on the disk: asked of each system in its own way."""

from __future__ import annotations

import errno
import fcntl
import os
import re

import pytest

from controller.machine import durable
from controller.paths import CLONE

CONTROLLER = CLONE / "controller"
FULL = 51  # F_FULLFSYNC of <sys/fcntl.h>


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the system was asked for."""
    told: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda _: told.append("fsync"))
    monkeypatch.delattr(fcntl, "F_FULLFSYNC", raising=False)
    return told


def test_where_fsync_is_enough_it_is_all_that_is_asked_for(asked: list[str]) -> None:
    durable.flush(1)
    assert asked == ["fsync"]


def test_a_mac_is_asked_to_empty_the_drives_own_cache(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", FULL, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda descriptor, command: asked.append(f"{descriptor} {command}"))
    durable.flush(7)
    assert asked == ["7 51"]


def test_a_file_system_that_cannot_do_that_does_what_it_can(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, command: int) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "F_FULLFSYNC", FULL, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", refuse)
    durable.flush(7)
    assert asked == ["fsync"]


def test_nobody_else_calls_fsync_but_who_need_not_outlive_the_power() -> None:
    callers = {
        path.relative_to(CONTROLLER).as_posix()
        for path in CONTROLLER.rglob("*.py")
        if re.search(r"\bos\.fsync\(", path.read_text())
    }
    assert callers == {"machine/durable.py", "supervision/home.py"}
