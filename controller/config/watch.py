"""The loop that makes a save take effect: notice, read, validate, compare, apply. The latest save wins.

What runs changes only through `apply`, and only for a configuration that holds in every respect. A broken, emptied or
vanished file is told and changes nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final

from watchfiles import awatch
from watchfiles.main import FileChange

from controller.clock import Clock
from controller.config.change import Change, compare
from controller.config.last_good import keep_last_good
from controller.config.load import ROOTS, LoadedConfig, digest, read_texts, understand
from controller.config.problem import ConfigInvalid, Problem
from controller.config.schema import Config
from controller.config.start import StartPlan
from controller.errors import NotApplied
from controller.events import Journal

Apply = Callable[[Config, Config, Change], Awaitable[None]]

_DEBOUNCE: Final = 200  # milliseconds of saves that are taken as one, at most
_STEP: Final = 50  # milliseconds of quiet that end them
_SETTLED: Final = (
    0.05  # seconds between two readings that must agree, so that no half-written file is taken for a whole
)
_TRIES: Final = 20

Stamp = tuple[str, int, int, int]
"""What tells one state of a file from another without reading it: its name and some facts about it."""


class Watch:
    """Keeps what runs and what the YAML says the same, for as long as `run` runs.

    `apply(old, new, change)` puts a new configuration to work. It starts what takes long and returns; if it raises, it
    has left the old one running. After a start that was not from the YAML on disk (an older copy, or safe mode) it is
    called for the first good YAML even when nothing differs from what runs.
    """

    def __init__(
        self,
        folder: Path,
        start: StartPlan,
        *,
        data: Path,
        apply: Apply,
        journal: Journal,
        clock: Clock,
        environment: Mapping[str, str],
        poll: float = 5.0,
    ) -> None:
        """`poll` is in seconds: how late a save is noticed at worst, should the system's own notice fail."""
        self._folder, self._data, self._environment = folder, data, environment
        self._apply, self._journal, self._clock, self._poll = apply, journal, clock, poll
        self.running = start.loaded.config if start.loaded else Config()
        self.problems = start.problems
        self._from_disk = start.kind == "run"
        self._loaded = start.loaded
        self._warnings = set(start.loaded.warnings) if start.loaded else set()
        self._may_heal = bool(start.problems)
        self._turn = asyncio.Lock()
        self._told = asyncio.Event()
        self._moved = asyncio.Event()
        self._watched: frozenset[Stamp] = frozenset()

    async def run(self) -> None:
        """Notice saves and act on them until cancelled."""
        if self._from_disk and self._loaded is not None:
            await self._keep(self._loaded)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._notice(), name="config: notice")
            tasks.create_task(self._look_again(), name="config: poll")
            while True:
                await self._told.wait()
                self._told.clear()
                try:
                    await self.reload_now()
                except (ConfigInvalid, NotApplied):
                    continue  # said in the journal, and kept in `problems`

    async def reload_now(self) -> list[str]:
        """Read the YAML and put it to work. Returns what changed, one sentence each.

        Raises ConfigInvalid or NotApplied; the old configuration then goes on.
        """
        async with self._turn:
            try:
                texts = await self._settled()
                if self._is_known(texts):
                    return []
                self._refuse_lost(texts)
                loaded = await asyncio.to_thread(understand, texts, self._folder, self._environment)
            except ConfigInvalid as invalid:
                self._may_heal = any(problem.outside for problem in invalid.problems)
                self._blame([str(problem) for problem in invalid.problems])
                raise
            return await self._put_to_work(loaded)

    async def _put_to_work(self, loaded: LoadedConfig) -> list[str]:
        change = compare(self.running, loaded.config)
        if change or not self._from_disk:
            try:
                await self._apply(self.running, loaded.config, change)
            except Exception as error:  # whatever part of the program fails here, the old configuration goes on
                self._may_heal = False
                said = f"The new configuration could not be put to work: {error}"
                self._blame([said])
                raise NotApplied(said) from error
        self._adopt(loaded, change)
        await self._keep(loaded)
        return list(change.sentences)

    def _adopt(self, loaded: LoadedConfig, change: Change) -> None:
        recovered, self.problems = bool(self.problems), ()
        self.running, self._from_disk = loaded.config, True
        self._loaded, self._may_heal = loaded, False
        if change:
            self._journal.say("config", f"Reloaded: {'; '.join(change.sentences)}.", changes=list(change.sentences))
        elif recovered:
            self._journal.say("config", "The YAML is good again, and is what runs.")
        for warning in loaded.warnings:
            if warning not in self._warnings:
                self._journal.say("config", warning, level="warning")
        self._warnings = set(loaded.warnings)

    def _blame(self, lines: Sequence[str]) -> None:
        """Say once why the YAML is not used."""
        if tuple(lines) == self.problems:
            return
        self.problems = tuple(lines)
        more = f" And {len(lines) - 1} more." if len(lines) > 1 else ""
        text = f"The YAML is not used, and what runs stays as it is. {lines[0]}.{more}"
        self._journal.say("config", text, level="error", problems=list(lines))

    async def _settled(self) -> dict[str, bytes]:
        """The files, once two readings agree: a save in progress is not a save."""
        texts = await asyncio.to_thread(read_texts, self._folder)
        for _ in range(_TRIES):
            await self._clock.sleep(_SETTLED)
            again = await asyncio.to_thread(read_texts, self._folder)
            if again == texts:
                break
            texts = again
        return texts

    def _is_known(self, texts: Mapping[str, bytes]) -> bool:
        """Whether this is what runs already: the same bytes, and no secret that has changed since."""
        if self._loaded is None or not self._from_disk or self.problems or self._loaded.secrets:
            return False
        return digest(texts) == self._loaded.digest

    def _refuse_lost(self, texts: Mapping[str, bytes]) -> None:
        """Refuse files that have lost something against what runs. At a start a missing or empty file means its
        defaults; in a running house it is an accident.
        """
        known = self._loaded.texts if self._loaded else {}
        lost = ((name, _lost(text, texts.get(name))) for name, text in known.items())
        problems = [
            Problem(self._folder / name, 1, 1, name.removesuffix(".yaml"), *mistake)
            for name, mistake in lost
            if mistake
        ]
        if problems:
            raise ConfigInvalid(tuple(problems))

    async def _keep(self, loaded: LoadedConfig) -> None:
        try:
            await asyncio.to_thread(keep_last_good, self._data, loaded.texts)
        except OSError as error:
            said = f"No copy of the good configuration could be kept in {self._data}: {error.strerror}."
            self._journal.say("config", said, level="warning")

    async def _notice(self) -> None:
        """Ask the system to tell of changes in the folders that matter, and follow them when they are replaced."""
        while True:
            self._watched, self._moved = self._places(), asyncio.Event()
            folders = [folder for folder, *_ in self._watched]
            self._told.set()  # what was saved before the system listens
            try:
                async with aclosing(_saves(folders, self._moved)) as saves:
                    async for _ in saves:
                        self._told.set()
                        if self._places() != self._watched:
                            break
            except OSError:  # a folder that is gone, or no inotify watches left: the poll notices instead
                await self._clock.sleep(self._poll)

    async def _look_again(self) -> None:
        """The safety net: compare stamps every `poll` seconds, and try again what may have healed by itself."""
        before = self._stamps()
        while True:
            await self._clock.sleep(self._poll)
            stamps = self._stamps()
            if stamps != before or (self.problems and self._may_heal):
                self._told.set()
            if self._places() != self._watched:
                self._moved.set()
            before = stamps

    def _stamps(self) -> list[Stamp | None]:
        secrets = self._loaded.secrets if self._loaded else ()
        return [_stamp(path) for path in (*self._files(), *secrets)]

    def _files(self) -> list[Path]:
        return [self._folder / f"{root}.yaml" for root in ROOTS]

    def _places(self) -> frozenset[Stamp]:
        """The folders in which a save, an atomic rename or a swapped link would show, each as it is now."""
        folders = {os.path.realpath(self._folder)}
        folders |= {os.path.dirname(os.path.realpath(file)) for file in self._files()}
        if self._folder.is_symlink():
            folders.add(os.path.realpath(self._folder.parent))
        return frozenset(filter(None, map(_identity, folders)))


def _lost(known: bytes, now: bytes | None) -> tuple[str, str] | None:
    """What a file seems to have lost, and what would be right instead; None for a file that is whole."""
    if now is None:
        return "no file any more", "the file put back; a start without it uses its defaults"
    if known.strip() and not now.strip():
        return "an empty file", "something in it; a comment alone means that all its defaults are wanted"
    if known != now and known.startswith(now) and not now.endswith(b"\n"):
        return "a file that breaks off in the middle of a line", "the rest of it, or a line break at its end"
    return None


def _saves(folders: Sequence[str], stop: asyncio.Event) -> AsyncGenerator[set[FileChange], None]:
    return awatch(*folders, watch_filter=None, debounce=_DEBOUNCE, step=_STEP, recursive=False, stop_event=stop)


def _stamp(path: Path) -> Stamp | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return str(path), facts.st_ino, facts.st_size, facts.st_mtime_ns


def _identity(folder: str) -> Stamp | None:
    try:
        facts = os.stat(folder)
    except OSError:
        return None
    return folder, facts.st_dev, facts.st_ino, 0
