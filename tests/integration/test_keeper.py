"""Keepers, and controllers that come and go: what survives whom, and what reaches the log."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import random
import re
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop

from controller.errors import Unreachable
from controller.supervision import child as child_module
from controller.supervision.child import Child, Exit, adopt, launch
from controller.supervision.home import Home, recorded
from controller.supervision.identity import ProcessIdentity, alive, survivors, table
from controller.supervision.pump import PIPE
from controller.supervision.sieve import BURST, RATE
from controller.supervision.wire import encode
from tests.kit.children import unruly_spec, who
from tests.kit.until import until

ROOT = Path(__file__).parents[2]
on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="the pretended Mac reads /proc; a real one needs no pretence"
)


async def start(place: Path, *program: str, name: str = "c", adopt_grace: float = 30.0, **changes: object) -> Child:
    spec = unruly_spec(name, place, *program, **changes)  # type: ignore[arg-type]  # grace is a float
    return await launch(spec, place / "run", note={"port": 4711}, adopt_grace=adopt_grace)


@asynccontextmanager
async def controller(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another controller process (`tests/fakes/launcher.py`); killed at the end of the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.launcher", *arguments, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    try:
        assert await line_of(process) == "up"
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(30):
        return (await process.stdout.readline()).decode().strip()


def record(place: Path, name: str = "c") -> dict[str, list[list[int]]]:
    facts: dict[str, list[list[int]]] = json.loads((place / "run" / name / "record.json").read_text())
    return facts


def home(place: Path, name: str = "c") -> Home:
    return child_module.home_of(name, place / "run")


def is_free(place: Home) -> bool:
    """Nobody holds the lock: keeper, child and all descendants are gone."""
    lock = place.take_lock()
    if lock is not None:
        os.close(lock)
    return lock is not None


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    for folder in (tmp_path / "run").glob("*"):
        assert is_free(Home(str(folder), "")), f"{folder}/lock is still held"


# -------------------------------------------------------------------------------------- controllers come and go


async def test_after_a_killed_controller_the_next_one_adopts_the_same_child(tmp_path: Path) -> None:  # row 14
    async with controller("launch", str(tmp_path / "run"), "c", "60", "quiet") as first:
        facts = json.loads(await line_of(first))
        first.kill()
        await first.wait()
    async with controller("adopt", str(tmp_path / "run"), "c") as second:
        assert json.loads(await line_of(second)) == {**facts, "adopted": True}
        child = await adopt("c", tmp_path / "run")
        assert child is not None
        assert (child.pid, child.note, child.adopted) == (facts["pid"], {"port": 4711}, True)
        assert child.identity == unruly_spec("c", tmp_path, "quiet").identity
        await child.stop()


async def test_a_note_survives_its_controller(tmp_path: Path) -> None:
    child = await start(tmp_path, "quiet")
    await child.annotate(restarts=3)
    await child.release()
    child = await adopted(tmp_path)
    assert child.note == {"port": 4711, "restarts": 3}
    await child.stop()


async def adopted(place: Path) -> Child:
    child = await adopt("c", place / "run")
    assert child is not None
    return child


async def test_a_second_controller_takes_over_from_the_first(tmp_path: Path) -> None:
    first = await start(tmp_path, "quiet")
    second = await adopted(tmp_path)
    with pytest.raises(Unreachable, match="another controller"):
        await first.wait()
    with pytest.raises(Unreachable):
        await first.annotate(restarts=1)
    assert alive(who(second.pid))
    await second.stop()


async def test_a_child_whose_controller_never_returns_is_stopped(tmp_path: Path) -> None:  # row 16
    async with controller("launch", str(tmp_path / "run"), "c", "0.5", "escape") as lost:
        facts = json.loads(await line_of(lost))
        keeper, leader = who(facts["keeper_pid"]), who(facts["pid"])
    await until(lambda: not alive(leader) and not alive(keeper))
    assert is_free(home(tmp_path))
    assert not (tmp_path / "run" / "c" / "record.json").exists()


async def test_a_lease_can_be_changed_while_the_child_runs(tmp_path: Path) -> None:
    child = await start(tmp_path, "quiet", adopt_grace=3600.0)
    keeper = who(child.keeper_pid)
    await child.lease(0.0)
    await child.release()
    await until(lambda: not alive(keeper))


async def test_a_child_that_ended_unseen_tells_the_next_controller_how(tmp_path: Path) -> None:
    child = await start(tmp_path, "leave_on_term", "5")
    await child.release()
    leader = who(child.pid)
    os.kill(child.pid, signal.SIGKILL)
    await until(lambda: not alive(leader))
    child = await adopted(tmp_path)
    assert await child.wait() == Exit(None, signal.SIGKILL, False)
    assert await adopt("c", tmp_path / "run") is None


async def test_a_keeper_that_is_stopping_is_waited_for(tmp_path: Path) -> None:
    child = await start(tmp_path, "ignore_term", grace=1.0)
    leader = who(child.pid)
    await until(lambda: "ready" in (tmp_path / "logs" / "c.log").read_text())
    stopping = asyncio.create_task(child.stop())
    await asyncio.sleep(0)
    assert await adopt("c", tmp_path / "run") is None
    assert not alive(leader)
    assert await stopping == Exit(None, signal.SIGKILL, True)


async def test_where_nothing_ran_there_is_nothing_to_adopt(tmp_path: Path) -> None:
    assert await adopt("c", tmp_path / "run") is None
    (tmp_path / "run" / "c").mkdir(parents=True, mode=0o700)
    assert await adopt("c", tmp_path / "run") is None


async def test_a_frozen_keeper_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.supervision.link.ANSWER_LIMIT", 0.3)
    child = await start(tmp_path, "quiet")
    leader = who(child.pid)
    os.kill(child.keeper_pid, signal.SIGSTOP)
    await child.release()
    assert await adopt("c", tmp_path / "run") is None
    assert not alive(leader)


async def test_a_dead_keeper_that_left_a_socket_is_no_obstacle(tmp_path: Path) -> None:
    child = await start(tmp_path, "quiet")
    leader = who(child.pid)
    await child.release()
    os.kill(child.keeper_pid, signal.SIGKILL)
    assert (tmp_path / "run" / "c" / "keeper.sock").exists()
    assert await adopt("c", tmp_path / "run") is None
    assert not alive(leader)
    again = await start(tmp_path, "quiet")
    await again.stop()


async def test_a_launch_without_adoption_removes_what_a_dead_keeper_left(tmp_path: Path) -> None:
    child = await start(tmp_path, "escape_unlocked")
    await until(child.descendants)
    [left] = child.descendants()
    await child.release()
    os.kill(child.keeper_pid, signal.SIGKILL)
    again = await start(tmp_path, "quiet")
    assert not alive(left)
    await again.stop()


async def test_a_stale_record_with_a_reused_pid_harms_nobody(tmp_path: Path) -> None:  # row 17
    child = await start(tmp_path, "quiet")
    os.kill(child.keeper_pid, signal.SIGSTOP)
    stale = record(tmp_path)
    os.kill(child.keeper_pid, signal.SIGKILL)
    await child.wait()
    bystander = await asyncio.create_subprocess_exec("/bin/sleep", "1000", start_new_session=True)
    known = who(bystander.pid)
    try:
        for changes in (
            {"child": [[known.pid, known.start - 1]], "descendants": [[known.pid, known.start + 1]]},
            {"child": [[known.pid, known.start]], "boot": "an earlier one"},
            {"keeper": [[known.pid, known.start - 1]]},
        ):
            (tmp_path / "run" / "c" / "record.json").write_text(json.dumps({**stale, **changes}))
            assert await adopt("c", tmp_path / "run") is None
            (tmp_path / "run" / "c" / "record.json").write_text(json.dumps({**stale, **changes}))
            again = await start(tmp_path, "quiet")
            await again.stop()
            assert alive(known)
    finally:
        bystander.kill()
        await bystander.wait()


# -------------------------------------------------------------------------------- killed at any moment (row 15)


async def kill_while_launching(place: Path, delay: float) -> str:
    """Kill a controller `delay` seconds after it began to launch: what became of the child."""
    async with controller("launch", str(place / "run"), "c", "60", "escape") as lost:
        await asyncio.sleep(delay)
        lost.kill()
        await lost.wait()
    child = await adopt("c", place / "run")
    if child is not None:
        assert recorded(record(place), "child") == [who(child.pid)]
        await child.stop()
    await until(lambda: is_free(home(place)))
    await until(lambda: not remnants(place))  # a keeper that was only just born finds nobody, and leaves
    return "none" if child is None else "adopted"


async def launch_time(place: Path) -> float:
    """Seconds that another controller needs to launch a child here and now."""
    async with controller("launch", str(place / "run"), "c", "0", "escape") as other:
        begin = time.monotonic()
        await line_of(other)
        return time.monotonic() - begin


def remnants(place: Path) -> list[psutil.Process]:
    """Processes that belong to this test's folder, recorded or not: they live in it, or their arguments name it."""
    found = psutil.process_iter(["cwd", "cmdline", "status"])
    return [one for one in found if mentions(one.info, str(place)) and one.info["status"] != psutil.STATUS_ZOMBIE]


def mentions(facts: dict[str, Any], place: str) -> bool:
    return facts["cwd"] == place or any(place in word for word in facts["cmdline"] or ())


async def test_a_controller_killed_at_any_moment_of_a_launch_leaves_no_stray(tmp_path: Path) -> None:
    await kill_often(tmp_path, 8)


@pytest.mark.proof
async def test_a_hundred_controllers_killed_while_launching_leave_no_stray(tmp_path: Path) -> None:
    await kill_often(tmp_path, 100)


async def kill_often(place: Path, times: int) -> None:
    whole = await launch_time(place)
    await until(lambda: is_free(home(place)))
    dice = random.Random(15)
    outcomes = [await kill_while_launching(place, dice.uniform(0, 1.5 * whole)) for _ in range(times)]
    print({outcome: outcomes.count(outcome) for outcome in set(outcomes)})


# ---------------------------------------------------------------------------------------------------- the protocol


async def test_an_unknown_verb_and_nonsense_are_no_harm(tmp_path: Path) -> None:
    child = await start(tmp_path, "quiet")
    reader, writer = await asyncio.open_unix_connection(home(tmp_path).socket)
    writer.write(b"nonsense\n[1]\n" + encode({"do": "dance", "id": 7, "to": "the music"}))
    assert json.loads(await reader.readline()) == {"v": 1, "say": "unknown", "id": 7}
    for wrong in ({"do": ["list"]}, {"do": "note"}, {"do": "tail", "size": "x"}, {"do": "stop", "grace": "soon"}):
        writer.write(encode({**wrong, "id": 8}))
        assert json.loads(await reader.readline()) == {"v": 1, "say": "unknown", "id": 8}
    assert alive(who(child.pid))
    writer.close()
    await writer.wait_closed()
    await child.stop()


async def test_a_controller_that_does_not_read_does_not_hold_the_keeper_up(tmp_path: Path) -> None:
    child = await start(tmp_path, "talk")
    reader, writer = await asyncio.open_unix_connection(home(tmp_path).socket)
    for number in range(500):  # 500 answers of some KB each, none of them read
        writer.write(encode({"do": "tail", "id": number, "size": 65536}))
    await child.annotate(still="answers")
    writer.close()
    await child.stop()


async def test_a_keeper_keeps_nothing_of_python_that_it_does_not_need(tmp_path: Path) -> None:
    listing = "; print(*(name for name in sys.modules))"
    code = child_module.BOOT.replace("; main()", listing)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-c", code, child_module.ROOT, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    loaded = {name.partition(".")[0] for name in out.decode().split()}
    assert not loaded & {"asyncio", "typing", "subprocess", "threading", "hashlib", "dataclasses", "inspect", "logging"}
    assert loaded <= set(sys.stdlib_module_names) | {"controller", "__main__"}


def on_a_mac(flaky: Path | str = "") -> str:
    """What starts a keeper that takes this machine for a Mac (`tests/fakes/mac.py`)."""
    pretend = f"sys.path.append(sys.argv[1]); from tests.fakes.mac import pretend; pretend({str(flaky)!r}); "
    return child_module.BOOT.replace("import sys; ", f"import sys; {pretend}")


@on_linux
async def test_on_a_mac_the_tree_is_found_through_libproc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "BOOT", on_a_mac())
    child = await start(tmp_path, "escape_unlocked")
    await until(child.descendants)
    [left] = [who(one.pid) for one in child.descendants()]
    os.kill(child.pid, signal.SIGKILL)
    assert await child.wait() == Exit(None, signal.SIGKILL, False)
    assert not alive(left)


@on_linux
@pytest.mark.parametrize("program", ["quiet", "ignore_term", "escape"])
async def test_on_a_mac_a_child_is_stopped_with_all_below_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(child_module, "BOOT", on_a_mac())
    child = await start(tmp_path, program, grace=0.5)
    await until(lambda: b"ready" in (tmp_path / "logs" / "c.log").read_bytes())
    ended = await child.stop()
    assert ended.signal == (signal.SIGKILL if program == "ignore_term" else signal.SIGTERM)
    assert is_free(home(tmp_path))


@on_linux
async def test_on_a_mac_the_next_controller_adopts_and_what_a_dead_keeper_left_is_cleared_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "BOOT", on_a_mac())
    child = await start(tmp_path, "quiet")
    await child.release()
    again = await adopt("c", tmp_path / "run")
    assert again is not None
    assert (again.pid, again.adopted, again.age >= 0) == (child.pid, True, True)
    assert (await again.stop()).signal == signal.SIGTERM


@on_linux
async def test_while_the_processes_cannot_be_listed_nobody_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flaky = tmp_path / "flaky"
    monkeypatch.setattr(child_module, "BOOT", on_a_mac(flaky))
    child = await start(tmp_path, "escape_unlocked")
    await until(child.descendants)
    [left] = [who(one.pid) for one in child.descendants()]
    flaky.touch()
    await until(lambda: flaky.stat().st_size > 1)  # looks that see nothing
    assert [one.pid for one in child.descendants()] == [left.pid]
    os.kill(child.pid, signal.SIGKILL)
    ended, seen = asyncio.ensure_future(child.wait()), flaky.stat().st_size
    await until(lambda: flaky.stat().st_size > seen + 1)
    assert not ended.done()  # who may still be there is not called gone
    flaky.unlink()
    assert await ended == Exit(None, signal.SIGKILL, False)
    assert not alive(left)


def test_a_child_is_kept_on_uvloop_too(tmp_path: Path) -> None:
    async def live() -> None:
        child = await start(tmp_path, "quiet")
        assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
        await child.annotate(on="uvloop")
        await child.release()
        child = await adopted(tmp_path)
        assert (await child.stop()).signal == signal.SIGTERM

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(live())


# ---------------------------------------------------------------------------------------------------- the log


async def test_whatever_the_child_writes_its_log_is_clean(tmp_path: Path) -> None:  # row 22
    child = await start(tmp_path, "dirt")
    assert (await child.wait()).code == 0
    text = (tmp_path / "logs" / "c.log").read_text()
    lines = text.splitlines()
    assert [len(line) for line in lines[:5]] == [65536] * 4 + [300_000 - 4 * 65536]
    assert lines[5:] == [
        "nul?nul",
        "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} bad",
        "red",
        "key [redacted], Authorization: [redacted]",
        "no end",
    ]
    assert (await child.tail(40)).endswith(b"no end")
    assert (tmp_path / "logs" / "c.log").stat().st_mode & 0o777 == 0o600


async def test_a_deleted_log_folder_is_told_and_the_log_goes_on(tmp_path: Path) -> None:  # row 23
    (tmp_path / "disk").mkdir()
    log = tmp_path / "disk" / "logs" / "c.log"
    child = await start(tmp_path, "talk", log_file=str(log))
    await until(lambda: log.exists() and log.stat().st_size > 0)
    (tmp_path / "disk").rename(tmp_path / "gone")
    await until(lambda: child.dropped > 0)
    assert b"line" in await child.tail()  # the child was read all the while
    (tmp_path / "disk").mkdir()
    await until(lambda: log.exists() and "line" in log.read_text())
    await child.stop()
    numbers = [int(number) for number in re.findall(r"line (\d+)", log.read_text())]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert re.match(r'{"dropped_bytes": \d+}\n', log.read_text())
    shutil.rmtree(tmp_path / "gone")


async def flooded(place: Path, seconds: float) -> tuple[int, Child, int]:
    """Let a child write as fast as it can: the bytes it wrote, the child, the most memory its keeper had, in KiB."""
    child = await start(place, "flood", str(seconds))
    memory = 0
    waiting = asyncio.create_task(child.wait())
    while not waiting.done():
        with suppress(psutil.NoSuchProcess):
            memory = max(memory, resident(child.keeper_pid))
        await asyncio.wait([waiting], timeout=0.05)
    assert await waiting == Exit(0, None, False)
    found = re.search(rb"wrote (\d+)", await child.tail())
    assert found is not None, "the last words of a flood must be kept"
    return int(found[1]), child, memory


def resident(pid: int) -> int:
    """Memory of a process in KiB."""
    rss: int = psutil.Process(pid).memory_info().rss
    return rss // 1024


def checked_log(place: Path, wrote: int, seconds: float) -> int:
    """The bytes dropped from a flood's log, after a look at each of its lines."""
    logs = sorted((place / "logs").iterdir())
    kept = dropped = 0
    for log in logs:
        for line in log.read_bytes().splitlines(keepends=True):
            if line.startswith(b"{"):
                dropped += int(json.loads(line)["dropped_bytes"])
            elif not line.startswith(b"wrote") and line.strip():
                assert re.fullmatch(rb"\d{6} the quick brown fox jumps over the lazy dog\n", line)
                kept += len(line)
    assert kept <= BURST + RATE * (seconds + 1)
    assert wrote <= kept + dropped <= wrote + 100
    return dropped


async def test_a_flood_is_cut_down_to_its_budget_and_every_byte_accounted_for(tmp_path: Path) -> None:  # row 21
    wrote, child, memory = await flooded(tmp_path, 2.0)
    dropped = checked_log(tmp_path, wrote, 2.0)
    print(f"{wrote / 2e6:.0f} MB/s, {dropped / 1e6:.0f} MB dropped, keeper {memory / 1024:.1f} MiB")
    assert child.dropped == dropped
    assert memory < 48 * 1024


@pytest.mark.proof
async def test_a_flood_costs_little_memory_and_little_of_the_childs_speed(tmp_path: Path) -> None:  # row 21
    free = await discarded(6.0)
    wrote, _, memory = await flooded(tmp_path, 6.0)
    print(f"discarded {free / 6e6:.0f} MB/s, kept {wrote / 6e6:.0f} MB/s, keeper {memory / 1024:.1f} MiB")
    assert memory <= 32 * 1024
    assert wrote >= 0.5 * free


async def discarded(seconds: float) -> int:
    """What the flood writes to a reader that only discards."""
    spec = unruly_spec("d", Path("/"), "flood", str(seconds))
    reader = "import os\nlast = chunk = b' '\nwhile chunk: last, chunk = chunk, os.read(0, 1 << 18)\nprint(last)"
    output, into = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, PIPE)
    writer = await asyncio.create_subprocess_exec(*spec.argv, stdout=into)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-c", reader, stdin=output, stdout=asyncio.subprocess.PIPE
    )
    os.close(into)
    os.close(output)
    out, _ = await process.communicate()
    await writer.wait()
    found = re.search(rb"wrote (\d+)", out)
    assert found is not None
    return int(found[1])


@pytest.mark.proof
async def test_a_keeper_is_small_and_starts_quickly(tmp_path: Path) -> None:
    times = []
    for _ in range(10):
        begin = time.monotonic()
        child = await start(tmp_path, "quiet")
        times.append(time.monotonic() - begin)
        memory = resident(child.keeper_pid)
        await child.stop()
    print(f"keeper {memory / 1024:.1f} MiB, launched in {1000 * sorted(times)[5]:.0f} ms")
    assert memory <= 15 * 1024
    assert sorted(times)[5] < 0.3


@pytest.mark.proof
async def test_an_end_is_noticed_within_fifty_milliseconds(tmp_path: Path) -> None:  # rows 19 and 20
    times = []
    for _ in range(10):
        child = await start(tmp_path, "escape")
        await until(child.descendants)
        begin = time.monotonic()
        os.kill(child.pid, signal.SIGKILL)
        await child.wait()
        times.append(time.monotonic() - begin)
    print(f"noticed, and its tree gone, in {1000 * sorted(times)[5]:.0f} ms")
    assert sorted(times)[5] < 0.05


@pytest.mark.proof
async def test_a_thousand_stale_records_harm_nobody(tmp_path: Path) -> None:  # row 17
    known = who(os.getpid())
    rows = table()
    for shift in range(1, 501):
        for start in (known.start - shift, known.start + shift):
            assert not survivors([ProcessIdentity(known.pid, start)], rows)
