from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.kit.house import FakeHouse, fake_house

MakeHouse = Callable[..., FakeHouse]


@pytest.fixture
def make_house(tmp_path: Path) -> Iterator[MakeHouse]:
    """Makes houses on the fake Ollama, not yet started; keywords go into server.yaml."""
    with ExitStack() as stack:
        count = 0

        def make(**server: Any) -> FakeHouse:
            nonlocal count
            count += 1
            return stack.enter_context(fake_house(tmp_path / f"house{count}", **server))

        yield make


@pytest.fixture
def house(make_house: MakeHouse) -> FakeHouse:
    """A house on the fake Ollama that runs and is ready."""
    one = make_house()
    one.up().until_ready()
    return one
