"""All children by name: those of the configuration, and those that come and go beside them, such as one for each model
in memory. Orders go through here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field

from controller.supervision.programs import Note, Program
from controller.supervision.spec import ChildStatus
from controller.supervision.supervisor import Supervisor

Quiet = Callable[[str], AbstractAsyncContextManager[None]]
"""For a child's name: a block that begins once nothing in flight needs the child, and during which nothing new does."""


@dataclass
class _Member:
    supervisor: Supervisor
    running: asyncio.Task[None]
    wanted: Program | None  # None: dismissed
    added: bool  # not of the configuration
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    leaving: asyncio.Task[None] | None = None


class Roster:
    """Every child's supervisor. What takes long goes on in `tasks`; of several changes to one child the latest wins."""

    def __init__(self, tasks: asyncio.TaskGroup, make: Callable[[Program], Supervisor], quiet: Quiet) -> None:
        self._tasks = tasks
        self._make = make
        self._quiet = quiet
        self._members: dict[str, _Member] = {}
        self._changes: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[ChildStatus]:
        """How each is doing, in the order they were hired."""
        return iter([member.supervisor.status for member in self._members.values()])

    def note(self, name: str) -> Note:
        """What is known of its run now, or of its last. Raises KeyError."""
        return self._members[name].supervisor.note

    def become(self, programs: Iterable[Program], drained: Collection[str] = ()) -> None:
        """Have exactly these children, and those that were added. Those in `drained` restart only when what uses them
        is done. Returns at once.
        """
        wanted = {program.name: program for program in programs}
        for name, member in self._members.items():
            if name not in wanted and member.wanted is not None and not member.added:
                self._let_leave(name, member, nullcontext())
        for name, program in wanted.items():
            known = self._members.get(name)
            if known is None:
                self._hire(program)
            else:
                known.wanted, known.added = program, False
                self._later(self._change(known, program, name in drained))

    async def add(self, program: Program) -> ChildStatus:
        """Have one more child, which no configuration ends; how it is, once it is ready or has failed. It then stays
        until it is removed. One of its name that is leaving is waited for. Raises ValueError for a name that is taken.
        """
        while (known := self._members.get(program.name)) is not None:
            if known.wanted is not None or known.leaving is None:
                raise ValueError(f"there is a child {program.name} already")
            await asyncio.wait([known.leaving])
        supervisor = self._hire(program, added=True).supervisor
        await supervisor.start()
        return supervisor.status

    async def remove(self, name: str) -> None:
        """Stop a child that was added, once nothing in flight needs it, and know it no more. Returns when it is gone;
        it goes even if nobody waits for that. Raises KeyError.
        """
        member = self._members[name]
        if not member.added:
            raise KeyError(name)
        leaving = member.leaving if member.wanted is None else None
        await asyncio.shield(leaving or self._let_leave(name, member, self._quiet(name)))

    async def start(self, name: str) -> None:
        """Start it now. Raises KeyError."""
        await self._members[name].supervisor.start()

    async def stop(self, name: str) -> None:
        """Stop it, and keep it stopped. Raises KeyError."""
        await self._members[name].supervisor.stop()

    async def restart(self, name: str) -> None:
        """Stop and start it, once nothing in flight needs it. Raises KeyError."""
        member = self._members[name]
        async with self._quiet(name):
            await member.supervisor.restart()

    async def stop_all(self) -> None:
        """Stop every child; returns when all are gone."""
        await asyncio.gather(*(member.supervisor.stop() for member in self._members.values()))

    def let_go(self) -> None:
        """End the supervisors without stopping their children: keepers hold those for the next controller."""
        for task in (*self._changes, *(member.running for member in self._members.values())):
            task.cancel()

    def _later(self, change: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._tasks.create_task(change)
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return task

    def _hire(self, program: Program, *, added: bool = False) -> _Member:
        supervisor = self._make(program)
        running = self._tasks.create_task(supervisor.run(), name=f"supervisor {program.name}")
        member = self._members[program.name] = _Member(supervisor, running, program, added)
        return member

    def _let_leave(self, name: str, member: _Member, unneeded: AbstractAsyncContextManager[None]) -> asyncio.Task[None]:
        member.wanted = None
        member.leaving = self._later(self._dismiss(name, member, unneeded))
        return member.leaving

    async def _change(self, member: _Member, program: Program, drains: bool) -> None:
        async with member.turn:
            if member.wanted is not program:
                return  # a later change has overtaken this one
            async with self._quiet(program.name) if drains else nullcontext():
                await member.supervisor.reconfigure(program)

    async def _dismiss(self, name: str, member: _Member, unneeded: AbstractAsyncContextManager[None]) -> None:
        async with member.turn:
            if member.wanted is not None:
                return  # wanted again
            async with unneeded:
                await member.supervisor.stop()
            if member.wanted is None:
                member.running.cancel()
                del self._members[name]
                return
        await member.supervisor.start()
