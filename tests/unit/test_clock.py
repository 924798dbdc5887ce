"""What the clock says of the machine's sleep."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from controller import clock as module
from controller.clock import Sleeps, SystemClock
from tests.fakes.clock import WoundClock


def test_a_sleep_is_told_once_and_a_step_of_the_time_of_day_is_none() -> None:
    clock = WoundClock()
    sleeps = Sleeps(clock)
    for step in (3600.0, -7200.0, -10 * 365 * 86400.0):
        clock.step_wall(step)
        assert sleeps.since() == 0.0
    clock.doze(8 * 3600)
    assert sleeps.since() == 8 * 3600
    assert sleeps.since() == 0.0


def test_time_that_nobody_slept_through_is_no_sleep_however_long_we_stood_still() -> None:
    clock = WoundClock()
    sleeps = Sleeps(clock)
    clock.leap(8 * 3600)
    assert sleeps.since() == 0.0


def test_a_mac_is_asked_for_the_clock_that_counts_a_sleep_and_the_one_that_does_not() -> None:
    mac = SimpleNamespace(CLOCK_REALTIME=0, CLOCK_MONOTONIC=6, CLOCK_MONOTONIC_RAW=4, CLOCK_UPTIME_RAW=8)
    linux = SimpleNamespace(CLOCK_REALTIME=0, CLOCK_MONOTONIC=1, CLOCK_MONOTONIC_RAW=4, CLOCK_BOOTTIME=7)
    assert module.sleep_clocks(mac) == (4, 8)
    assert module.sleep_clocks(linux) == (7, 1)


def test_where_no_clock_counts_a_sleep_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ASLEEP", module.sleep_clocks(SimpleNamespace()))
    assert abs(SystemClock().asleep()) < 1.0


def test_this_machines_sleep_does_not_grow_while_it_is_awake() -> None:
    clock = SystemClock()
    before, began = clock.asleep(), time.monotonic()
    assert before > -1.0
    assert abs(clock.asleep() - before) < max(0.01, time.monotonic() - began)
