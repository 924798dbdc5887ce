"""What is read off a Mac's ioreg."""

from __future__ import annotations

import plistlib

import pytest

from controller.plain import GIB
from controller.residency.metal import Metal, metal
from tests.unit.residency.macs import WINDOW_SERVER, ioreg

RUNNER = 4711


def test_it_tells_the_memory_in_use_how_busy_the_gpu_is_and_for_whom_it_has_worked() -> None:
    seen = metal(ioreg(7 * GIB, 41, {RUNNER: 12.5, 4712: 0.0}))
    assert (seen.used, seen.share) == (7 * GIB, 41)
    assert seen.seconds == {WINDOW_SERVER: 92.0, RUNNER: 12.5, 4712: 0.0}


def test_a_runner_has_what_the_gpu_did_for_all_its_processes() -> None:
    seen = metal(ioreg(GIB, 41, {RUNNER: 12.5, 4712: 2.0}))
    assert (seen.worked(RUNNER), seen.worked(RUNNER, 4712), seen.worked(RUNNER, 99)) == (12.5, 14.5, 12.5)


def test_of_a_process_it_does_not_name_nothing_is_claimed() -> None:
    assert metal(ioreg(GIB, 41)).worked(RUNNER) is None
    assert metal(ioreg(GIB, 41, {RUNNER: 1.0})).worked() is None


def test_a_client_of_a_process_that_never_used_the_gpu_tells_no_time() -> None:
    assert 377 not in metal(ioreg(GIB)).seconds


def test_two_gpus_add_their_memory_and_the_busier_one_counts() -> None:
    both = [plistlib.loads(ioreg(3 * GIB, 5, {RUNNER: 1.0}))[0], plistlib.loads(ioreg(GIB, 80, {RUNNER: 2.0}))[0]]
    seen = metal(plistlib.dumps(both))
    assert (seen.used, seen.share, seen.worked(RUNNER)) == (4 * GIB, 80, 3.0)


def test_an_intel_macs_driver_tells_the_time_of_the_client_itself() -> None:
    client = {"IOUserClientCreator": "pid 4711, ollama", "accumulatedGPUTime": 3_000_000_000}
    device = {"PerformanceStatistics": {"Device Utilization %": 3}, "IORegistryEntryChildren": [client]}
    assert metal(plistlib.dumps([device])) == Metal(None, 3, {RUNNER: 3.0})


@pytest.mark.parametrize(
    "plist",
    [
        b"",
        b"nonsense",
        b"<?xml version='1.0'?><plist><array><dict>",
        plistlib.dumps([]),
        plistlib.dumps([{}]),
        plistlib.dumps({"a": 1}),
        plistlib.dumps("text"),
        plistlib.dumps([{"PerformanceStatistics": "none", "IORegistryEntryChildren": 7}]),
        plistlib.dumps([{"PerformanceStatistics": {"In use system memory": "all", "Device Utilization %": True}}]),
        plistlib.dumps([{"IORegistryEntryChildren": [{"IOUserClientCreator": "somebody", "AppUsage": []}]}]),
        plistlib.dumps([{"IORegistryEntryChildren": [{"IOUserClientCreator": "pid 7, x", "AppUsage": [{"a": 1}]}]}]),
    ],
)
def test_an_ioreg_that_does_not_tell_is_unknown(plist: bytes) -> None:
    assert metal(plist) == Metal()
