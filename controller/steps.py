"""Commands carried out one after another, some of them again and again until they work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from controller.clock import Clock, SystemClock
from controller.errors import SeadragonError
from controller.supervision.tools import RunTool, ToolSaid

STEP_LIMIT = 60.0  # seconds for one command
PAUSE = 0.5  # seconds between two tries


@dataclass(frozen=True, slots=True)
class Step:
    """One command. Its failure ends the whole thing, if it is `needed`."""

    argv: tuple[str, ...]
    needed: bool = True
    fine: tuple[int, ...] = (0,)  # exit codes that are no failure
    limit: float = STEP_LIMIT  # seconds, all tries together
    until: Literal["once", "works", "fails"] = "once"  # tried again until it does
    waiting: str = ""  # what is told when the first try was not enough


async def walk(steps: Sequence[Step], run: RunTool, say: Callable[[str], None], clock: Clock | None = None) -> None:
    """Carry the steps out, one after another. Raises SeadragonError with the first that failed and was needed."""
    for step in steps:
        await _take(step, run, say, clock or SystemClock())


async def _take(step: Step, run: RunTool, say: Callable[[str], None], clock: Clock) -> None:
    end = clock.now() + step.limit
    while True:
        ended = await run(step.argv, limit=step.limit)
        if _done(step, ended.code):
            return
        if step.until == "once" or clock.now() >= end:
            break
        if step.waiting:
            say(step.waiting)
            step = replace(step, waiting="")
        await clock.sleep(PAUSE)
    if step.needed:
        raise SeadragonError(_failure(step, ended))


def _done(step: Step, code: int) -> bool:
    return code > 0 if step.until == "fails" else code in step.fine  # below 0: it was killed, which says nothing


def _failure(step: Step, ended: ToolSaid) -> str:
    command = " ".join(step.argv)
    if step.until == "fails":
        return f"The service did not end within {step.limit:g} s. Look at: sudo {command}"
    return f"`{command}` left with exit code {ended.code}: {ended.err.decode(errors='replace').strip()}"
