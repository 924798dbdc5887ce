"""Liveness is not progress: whether a runner with answers in flight works, is stuck, or was stopped. Pure arithmetic.

A runner answers its own health check while its slots are dead, so other things are looked at: the bytes
of its answers, its processor time, the GPU, and how far it says its slots are. One that uses either, or gets further,
is at work, however long it brings nothing; one that was asked and says it has nothing to do is not.
The GPU of a Mac tells how busy it is for everybody, and how long it has worked for each process. The first says nothing
while a display, or another model, keeps it busy; the second may move only when a whole batch is done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from controller.engines.engine import SlotStates

_GAPS = 100  # silences between two pieces of an answer that are remembered


class Verdict(StrEnum):
    """On one runner."""

    BUSY = "busy"  # or not long enough silent to tell
    STUCK = "stuck"
    STOPPED = "stopped"  # somebody sent it a SIGSTOP: it will never go on by itself


@dataclass(frozen=True, slots=True)
class Rule:
    """When silence is more than work. Seconds, unless said otherwise."""

    first: float = 30.0  # without a first byte, at least …
    slack: float = 0.25  # … or as long as the prompt takes at this share of the usual speed
    silence: float = 20.0  # in mid-answer, at least …
    gaps: float = 20.0  # … or so many times the 99th percentile of its own gaps
    window: float = 10.0  # without a byte, over which processor and GPU are measured
    processor: float = 0.02  # share of one processor that is not yet work
    gpu: float = 3.0  # percent that is not yet work; if it is busier …
    gpu_rest: float = 90.0  # … then not for this runner, once it has not worked for it for so long
    apart: float = 5.0  # it must still look stuck after so long


@dataclass(frozen=True, slots=True)
class Flight:
    """One answer that is being written."""

    number: int  # of its ticket
    granted: float
    moved: int  # bytes so far
    prompt: float = 0.0  # seconds its prompt should take at the usual speed; 0: nobody knows


@dataclass(frozen=True, slots=True)
class Sample:
    """A runner at one moment."""

    at: float
    flights: tuple[Flight, ...]
    processor: float | None = None  # seconds its processes have used so far; None: it cannot be seen
    gpu: float | None = None  # percent, of the whole machine's; None: there is none, or the processor tells enough
    own_gpu: float | None = None  # seconds it has worked for its processes so far; None: nobody tells
    stopped: bool = False
    slots: SlotStates | None = None  # as it tells them itself; None: it does not


@dataclass(slots=True)
class _Bytes:
    """What one flight has brought, and since when nothing more."""

    granted: float
    moved: int
    since: float


class Progress:
    """What is remembered of one runner. A runner that cannot be seen is never stuck."""

    def __init__(self, rule: Rule | None = None) -> None:
        self._rule = rule or Rule()
        self._bytes: dict[int, _Bytes] = {}
        self._samples: deque[Sample] = deque()
        self._gaps: deque[float] = deque(maxlen=_GAPS)
        self._doubted: float | None = None
        self._rest: tuple[float, float] | None = None  # seconds the GPU has worked for it, and since when no more

    def see(self, sample: Sample) -> Verdict:
        """The verdict, with this newest sample."""
        self._forget_what_nobody_saw(sample.at)
        self._keep(sample)
        self._listen(sample)
        if sample.stopped:
            return Verdict.STOPPED
        if not (self._overdue(sample) and self._idle(sample.at)):
            self._doubted = None
            return Verdict.BUSY
        if self._doubted is None:
            self._doubted = sample.at
        return Verdict.STUCK if sample.at - self._doubted >= self._rule.apart else Verdict.BUSY

    def silent(self, flights: Iterable[Flight]) -> bool:
        """Whether some of them have brought nothing since the last sample: only then is a sample worth its price."""
        return any(each.moved == seen.moved if (seen := self._bytes.get(each.number)) else True for each in flights)

    def _forget_what_nobody_saw(self, now: float) -> None:
        """After a pause as long as the window, ours or the machine's, the evidence is too old."""
        if self._samples and now - self._samples[-1].at > self._rule.window:
            self._samples.clear()
            self._doubted = self._rest = None

    def _keep(self, sample: Sample) -> None:
        """All of the window, and one sample at its far end."""
        samples = self._samples
        samples.append(sample)
        while len(samples) > 1 and samples[1].at <= sample.at - self._rule.window:
            samples.popleft()
        if sample.own_gpu is None:
            self._rest = None
        elif self._rest is None or self._rest[0] != sample.own_gpu:
            self._rest = sample.own_gpu, sample.at

    def _listen(self, sample: Sample) -> None:
        before, self._bytes = self._bytes, {}
        for flight in sample.flights:
            seen = before.get(flight.number)
            if seen is None or seen.granted != flight.granted:
                seen = _Bytes(flight.granted, flight.moved, sample.at if flight.moved else flight.granted)
            elif flight.moved != seen.moved:
                if seen.moved:
                    self._gaps.append(sample.at - seen.since)
                self._samples = deque([sample])  # what moves is at work: the window begins anew
                seen.moved, seen.since = flight.moved, sample.at
            self._bytes[flight.number] = seen

    def _overdue(self, sample: Sample) -> bool:
        return any(sample.at - self._bytes[each.number].since >= self._patience(each) for each in sample.flights)

    def _patience(self, flight: Flight) -> float:
        rule = self._rule
        if flight.moved:
            return max(rule.silence, rule.gaps * self._usual_gap())
        return max(rule.first, flight.prompt / rule.slack)

    def _usual_gap(self) -> float:
        gaps = sorted(self._gaps)
        return gaps[ceil(0.99 * len(gaps)) - 1] if gaps else 0.0

    def _idle(self, now: float) -> bool:
        """Whether it did nothing, all through the window: by its processor, its own word, and the GPU where that does
        not tell.
        """
        oldest, newest = self._samples[0], self._samples[-1]
        if now - oldest.at < self._rule.window or oldest.processor is None or newest.processor is None:
            return False
        used = newest.processor - oldest.processor
        if not 0 <= used < self._rule.processor * (now - oldest.at):  # less than before: other processes by now
            return False
        told = [each.slots for each in self._samples if each.slots is not None]
        if len({each.far for each in told}) > 1:
            return False
        if len(told) == len(self._samples) and not any(each.working for each in told):
            return True
        if all(each.gpu is None or each.gpu < self._rule.gpu for each in self._samples):
            return True
        return self._rest is not None and now - self._rest[1] >= self._rule.gpu_rest
