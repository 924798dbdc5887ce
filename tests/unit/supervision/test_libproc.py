"""What a Mac's kernel answers, read as Apple's headers lay it out."""

from __future__ import annotations

import ctypes
import errno

import pytest

from controller.machine import sysctl
from controller.supervision import identity, keeper, libproc
from controller.supervision.identity import ProcessIdentity, ProcessRow
from tests.fakes.mac import RUNS, ZOMBIE, BsdInfo, Kernel

START = 1_755_767_107  # a second in 2025


def process(
    pid: int, parent: int, *, group: int = 0, start: int = START, micro: int = 0, status: int = RUNS
) -> BsdInfo:
    return BsdInfo(
        pbi_flags=0x4010,
        pbi_status=status,
        pbi_xstatus=0xFFFFFFFF,
        pbi_pid=pid,
        pbi_ppid=parent,
        pbi_uid=501,
        pbi_svgid=20,
        rfu_1=0xFFFFFFFF,
        pbi_comm=b"llama-server",
        pbi_name=b"llama-server",
        pbi_nfiles=40,
        pbi_pgid=group or pid,
        pbi_nice=-20,
        pbi_start_tvsec=start,
        pbi_start_tvusec=micro,
    )


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(libproc, "SYSTEM", made)
    monkeypatch.setattr(sysctl, "SYSTEM", made)
    monkeypatch.setattr(identity, "LINUX", False)
    return made


def test_the_record_is_as_long_as_apples() -> None:
    assert libproc.BSD_INFO.size == ctypes.sizeof(BsdInfo) == 136


def test_each_field_is_read_from_where_apple_puts_it(kernel: Kernel) -> None:
    kernel.processes = {700: process(700, 1, group=699, micro=250_000)}
    assert libproc.seen(700) == libproc.Seen(1, 699, START * 1_000_000 + 250_000, False)


def test_two_processes_of_one_number_differ_by_a_microsecond(kernel: Kernel) -> None:
    kernel.processes = {700: process(700, 1, micro=1)}
    assert identity.identify(700) == ProcessIdentity(700, START * 1_000_000 + 1)
    assert not identity.alive(ProcessIdentity(700, START * 1_000_000))


def test_the_table_holds_who_can_be_seen_and_lives(kernel: Kernel) -> None:
    kernel.processes = {
        0: errno.EPERM,
        1: errno.EPERM,
        700: process(700, 1),
        701: process(701, 700, group=700),
        702: errno.ESRCH,  # a zombie, or gone since it was listed
    }
    assert identity.table() == {
        700: ProcessRow(700, 1, 700, START * 1_000_000, False),
        701: ProcessRow(701, 700, 700, START * 1_000_000, False),
    }
    assert identity.identify(702) is None


def test_a_zombie_that_is_told_as_one_is_dead(kernel: Kernel) -> None:
    kernel.processes = {700: process(700, 1, status=ZOMBIE)}
    assert identity.table()[700].dead
    assert identity.identify(700) is None


def test_all_are_listed_however_many_came_since_they_were_counted(kernel: Kernel) -> None:
    kernel.processes = {pid: process(pid, 1) for pid in range(2, 2000)}
    first = kernel.proc_listpids(1, 0, None, 0)
    counts = iter([400, first])
    real = kernel.proc_listpids
    kernel.proc_listpids = lambda kind, info, buffer, size: (  # type: ignore[method-assign]
        next(counts) if buffer is None else real(kind, info, buffer, size)
    )
    assert len(libproc.pids()) == 1998


@pytest.mark.parametrize("number", [errno.ENOMEM, 0])
def test_a_list_that_cannot_be_had_is_no_empty_one(kernel: Kernel, number: int) -> None:
    kernel.broken = number or errno.EIO
    with pytest.raises(OSError, match="the list of processes cannot be read"):
        identity.table()
    kernel.broken = 0  # nobody at all: that cannot be, since we ourselves are there
    kernel.proc_listpids = lambda *_: 0  # type: ignore[method-assign]
    with pytest.raises(OSError, match="the list of processes cannot be read"):
        identity.table()


def test_a_process_that_cannot_be_read_is_not_taken_for_gone(kernel: Kernel) -> None:
    kernel.processes = {700: errno.EINVAL}
    with pytest.raises(OSError, match="process 700 cannot be read"):
        identity.alive(ProcessIdentity(700, START))


def test_a_record_that_is_cut_short_is_not_taken_for_gone(kernel: Kernel) -> None:
    kernel.proc_pidinfo = lambda *_: 64  # type: ignore[method-assign]
    with pytest.raises(OSError, match="process 700 cannot be read"):
        libproc.seen(700)


def test_the_boot_is_named_by_the_kernel(kernel: Kernel) -> None:
    kernel.names = {"kern.bootsessionuuid": b"0F3F2A9C-1D2E-4B1E-8A55-6D5C1B7E2F10\0"}
    assert identity.boot_id() == "0F3F2A9C-1D2E-4B1E-8A55-6D5C1B7E2F10"


def test_elsewhere_than_on_linux_only_the_record_says_who_holds_a_lock(kernel: Kernel) -> None:
    assert identity.holders("/any/lock", 4) == set()


def test_a_program_for_another_processor_is_told_as_one() -> None:
    reason = keeper._reason(OSError(86, "Bad CPU type in executable", "/opt/ollama"), of_program=True)
    assert (reason.kind, reason.text) == ("wrong_kind", "/opt/ollama: Bad CPU type in executable")
