"""What starting leaves behind is given back."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from controller.machine import heap
from tests.kit.stored import run

PROGRAM = """
    import gc, psutil
    from controller.machine.heap import settle
    rest = [bytes(3000) for _ in range(30_000)]
    del rest[:-1]  # the last one stays above what was freed, which therefore cannot be given back by itself
    before = psutil.Process().memory_info().rss
    settle()
    print(before - psutil.Process().memory_info().rss, gc.get_freeze_count())
"""


@pytest.mark.skipif(sys.platform == "darwin", reason="to be proved on a Mac, whose allocator keeps other books")
def test_memory_that_was_freed_goes_back_to_the_system_and_what_is_left_is_not_looked_at_again() -> None:
    given_back, frozen = map(int, run(PROGRAM).split())
    assert given_back > 40_000_000
    assert frozen > 1000


def test_a_macs_allocator_is_asked_for_all_zones_and_as_much_as_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, int]] = []
    relief = lambda zone, goal: asked.append((zone, goal.value))  # noqa: E731
    monkeypatch.setattr("gc.freeze", lambda: None)  # for this process lives on
    monkeypatch.setattr("ctypes.CDLL", lambda _: SimpleNamespace(malloc_zone_pressure_relief=relief))
    monkeypatch.setattr(sys, "platform", "darwin")
    heap.settle()
    assert asked == [(None, 0)]
