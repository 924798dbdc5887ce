"""The parts that every test of the storage puts together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from controller.events import Journal
from controller.storage.database import Database
from controller.storage.file import NAME
from tests.fakes.clock import WoundClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / NAME


@pytest.fixture
def clock() -> WoundClock:
    return WoundClock()


@pytest.fixture
def journal(clock: WoundClock) -> Journal:
    return Journal(clock)


@pytest.fixture
def open_database(path: Path, clock: WoundClock, journal: Journal) -> Callable[[], Database]:
    return lambda: Database(path, clock, journal)
