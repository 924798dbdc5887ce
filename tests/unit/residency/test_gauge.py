"""What gauges make of what a machine tells; whether a real one tells it is for the integration tests."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import permutations
from typing import Any

import pytest

from controller.config.machine import Memory
from controller.engines.engine import Accelerator
from controller.engines.ollama.accelerator import accelerator_limit
from controller.errors import SpawnFailed
from controller.plain import GIB
from controller.residency import gauge_mac
from controller.residency.gauge_linux import ONE, TWO, groups, limit_of, resident_pages, stalled_share
from controller.residency.gauge_mac import MacGauge, Pages, Usage, footprint, usual_limit, vm
from controller.residency.memory import Reading, budget
from controller.residency.plan import plan
from controller.residency.resident import Fits, Taken
from tests.unit.engines.ollama.test_accelerator import METAL, SEARCH
from tests.unit.residency.macs import AT_REST, IDLE, JUST_USED, LARGE, LARGE_USED, MIDDLE, OURS, Mac, ioreg
from tests.unit.residency.shows import example, resident

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


def test_the_mac_structures_are_laid_out_as_in_their_headers() -> None:
    assert Usage.ri_phys_footprint.offset == 16 + 7 * 8
    assert ctypes.sizeof(Usage) == 16 + 10 * 8
    assert Pages.purgeable_count.offset == 4 * 4 + 9 * 8
    assert Pages.compressor_page_count.offset == 4 * 4 + 9 * 8 + 2 * 4 + 4 * 8
    assert ctypes.sizeof(Pages) == 38 * 4  # HOST_VM_INFO64_REV1_COUNT: without what later systems add at the end


class System:
    """libSystem, as far as a gauge calls it: it answers by writing where it is told to, and by what it returns."""

    def __init__(self, *, works: bool = True) -> None:
        self.failed = 0 if works else -1

    def proc_pid_rusage(self, pid: ctypes.c_int, flavour: ctypes.c_int, usage: Any) -> int:
        usage._obj.ri_resident_size, usage._obj.ri_phys_footprint = 3 * GIB, 5 * GIB
        return self.failed or (0 if pid.value == LARGE and flavour.value == 0 else -1)

    def mach_host_self(self) -> int:
        return 1283

    def host_statistics64(self, host: ctypes.c_uint32, flavour: ctypes.c_int, pages: Any, count: Any) -> int:
        assert (host.value, flavour.value, count._obj.value) == (1283, 4, 38)
        for name, bytes in asdict(JUST_USED.vm).items():
            field = {"wired": "wire", "compressor": "compressor_page", "external": "external_page"}.get(name, name)
            setattr(pages._obj, f"{field}_count", bytes // 16384)
        return self.failed

    def host_page_size(self, host: ctypes.c_uint32, size: Any) -> int:
        size._obj.value = 16384
        return self.failed


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    made = System()
    gauge_mac._host.cache_clear()
    monkeypatch.setattr(gauge_mac, "SYSTEM", made)
    return made


def test_a_footprint_is_what_the_kernel_charges_a_process_with(system: System) -> None:
    assert footprint(LARGE) == 5 * GIB
    assert footprint(1) is None


def test_what_memory_is_used_for_is_told_in_pages(system: System) -> None:
    assert vm() == JUST_USED.vm
    system.failed = 5
    assert vm() is None


@dataclass
class Ioreg:
    out: bytes
    code: int = 0
    err: bytes = b""
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
        told.get,
        {7: 30 * GIB}.get,
        lambda: (64 * GIB, 20 * GIB),
        run or Ioreg(b""),
        lambda: AT_REST.vm,
        silicon=silicon,
    )


def test_a_mac_tells_ram_pressure_and_true_footprints() -> None:
    reading = mac(TOLD | {"kern.memorystatus_vm_pressure_level": 2}).read({7: Taken(), 8: Taken()})
    assert (reading.total, reading.pressure) == (64 * GIB, 2)
    assert reading.footprints == {7: 30 * GIB}
    assert reading.unified


def test_what_is_available_on_a_mac_is_what_ollama_sees() -> None:
    """All of it less active, inactive, speculative, wired and compressor, but for what is purgeable or file-backed."""
    pages = 412876 + 524288 + 19660 + 196608 + 58982 - 6553 - 727447
    assert mac(TOLD).read({}).available == 64 * GIB - pages * 16384
    assert round(pages / 65536, 1) == 7.3


def test_where_the_kernel_does_not_tell_so_much_psutils_figure_counts_and_that_is_noted() -> None:
    gauge = MacGauge(TOLD.get, {LARGE: GIB}.get, lambda: (64 * GIB, 20 * GIB), Ioreg(b""), lambda: None, silicon=True)
    reading = gauge.read({LARGE: OURS[LARGE]})
    assert (reading.available, reading.elsewhere) == (20 * GIB, 0)
    assert "The kernel does not tell what memory is used for (host_statistics64)." in reading.notes


def test_the_limit_is_what_ollama_measured() -> None:
    gauge = mac(TOLD)
    gauge.accelerator = Accelerator("Metal", total=48 * GIB)
    assert (gauge.read({}).limit, gauge.read({}).notes) == (48 * GIB, ())


def test_an_administrators_limit_counts_at_once() -> None:
    gauge = mac(TOLD | {"iogpu.wired_limit_mb": 57344})
    gauge.accelerator = Accelerator("Metal", total=48 * GIB)
    assert gauge.read({}).limit == 56 * GIB


def test_until_ollama_has_told_the_limit_is_a_guess_and_says_so() -> None:
    reading = mac(TOLD).read({})
    assert reading.limit == 48 * GIB
    assert reading.notes == ("The GPU's memory limit is a guess until Ollama's log tells it.",)
    assert usual_limit(24 * GIB) == 16 * GIB


def test_a_mac_whose_gpu_got_lost_or_is_none_has_no_limit() -> None:
    gauge = mac(TOLD)
    gauge.accelerator = Accelerator("cpu", total=64 * GIB)
    assert gauge.read({}).limit is None
    assert mac(TOLD, silicon=False).read({}).limit is None


@pytest.mark.parametrize("told", [{}, {"kern.memorystatus_vm_pressure_level": 3}])
def test_a_kernel_that_tells_no_pressure_is_calm_and_noted(told: dict[str, int]) -> None:
    gauge = mac(told)
    gauge.accelerator = Accelerator("Metal", total=48 * GIB)
    assert gauge.read({}).pressure == 1
    assert gauge.read({}).notes == (
        "The kernel does not tell the memory pressure (kern.memorystatus_vm_pressure_level).",
    )


async def test_ioreg_is_asked_now_and_then_only() -> None:
    tool = Ioreg(ioreg(5 * GIB))
    gauge = mac(TOLD, tool)
    assert gauge.read({}).others_there == 0
    await gauge.refresh()
    await gauge.refresh()
    assert gauge.read({}).others_there == 5 * GIB
    assert tool.asked == 1


@pytest.mark.parametrize("run", [Missing(), Ioreg(b"garbage")])
async def test_without_ioreg_what_others_use_is_unknown(run: Ioreg | Missing) -> None:
    gauge = mac(TOLD, run)
    await gauge.refresh()
    assert gauge.read({}).others_there == 0


def test_the_log_of_a_mac_is_what_its_gauge_takes() -> None:
    gauge = mac(TOLD)
    gauge.accelerator = accelerator_limit(SEARCH + METAL)
    assert (gauge.read({}).limit, gauge.read({}).notes) == (48 * GIB, ())


# --- a Mac whose models are mapped ------------------------------------------------------------------------------------


class Recorded:
    """A gauge on a Mac that is now like this, now like that. Each look is long after the one before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.mac, self.at = AT_REST, 1000.0
        monkeypatch.setattr("controller.residency.gauge_mac.time", self)
        told = {"iogpu.wired_limit_mb": 0}
        self.gauge = MacGauge(
            lambda name: self.mac.pressure if "pressure" in name else told.get(name),
            lambda pid: self.mac.footprints.get(pid),
            lambda: (self.mac.memsize, 20 * GIB),
            self._ioreg,
            lambda: self.mac.vm,
            silicon=True,
        )
        self.gauge.accelerator = Accelerator("Metal", total=48 * GIB, unified=True)

    def monotonic(self) -> float:
        return self.at

    async def _ioreg(self, argv: Sequence[str], *, limit: float) -> Ioreg:
        return Ioreg(ioreg(self.mac.in_use))

    async def see(self, mac: Mac, ours: Mapping[int, Taken] | None = None, later: float = 600.0) -> Reading:
        self.mac, self.at = mac, self.at + later
        await self.gauge.refresh()
        return self.gauge.read(mac.ours if ours is None else ours)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    return Recorded(monkeypatch)


def gib(count: float | None) -> float:
    assert count is not None
    return round(count / GIB, 1)


@pytest.mark.parametrize(
    ("state", "available", "elsewhere"),
    [
        (AT_REST, 56.7, 0.0),
        (JUST_USED, 20.8, 0.0),  # all is wired: what is available misses both files, 27.5 GiB
        (IDLE, 48.3, 27.5),  # and then it does not
        (LARGE_USED, 29.5, 9.1),  # of the wired 21.6, the files' share
    ],
    ids=["at rest", "just used", "idle", "one used"],
)
async def test_what_metal_has_let_go_of_is_available_and_what_it_uses_is_not(
    recorded: Recorded, state: Mac, available: float, elsewhere: float
) -> None:
    await recorded.see(AT_REST)
    reading = await recorded.see(state)
    assert (gib(reading.available), gib(reading.elsewhere)) == (available, elsewhere)


async def test_a_footprint_holds_the_mapped_file_as_well(recorded: Recorded) -> None:
    reading = await recorded.see(IDLE)
    assert {pid: gib(held) for pid, held in reading.footprints.items()} == {LARGE: 24.1, MIDDLE: 11.8}


ORDERS = list(permutations([JUST_USED, IDLE, LARGE_USED]))


@pytest.mark.parametrize("order", ORDERS, ids=range(len(ORDERS)))
@pytest.mark.parametrize("seen_at_rest", [True, False])
async def test_the_budget_is_the_same_whether_models_were_just_used_or_idle_for_ten_minutes(
    recorded: Recorded, order: tuple[Mac, ...], seen_at_rest: bool
) -> None:
    """RAM: 64 - 7.3 of others - 4 of reserve = 52.7. GPU: 0.9 * 48 - 0.6 of the display = 42.6."""
    found = [budget(await recorded.see(each), Memory()) for each in (*((AT_REST,) if seen_at_rest else ()), *order)]
    rams, theres = [each.ram / GIB for each in found], [(each.there or 0) / GIB for each in found]
    assert max(rams) - min(rams) < 1
    assert max(theres) - min(theres) < 1
    assert all(abs(each - 52.7) < 0.6 for each in rams)
    assert all(42.5 < each < 43.3 for each in theres)


async def test_the_third_model_of_the_example_fits_beside_them_in_each_state(recorded: Recorded) -> None:
    """qwen3:8b: 6.7 GiB, 3.2 more for conversations. 21.6 + 10.6 + 6.7 = 38.9 of 42.6; with 10.8 more 49.7 of 52.7."""
    *others, small = example().values()
    rows = {each.key: resident(each) for each in others}
    for state in (JUST_USED, IDLE, LARGE_USED, JUST_USED):
        now = budget(await recorded.see(state), Memory())
        assert plan(small, rows, [], now, 8) == Fits()


async def test_right_after_a_swap_what_has_just_left_is_not_taken_for_others(recorded: Recorded) -> None:
    """ioreg's figure is some seconds old, and the memory of a process may come back a moment after its end."""
    await recorded.see(AT_REST)
    before = budget(await recorded.see(JUST_USED), Memory())
    for later in (0.1, 1.0, 3.0):
        after = budget(await recorded.see(JUST_USED, ours={}, later=later), Memory())
        assert after.there == before.there
    assert budget(await recorded.see(AT_REST, later=60.0), Memory()).there == before.there


async def test_while_a_model_is_being_loaded_what_it_wires_is_not_taken_for_others(recorded: Recorded) -> None:
    await recorded.see(AT_REST)
    loading = {pid: Taken(most=each.most) for pid, each in OURS.items()}
    await recorded.see(JUST_USED, ours=loading, later=5.0)
    loaded = budget(await recorded.see(JUST_USED, later=5.0), Memory())
    assert (gib(loaded.ram), gib(loaded.there)) == (52.7, 42.6)


async def test_what_another_program_takes_of_the_gpu_is_seen_as_soon_as_ours_cannot_have_it(
    recorded: Recorded,
) -> None:
    await recorded.see(AT_REST)
    game = replace(JUST_USED, in_use=JUST_USED.in_use + 5 * GIB)
    assert gib((await recorded.see(game)).others_there) == 5.6
    assert gib((await recorded.see(replace(IDLE, in_use=IDLE.in_use + 5 * GIB))).others_there) == 5.6
    assert gib((await recorded.see(IDLE)).others_there) == 0.6
