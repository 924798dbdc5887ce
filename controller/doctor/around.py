"""What a look at the machine has at hand, the same for the doctor himself and for each engine's own look."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from controller.config.schema import Config
from controller.doctor.findings import EngineSeen, PublicAnswer
from controller.errors import SeadragonError
from controller.obtain.find import fault_of, unrunnable
from controller.paths import Paths
from controller.supervision.programs import unfit_words
from controller.supervision.tools import RunTool, ToolSaid

TOOL = 5.0  # seconds a tool may take


@dataclass(frozen=True, slots=True)
class Hands:
    """What the doctor works with: where other parts know better, it asks them."""

    load: Callable[[Path, Mapping[str, str]], tuple[Config, tuple[str, ...]]]  # raises SeadragonError; and warnings
    find: Callable[[str, Path | None, Mapping[str, str]], Path | None]  # a program by its name, or where it should be
    run: RunTool
    ask: Callable[[list[str]], list[PublicAnswer]]  # our own public names, over the internet
    engines: Sequence[Callable[[Around], EngineSeen]] = ()  # each engine's own look


@dataclass(frozen=True, slots=True)
class Around:
    """What is known of this machine before the engines are looked at."""

    paths: Paths
    environment: Mapping[str, str]
    hands: Hands
    platform: str  # sys.platform
    config: Config
    running: Mapping[str, object] | None  # what the running controller says of itself
    ours: frozenset[int]  # processes that we run
    addresses: frozenset[str]  # where we listen, or would

    def tell(self, argv: Sequence[str]) -> ToolSaid | None:
        """Run a tool to its end; None: it could not be run."""
        with contextlib.suppress(SeadragonError, OSError):
            return asyncio.run(self._said(argv))
        return None

    async def _said(self, argv: Sequence[str]) -> ToolSaid:
        return await self.hands.run(argv, limit=TOOL)

    def kept(self, process: psutil.Process) -> bool:
        """Whether a keeper of this data folder holds it: ours, though no controller runs at the moment."""
        with contextlib.suppress(psutil.Error):
            parent, keeper = process.parent(), f"keeper of {self.paths.run}{os.sep}"
            return parent is not None and any(word.startswith(keeper) for word in parent.cmdline())
        return False


def children_of(running: Mapping[str, object] | None) -> Iterator[dict[str, object]]:
    """The status of each child, as the running controller tells it."""
    children = running.get("children") if running else None
    yield from children.values() if isinstance(children, dict) else ()


def why_unrunnable(name: str, configured: Path | None, environment: Mapping[str, str], setting: str) -> str:
    """Why a program that is there cannot be run; empty when there is none."""
    there = configured or unrunnable(name, environment)
    if there is None or (fault := fault_of(there)) in (None, "missing"):
        return ""
    return unfit_words(there, fault, setting)
