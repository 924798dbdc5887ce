"""What gauges make of what a machine tells; whether a real one tells it is for the integration tests."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from controller.errors import SpawnFailed
from controller.residency.accelerator import Accelerator, accelerator_limit
from controller.residency.gauge_linux import ONE, TWO, groups, limit_of, resident_pages, stalled_share
from controller.residency.gauge_mac import MacGauge, Usage, usual_limit
from controller.residency.memory import GIB
from tests.unit.residency.macs import ioreg
from tests.unit.residency.test_accelerator import METAL, SEARCH

PSI = "some avg10=12.50 avg60=1.00 avg300=0.10 total=123\nfull avg10=3.25 avg60=0.50 avg300=0.05 total=45\n"


def test_our_groups_are_found_in_either_version() -> None:
    assert groups("0::/user.slice/session-1.scope\n") == [(TWO, "/user.slice/session-1.scope")]
    assert groups("9:name=systemd:/a\n4:cpu,memory:/docker/abc\n1:cpu:/\n") == [(ONE, "/docker/abc")]
    assert groups("4:memory:/a\n0::/a:with:colons\n") == [(ONE, "/a"), (TWO, "/a:with:colons")]
    assert groups("") == []


@pytest.mark.parametrize(
    ("text", "limit"),
    [("1073741824\n", GIB), ("max\n", None), ("9223372036854771712\n", None), ("0\n", 0), ("", None), ("-1", None)],
)
def test_a_limit_is_a_number_unless_there_is_none(text: str, limit: int | None) -> None:
    assert limit_of(text) == limit


def test_stalls_of_everybody_in_the_last_ten_seconds_count() -> None:
    assert stalled_share(PSI) == 3.25
    assert stalled_share("some avg10=12.50 avg60=1.00 avg300=0.10 total=123\n") is None
    assert stalled_share("") is None


def test_a_process_tells_its_pages_and_those_mapped_from_files() -> None:
    assert resident_pages("430891 9175 6639 5273 0 43189 0\n") == (9175, 6639)


def test_the_mac_structure_is_laid_out_as_in_its_header() -> None:
    assert Usage.ri_phys_footprint.offset == 16 + 7 * 8
    assert ctypes.sizeof(Usage) == 16 + 10 * 8


@dataclass
class Ioreg:
    out: bytes
    code: int = 0
    asked: int = 0

    async def __call__(self, argv: Sequence[str], *, limit: float) -> Ioreg:
        self.asked += 1
        return self


class Missing:
    async def __call__(self, argv: Sequence[str], *, limit: float) -> Ioreg:
        raise SpawnFailed("There is no such program.", kind="missing")


TOLD = {"kern.memorystatus_vm_pressure_level": 1, "iogpu.wired_limit_mb": 0}


def mac(told: dict[str, int], run: Ioreg | Missing | None = None, *, silicon: bool = True) -> MacGauge:
    return MacGauge(
        told.get, {7: 30 * GIB}.get, lambda: (64 * GIB, 20 * GIB), run or Ioreg(b""), silicon=silicon
    )  # fmt: skip


def test_a_mac_tells_ram_pressure_and_true_footprints() -> None:
    reading = mac(TOLD | {"kern.memorystatus_vm_pressure_level": 2}).read([7, 8])
    assert (reading.total, reading.available, reading.pressure) == (64 * GIB, 20 * GIB, 2)
    assert reading.footprints == {7: 30 * GIB}
    assert reading.unified


def test_the_limit_is_what_ollama_measured() -> None:
    gauge = mac(TOLD)
    gauge.accelerator = Accelerator("Metal", total=48 * GIB)
    assert (gauge.read([]).limit, gauge.read([]).notes) == (48 * GIB, ())


def test_an_administrators_limit_counts_at_once() -> None:
    gauge = mac(TOLD | {"iogpu.wired_limit_mb": 57344})
    gauge.accelerator = Accelerator("Metal", total=48 * GIB)
    assert gauge.read([]).limit == 56 * GIB


def test_until_ollama_has_told_the_limit_is_a_guess_and_says_so() -> None:
    reading = mac(TOLD).read([])
    assert reading.limit == 48 * GIB
    assert reading.notes == ("The GPU's memory limit is a guess until Ollama's log tells it.",)
    assert usual_limit(24 * GIB) == 16 * GIB


def test_a_mac_whose_gpu_got_lost_or_is_none_has_no_limit() -> None:
    gauge = mac(TOLD)
    gauge.accelerator = Accelerator("cpu", total=64 * GIB)
    assert gauge.read([]).limit is None
    assert mac(TOLD, silicon=False).read([]).limit is None


@pytest.mark.parametrize("told", [{}, {"kern.memorystatus_vm_pressure_level": 3}])
def test_a_kernel_that_tells_no_pressure_is_calm_and_noted(told: dict[str, int]) -> None:
    gauge = mac(told)
    gauge.accelerator = Accelerator("Metal", total=48 * GIB)
    assert gauge.read([]).pressure == 1
    assert gauge.read([]).notes == (
        "The kernel does not tell the memory pressure (kern.memorystatus_vm_pressure_level).",
    )


async def test_ioreg_is_asked_now_and_then_only() -> None:
    tool = Ioreg(ioreg(5 * GIB))
    gauge = mac(TOLD, tool)
    assert gauge.read([]).accelerator_used is None
    await gauge.refresh()
    await gauge.refresh()
    assert gauge.read([]).accelerator_used == 5 * GIB
    assert tool.asked == 1


@pytest.mark.parametrize("run", [Missing(), Ioreg(b"garbage")])
async def test_without_ioreg_what_others_use_is_unknown(run: Ioreg | Missing) -> None:
    gauge = mac(TOLD, run)
    await gauge.refresh()
    assert gauge.read([]).accelerator_used is None


def test_the_log_of_a_mac_is_what_its_gauge_takes() -> None:
    gauge = mac(TOLD)
    gauge.accelerator = accelerator_limit(SEARCH + METAL)
    assert (gauge.read([]).limit, gauge.read([]).notes) == (48 * GIB, ())
