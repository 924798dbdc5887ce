"""When those who wait are looked at and told something. All in seconds; tests take smaller ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The same for every run."""

    sweep: float = 0.5  # between two looks at what is open: one timer for all calls, instead of one for each
    grace: float = 10.0  # of a stream without a byte, so that quick failures keep their true status
    every: float = 15.0  # of silence, at most, from then on
    silent: float = 240.0  # that a streamed /v1/responses may wait: Codex gives up on 300 s without a real event
    unproven: float = 2.0  # that a slot may bring nothing before it is suspected
    swap: float = 10.0  # that a question about the memory waits for the end of a swap, and for its answer
    told: float = 1.0  # of waiting from which an answer says how long it was
