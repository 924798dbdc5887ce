"""Part of the roof: being found. The lock, the control socket and the children's folders may be deleted under us. (The
database, and the keys that sessions are signed with: `doorroom.py`.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from controller.clock import Clock
from controller.control.server import Counter
from controller.errors import SeadragonError
from controller.events import Journal
from controller.machine.lock import Lock
from controller.paths import Paths
from controller.plain import fault_words
from controller.supervision.spec import ChildStatus

LOOK: Final = 15.0  # seconds between two looks


async def stay_found(held: Lock, counter: Counter, paths: Paths, clock: Clock, journal: Journal) -> None:
    """Make the lock and the control socket anew when somebody has deleted them, and tell. Until cancelled."""
    said = ""
    while True:
        await clock.sleep(LOOK)
        words = await _looked(held, counter, paths)
        if words and words != said:
            journal.say("controller", words, level="error")
        said = words


async def _looked(held: Lock, counter: Counter, paths: Paths) -> str:
    """What there is to tell."""
    try:
        anew = await asyncio.to_thread(held.keep)
        anew = await counter.keep() or anew  # only who holds the lock has the socket
    except SeadragonError as other:
        return f"The lock was deleted, and another Seadragon has it now: stop one of the two. {other}"
    except OSError as error:
        return f"Lock or control socket were deleted, and cannot be made anew: {fault_words(error)}. It is tried again."
    return f"Somebody has deleted lock or control socket in {paths.data}: they are made anew." if anew else ""


def can_be_found(paths: Paths, children: Iterable[ChildStatus]) -> bool:
    """Whether the next controller could take over what runs: else it would start all of it a second time."""
    return all((paths.run / child.name / "record.json").exists() for child in children if child.keeper_pid is not None)
