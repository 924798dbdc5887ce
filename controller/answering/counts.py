"""What became of runs, in plain integers: counted on the hot path, turned into metrics only when somebody asks."""

from __future__ import annotations


class RunCounts:
    """They only grow, but for `streams` and `held`."""

    __slots__ = ("held", "replays", "streams", "suspected")

    def __init__(self) -> None:
        self.streams = 0  # answers being passed on now
        self.held = 0  # calls that wait for upstream now
        self.replays = 0
        self.suspected = 0  # unproven slots that brought nothing and whose runner was ended
