"""How often the residents look, and how long they wait."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ResidentPace:
    """Seconds. Tests take shorter ones."""

    tick: float = 1.0  # between two looks at memory, idle models, processes
    poll: float = 5.0  # between two looks at an engine's own list …
    poll_limit: float = 2.0  # … which may be late while it loads: busy, not dead
    look: float = 1.0  # between two looks at memory that has to come back …
    back: float = 3.0  # … and for that of a process that has ended to be free again
    forgets: float = 0.1  # for an engine to strike one off its list whose process has ended
    suspected: float = 1.0  # for an unloaded runner to be gone whose slot got lost, before it is killed
    lost: float = 2.0  # for the word that the engine itself went, after it went away in the middle of a load
    aside: float = 600.0  # a runner whose load keeps crashing
