"""Children that come and go beside those of the configuration, with real keepers and processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from controller.clock import SystemClock
from controller.config.processes import ChildSettings
from controller.events import Journal
from controller.supervision.program_further import Further
from controller.supervision.roster import Roster
from controller.supervision.spec import ChildState, ChildStatus
from controller.supervision.supervisor import Supervisor
from tests.kit.supervised import QUICK, place
from tests.kit.until import until

SLEEP = ("sleep", "1000")


@dataclass
class Children:
    """A roster below a folder; what is in use is told by the test."""

    folder: Path
    roster: Roster
    used: dict[str, asyncio.Event] = field(default_factory=dict)  # by name: set as soon as nothing needs it any more

    def program(self, name: str, command: tuple[str, ...] = SLEEP) -> Further:
        return Further(name, ChildSettings(command=command, stop_grace=3), place(self.folder))

    @property
    def names(self) -> list[str]:
        return [each.name for each in self.roster]

    def status(self, name: str) -> ChildStatus:
        return next(each for each in self.roster if each.name == name)

    async def ready(self, name: str) -> ChildStatus:
        await until(lambda: self.status(name).state is ChildState.READY)
        return self.status(name)


@asynccontextmanager
async def children(folder: Path, *, stop: bool = True) -> AsyncIterator[Children]:
    clock = SystemClock()
    journal = Journal(clock)

    def quiet(name: str) -> AbstractAsyncContextManager[None]:
        return _unused(all_of.used[name]) if name in all_of.used else nullcontext()

    async with asyncio.TaskGroup() as tasks:
        roster = Roster(
            tasks,
            lambda program: Supervisor(
                program,
                home=place(folder).home,
                clock=clock,
                journal=journal,
                adopt_grace=lambda: 20.0,
                pace=QUICK,
            ),
            quiet,
        )
        all_of = Children(folder, roster)
        yield all_of
        if stop:
            await roster.stop_all()
        roster.let_go()


@asynccontextmanager
async def _unused(event: asyncio.Event) -> AsyncIterator[None]:
    await event.wait()
    yield


async def test_a_child_is_added_while_others_run_and_is_gone_when_it_is_removed(tmp_path: Path) -> None:
    async with children(tmp_path) as all_of:
        all_of.roster.become([all_of.program("awake")])
        status = await all_of.roster.add(all_of.program("model.1"))
        assert (status.state, all_of.names) == (ChildState.READY, ["awake", "model.1"])
        assert status.pid is not None
        assert psutil.pid_exists(status.pid)
        await all_of.roster.remove("model.1")
        assert all_of.names == ["awake"]
        assert not psutil.pid_exists(status.pid)
        assert (await all_of.ready("awake")).restarts == 0


async def test_a_new_configuration_leaves_alone_what_was_added_and_leaving_stops_it_too(tmp_path: Path) -> None:
    async with children(tmp_path) as all_of:
        all_of.roster.become([all_of.program("awake")])
        pid = (await all_of.roster.add(all_of.program("model.1"))).pid
        all_of.roster.become([])
        await until(lambda: all_of.names == ["model.1"])
        assert (await all_of.ready("model.1")).pid == pid
    assert pid is not None
    assert not psutil.pid_exists(pid)


async def test_one_that_is_in_use_leaves_only_when_nothing_in_flight_needs_it(tmp_path: Path) -> None:
    async with children(tmp_path) as all_of:
        all_of.used["model.1"] = asyncio.Event()
        pid = (await all_of.roster.add(all_of.program("model.1"))).pid
        removal = asyncio.create_task(all_of.roster.remove("model.1"))
        other = await all_of.roster.add(all_of.program("model.2"))  # a whole start and stop fit in meanwhile
        await all_of.roster.remove("model.2")
        assert other.state is ChildState.READY
        assert all_of.status("model.1").pid == pid
        assert not removal.done()
        all_of.used["model.1"].set()
        await removal
        assert all_of.names == []


async def test_whoever_stops_waiting_for_a_removal_does_not_stop_it(tmp_path: Path) -> None:
    async with children(tmp_path) as all_of:
        all_of.used["model.1"] = asyncio.Event()
        await all_of.roster.add(all_of.program("model.1"))
        removal = asyncio.create_task(all_of.roster.remove("model.1"))
        await asyncio.sleep(0)
        removal.cancel()
        again = asyncio.create_task(all_of.roster.remove("model.1"))
        all_of.used["model.1"].set()
        await again
        assert all_of.names == []


async def test_a_name_is_one_child_s_until_that_has_left(tmp_path: Path) -> None:
    async with children(tmp_path) as all_of:
        all_of.used["model.1"] = asyncio.Event()
        first = await all_of.roster.add(all_of.program("model.1"))
        with pytest.raises(ValueError, match=r"model\.1 already"):
            await all_of.roster.add(all_of.program("model.1"))
        removal = asyncio.create_task(all_of.roster.remove("model.1"))
        await asyncio.sleep(0)
        coming = asyncio.create_task(all_of.roster.add(all_of.program("model.1")))
        await asyncio.sleep(0)
        all_of.used.pop("model.1").set()
        await removal
        second = await coming
        assert second.state is ChildState.READY
        assert second.pid != first.pid


async def test_one_that_cannot_start_says_so_and_can_be_removed(tmp_path: Path) -> None:
    async with children(tmp_path) as all_of:
        status = await all_of.roster.add(all_of.program("model.1", ("/nowhere/at-all",)))
        assert status.state is ChildState.MISCONFIGURED
        assert "/nowhere/at-all" in status.reason
        await all_of.roster.remove("model.1")
        assert all_of.names == []


async def test_only_what_was_added_can_be_removed(tmp_path: Path) -> None:
    async with children(tmp_path) as all_of:
        all_of.roster.become([all_of.program("awake")])
        for name in ("awake", "nobody"):
            with pytest.raises(KeyError, match=name):
                await all_of.roster.remove(name)
        assert all_of.names == ["awake"]


async def test_the_next_controller_that_adds_it_again_adopts_it(tmp_path: Path) -> None:
    async with children(tmp_path, stop=False) as all_of:
        pid = (await all_of.roster.add(all_of.program("model.1"))).pid
    async with children(tmp_path) as all_of:
        status = await all_of.roster.add(all_of.program("model.1"))
        assert (status.pid, status.adopted) == (pid, True)


async def test_a_stop_right_after_a_start_is_what_counts(tmp_path: Path) -> None:
    async with children(tmp_path) as all_of:
        all_of.roster.become([all_of.program("awake")])
        await all_of.roster.stop("awake")
        assert all_of.status("awake").state is ChildState.STOPPED
