"""Real children, kept by real keepers: started, watched, stopped, and what is left of them (nothing)."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.errors import SpawnFailed
from controller.supervision import child as child_module
from controller.supervision import tools as tools_module
from controller.supervision.child import Child, Exit, adopt, launch
from controller.supervision.home import Home
from controller.supervision.identity import alive, boot_id, table
from controller.supervision.tools import held_tool, run_tool
from tests.kit.children import unruly_spec, who
from tests.kit.signals import ignored
from tests.kit.until import until


async def start(place: Path, *program: str, name: str = "c", adopt_grace: float = 30.0, **changes: object) -> Child:
    spec = unruly_spec(name, place, *program, **changes)  # type: ignore[arg-type]  # grace is a float
    return await launch(spec, place / "run", note={"port": 4711}, adopt_grace=adopt_grace)


async def said(child: Child, words: str) -> re.Match[str]:
    """Wait until the child has said something that matches."""
    found: list[re.Match[str]] = []

    async def heard() -> bool:
        found.extend(re.finditer(words, (await child.tail()).decode()))
        return bool(found)

    await until(heard)
    return found[0]


REAL_PYTHON = os.path.realpath(sys.executable)


def logged(folder: Path, name: str = "c") -> bytes:
    return (folder / "logs" / f"{name}.log").read_bytes()


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    """After each test: nobody holds a lock, no descriptor of ours is open that was not before."""
    before = len(os.listdir("/dev/fd"))
    yield
    for folder in (tmp_path / "run").glob("*"):
        lock = Home(str(folder), "").take_lock()
        assert lock is not None, f"{folder}/lock is still held"
        os.close(lock)
    assert len(os.listdir("/dev/fd")) <= before


# ---------------------------------------------------------------------------------------------- starting


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="what is looked at here, only Linux shows")


@on_linux
async def test_a_child_gets_what_its_spec_says_and_nothing_else(tmp_path: Path) -> None:
    child = await start(tmp_path, "confess", files=4096)
    await said(child, "ready")
    await child.stop()
    told = dict(line.split(" ", 1) for line in logged(tmp_path).decode().splitlines() if " " in line)
    assert told["files"] == "4096"
    assert told["umask"] == "077"
    assert told["descriptors"] == str([str(tmp_path / "run" / "c" / "lock")])
    assert told["stdin"] == "/dev/null"
    assert told["leader"] == "True"
    assert told["environment"] == "['LANG']"
    assert told["folder"] == str(tmp_path)
    assert told["ignored"] == "[13, 25]"  # SIGPIPE and SIGXFSZ, which this program's own Python ignores


@on_linux
async def test_a_shell_inherits_no_ignored_signal(tmp_path: Path) -> None:
    script = "while read key value; do test $key = SigIgn: && echo $key $value; done < /proc/self/status"
    child = await start(tmp_path, argv=("/bin/sh", "-c", script))
    assert (await child.wait()).code is not None
    ignored = int(logged(tmp_path).split()[1], 16)
    ours = sum(1 << (number - 1) for number in signal.valid_signals())  # the C library keeps two to itself
    assert not ignored & ours


IGNORED = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}
TRAPS = "trap 'exit 6' INT; trap 'exit 7' QUIT; trap 'exit 8' TERM; echo ready; while :; do sleep 0.01; done"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 6), (signal.SIGQUIT, 7), (signal.SIGTERM, 8)])
async def test_a_child_hears_every_signal_whatever_was_ignored_or_blocked_when_we_were_started(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """A shell does not let anyone trap what was ignored when it began; and what is blocked never comes."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        with ignored(IGNORED):
            child = await start(tmp_path, argv=("/bin/sh", "-c", TRAPS))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    await said(child, "ready")
    os.kill(child.pid, number)
    assert (await child.wait()).code == code


async def test_a_keeper_hears_term_though_it_was_blocked_and_ignored_when_we_were_started(tmp_path: Path) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        with ignored(IGNORED):
            child = await start(tmp_path, "leave_on_term", "5")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    await said(child, "ready")
    os.kill(child.keeper_pid, signal.SIGTERM)
    assert (await child.wait()).code == 5


async def test_the_record_is_on_disk_before_the_program_runs(tmp_path: Path) -> None:
    record = tmp_path / "run" / "c" / "record.json"
    child = await start(tmp_path, argv=("/bin/cat", str(record)))
    await child.wait()
    assert f'"child": [[{child.pid}, ' in logged(tmp_path).decode()


async def test_a_child_that_cannot_be_recorded_does_not_run(tmp_path: Path) -> None:
    (tmp_path / "run" / "c" / "record.json.new").mkdir(parents=True)
    (tmp_path / "run" / "c").chmod(0o700)
    with pytest.raises(SpawnFailed, match=r"record\.json\.new"):
        await start(tmp_path, argv=("/usr/bin/touch", str(tmp_path / "it ran")))
    assert not (tmp_path / "it ran").exists()


async def test_a_program_that_cannot_run_is_told_by_kind_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    (tmp_path / "text").chmod(0o755)
    (tmp_path / "script").write_text("#!/no/such/interpreter\n")
    (tmp_path / "script").chmod(0o755)
    for program, kind in (
        (tmp_path / "missing", "missing"),
        (Path("/etc/passwd"), "not_executable"),
        (tmp_path / "text", "wrong_kind"),
        (tmp_path / "script", "wrong_kind"),
    ):
        with pytest.raises(SpawnFailed) as failure:
            await start(tmp_path, argv=(str(program),))
        assert failure.value.kind == kind
        assert str(program) in str(failure.value)
        assert not (tmp_path / "run" / "c" / "record.json").exists()


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpawnFailed, match=r"/no/such/folder: No such file") as failure:
        await start(tmp_path, "quiet", folder="/no/such/folder")
    assert failure.value.kind == "other"


async def test_two_launches_at_once_start_one_child(tmp_path: Path) -> None:
    tries = [asyncio.create_task(start(tmp_path, "quiet")) for _ in range(2)]
    done = await asyncio.gather(*tries, return_exceptions=True)
    [child] = [one for one in done if isinstance(one, Child)]
    [failure] = [one for one in done if isinstance(one, SpawnFailed)]
    assert failure.kind == "held"
    await child.stop()


@pytest.mark.parametrize(
    "strange",
    ["[]", '{"keeper": ', '{"boot": 1}', {}, {"keeper": [[1]], "child": "x"}, {"keeper": 3, "child": [[1, 2]]}],
)
async def test_a_record_that_no_keeper_wrote_is_nothing_to_adopt(
    tmp_path: Path, strange: str | dict[str, object]
) -> None:
    place = child_module.home_of("c", tmp_path / "run")
    os.makedirs(place.folder, mode=0o700)
    text = strange if isinstance(strange, str) else json.dumps({"v": 1, "boot": boot_id(), **strange})
    (tmp_path / "run" / "c" / "record.json").write_text(text)
    assert await adopt("c", tmp_path / "run") is None
    child = await start(tmp_path, "quiet")
    await child.stop()


async def test_a_socket_path_that_is_too_long_moves_to_tmp(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 90)
    deep.mkdir()
    child = await start(deep, "quiet")
    place = child_module.home_of("c", deep / "run")
    assert place.socket.startswith(f"/tmp/sd-{os.getuid()}-")
    assert os.stat(os.path.dirname(place.socket)).st_mode & 0o777 == 0o700
    await child.release()
    again = await adopt("c", deep / "run")
    assert again is not None
    await again.stop()


async def test_a_folder_in_tmp_that_others_may_enter_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    (shared / "somebody else's").touch()
    place = child_module.home_of("c", tmp_path / "run")
    monkeypatch.setattr(child_module, "home_of", lambda *_: Home(place.folder, str(shared / "s")))
    with pytest.raises(SpawnFailed, match="not a private folder"):
        await start(tmp_path, "quiet")


# ---------------------------------------------------------------------------------------------- ending


async def test_an_exit_is_told_exactly(tmp_path: Path) -> None:
    child = await start(tmp_path, "leave", "7")
    assert await child.wait() == Exit(7, None, False)
    assert await child.wait() == Exit(7, None, False)
    assert await child.stop() == Exit(7, None, False)
    assert await child.tail() == b"goodbye\n"
    child = await start(tmp_path, "quiet")
    os.kill(child.pid, signal.SIGSEGV)
    assert await child.wait() == Exit(None, signal.SIGSEGV, False)


async def test_a_stop_lets_the_child_leave_by_itself(tmp_path: Path) -> None:
    child = await start(tmp_path, "leave_on_term", "5")
    await said(child, "ready")
    assert await child.stop() == Exit(5, None, True)


async def test_waiting_may_be_given_up_and_begun_again(tmp_path: Path) -> None:
    child = await start(tmp_path, "quiet")
    waiting = asyncio.create_task(child.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    assert (await child.stop()).signal == signal.SIGTERM


async def test_a_child_that_ignores_term_is_killed_at_the_deadline(tmp_path: Path) -> None:  # row 19
    child = await start(tmp_path, "ignore_term", grace=0.5)
    await said(child, "ready")
    begin = time.monotonic()
    assert await child.stop() == Exit(None, signal.SIGKILL, True)
    assert 0.5 <= time.monotonic() - begin < 5.0


async def test_a_second_stop_can_shorten_the_grace(tmp_path: Path) -> None:
    child = await start(tmp_path, "ignore_term", grace=600.0)
    await said(child, "ready")
    patient = asyncio.create_task(child.stop())
    await asyncio.sleep(0)
    assert await child.stop(0.1) == await patient == Exit(None, signal.SIGKILL, True)


async def test_a_stopped_process_hears_term_too(tmp_path: Path) -> None:
    child = await start(tmp_path, "leave_on_term", "5", grace=60.0)
    await said(child, "ready")
    os.kill(child.pid, signal.SIGSTOP)
    assert await child.stop() == Exit(5, None, True)


@pytest.mark.parametrize("program", ["escape", "escape_unlocked"])
async def test_a_grandchild_in_a_session_of_its_own_does_not_survive(tmp_path: Path, program: str) -> None:  # row 18
    child = await start(tmp_path, program)
    grandchild = who(int((await said(child, r"grandchild (\d+)"))[1]))
    await said(child, "ready")
    await child.stop()
    assert not alive(grandchild)


async def test_an_exit_is_noticed_though_a_grandchild_holds_the_output(tmp_path: Path) -> None:  # row 20
    child = await start(tmp_path, "hold_output")
    assert await child.wait() == Exit(3, None, False)
    grandchild = int((await said(child, r"grandchild (\d+)"))[1])
    assert grandchild not in table()


async def test_a_group_that_the_child_leaves_behind_is_killed(tmp_path: Path) -> None:
    child = await start(tmp_path, argv=("/bin/sh", "-c", "sleep 1000 & echo left $!; exit 4"))
    assert (await child.wait()).code == 4
    left = int((await said(child, r"left (\d+)"))[1])
    assert left not in table() or table()[left].dead


async def test_descendants_are_recorded(tmp_path: Path) -> None:
    child = await start(tmp_path, "escape")
    grandchild = who(int((await said(child, r"grandchild (\d+)"))[1]))
    await until(lambda: child.descendants() == [grandchild])
    assert f"[{grandchild.pid}, {grandchild.start}]" in (tmp_path / "run" / "c" / "record.json").read_text()
    await child.stop()
    assert child.descendants() == []


# ---------------------------------------------------------------------------------------------- the keeper dies


@pytest.mark.parametrize("program", ["escape", "escape_unlocked"])
async def test_a_dead_keeper_is_noticed_and_its_child_killed(tmp_path: Path, program: str) -> None:  # row 24
    child = await start(tmp_path, program)
    grandchild = who(int((await said(child, r"grandchild (\d+)"))[1]))
    leader = who(child.pid)
    await until(child.descendants)
    os.kill(child.keeper_pid, signal.SIGKILL)
    assert await child.wait() == Exit(None, None, False)
    assert not alive(leader)
    assert not alive(grandchild)
    again = await start(tmp_path, "quiet")
    await again.stop()


@on_linux
async def test_what_a_dead_keeper_had_not_recorded_yet_is_found_by_the_lock_it_holds(tmp_path: Path) -> None:
    child = await start(tmp_path, "quiet")
    await said(child, "ready")
    os.kill(child.keeper_pid, signal.SIGSTOP)  # it records nothing any more
    await child.release()
    record = tmp_path / "run" / "c" / "record.json"
    record.write_text(re.sub(r'"child": \[\[\d+, \d+\]\]', '"child": []', record.read_text()))
    leader = who(child.pid)
    os.kill(child.keeper_pid, signal.SIGKILL)
    assert await adopt("c", tmp_path / "run") is None
    assert not alive(leader)


async def test_a_frozen_keeper_does_not_stop_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "STOP_MARGIN", 0.2)
    child = await start(tmp_path, "quiet", grace=0.1)
    leader = who(child.pid)
    os.kill(child.keeper_pid, signal.SIGSTOP)
    assert await child.stop() == Exit(None, None, True)
    assert not alive(leader)


async def test_a_terminated_keeper_stops_its_child_and_leaves(tmp_path: Path) -> None:
    child = await start(tmp_path, "leave_on_term", "5")
    await said(child, "ready")
    os.kill(child.keeper_pid, signal.SIGTERM)
    assert await child.wait() == Exit(5, None, False)


# ---------------------------------------------------------------------------------------------- room runs out


async def test_without_descriptors_nothing_starts_nothing_leaks_and_later_it_works(tmp_path: Path) -> None:  # row 39
    (tmp_path / "run").mkdir()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    kinds = set()
    for spare in range(10):
        fences = [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]  # so that no hole lies below the limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(fences) + 1 + spare, limits[1]))
        try:
            child = await start(tmp_path, "quiet")
        except SpawnFailed as failure:
            kinds.add(failure.kind)
        else:
            await child.stop()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for fence in fences:
                os.close(fence)
    assert kinds == {"exhausted"}
    child = await start(tmp_path, "quiet")
    await child.stop()


@pytest.mark.parametrize("fork", [1, 2])
async def test_without_processes_nothing_starts_nothing_leaks_and_later_it_works(
    tmp_path: Path, fork: int, monkeypatch: pytest.MonkeyPatch
) -> None:  # row 39: the keeper forks twice, once for itself and once for its child
    fails = (
        f"import errno, os; forks = []; fork = os.fork\n"
        f"def scarce():\n"
        f"    forks.append(1)\n"
        f"    if len(forks) == {fork}: raise BlockingIOError(errno.EAGAIN, 'Resource temporarily unavailable')\n"
        f"    return fork()\n"
        f"os.fork = scarce\n"
    )
    with monkeypatch.context() as patch:
        patch.setattr(child_module, "BOOT", fails + child_module.BOOT)
        with pytest.raises(SpawnFailed) as failure:
            await start(tmp_path, "quiet")
        assert failure.value.kind == "exhausted"
    child = await start(tmp_path, "quiet")
    await child.stop()


async def test_without_its_own_python_nothing_is_said_of_the_program_and_later_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade takes it away for a while, or the disk it is on."""
    python = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(SpawnFailed, match=r"Seadragon's own Python.* tried again by itself") as failure:
        await start(tmp_path, "quiet")
    assert failure.value.kind == "away"
    python.write_text("not yet whole")
    with pytest.raises(SpawnFailed) as failure:
        await start(tmp_path, "quiet")
    assert failure.value.kind == "away"
    python.unlink()
    python.symlink_to(REAL_PYTHON)
    child = await start(tmp_path, "quiet")
    await child.stop()


async def test_a_keeper_that_crashes_at_birth_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "BOOT", "raise RuntimeError('born broken')")
    with pytest.raises(SpawnFailed, match="born broken") as failure:
        await start(tmp_path, "quiet")
    assert failure.value.kind == "away"


# ---------------------------------------------------------------------------------------------- tools


async def test_a_tool_says_what_it_has_to_say(tmp_path: Path) -> None:
    result = await run_tool(
        ["/bin/sh", "-c", "echo out $A; echo err >&2; pwd; exit 3"], limit=30, environment={"A": "b"}, folder=tmp_path
    )
    assert (result.code, result.out, result.err, result.late) == (3, f"out b\n{tmp_path}\n".encode(), b"err\n", False)


async def test_a_tool_that_takes_too_long_is_killed_with_all_it_started() -> None:
    result = await run_tool(["/bin/sh", "-c", "sleep 1000 & echo $!; exec sleep 1000"], limit=0.5)
    assert (result.code, result.late) == (-signal.SIGKILL, True)
    await until(lambda: int(result.out) not in table() or table()[int(result.out)].dead)


async def test_a_tool_is_done_when_it_has_left_though_something_holds_its_output() -> None:
    result = await run_tool(["/bin/sh", "-c", "sleep 1000 & exit 2"], limit=30)
    assert (result.code, result.late) == (2, False)


async def test_a_tool_that_is_missing_is_told_by_kind() -> None:
    with pytest.raises(SpawnFailed) as failure:
        await run_tool(["/no/such/tool"], limit=1)
    assert failure.value.kind == "missing"


async def test_a_cancelled_tool_is_killed(tmp_path: Path) -> None:
    task = asyncio.create_task(run_tool(["/bin/sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 1000"], limit=600))
    await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().endswith("\n"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert int((tmp_path / "pid").read_text()) not in table()


async def test_a_held_tool_runs_until_it_is_let_go_of_and_ends_by_itself(tmp_path: Path) -> None:
    script = f"cat; echo ended > {tmp_path}/told"
    async with held_tool(["/bin/sh", "-c", script]) as tool:
        await asyncio.sleep(0)
        assert tool.runs
        assert not (tmp_path / "told").exists()
    assert not tool.runs
    assert (tmp_path / "told").read_text() == "ended\n"


async def test_a_held_tool_that_does_not_let_go_is_killed_with_all_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools_module, "GOODBYE", 0.1)
    async with held_tool(["/bin/sh", "-c", f"sleep 1000 & echo $! > {tmp_path}/pid; exec sleep 1000"]) as tool:
        await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().endswith("\n"))
    below = int((tmp_path / "pid").read_text())
    assert tool.pid not in table()
    await until(lambda: below not in table() or table()[below].dead)


async def test_a_held_tool_that_fails_says_why() -> None:
    async with held_tool(["/bin/sh", "-c", "echo Access denied >&2; exit 1"]) as tool:
        await until(lambda: not tool.runs)
        assert tool.words() == "Access denied"
    async with held_tool(["/bin/sh", "-c", "exit 7"]) as tool:
        await until(lambda: not tool.runs)
        assert tool.words() == "it left with exit code 7"
    with pytest.raises(SpawnFailed, match=r"^/no/such/tool could not be started"):
        async with held_tool(["/no/such/tool"]):
            pass


HOLDS = """
import asyncio, os, signal
from controller.supervision.tools import held_tool
async def main():
    async with held_tool(["/bin/sh", "-c", "cat"]) as tool:
        print(tool.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


async def test_a_held_tool_ends_with_whoever_held_it_however_that_ended() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDS, stdout=asyncio.subprocess.PIPE, cwd=child_module.ROOT
    )
    out, _ = await process.communicate()
    assert process.returncode == -signal.SIGKILL
    await until(lambda: int(out) not in table())
