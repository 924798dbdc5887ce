"""Which of the answers that bring nothing are being worked on all the same. Pure.

A tool call, a long prompt and an answer in one piece bring nothing for minutes by nature: only the runner knows whether
it gets on with them. What it does for a neighbour is no progress of a silent one. Some runners tell how far each slot
is; of one that does not, only one thing is known: whether it works at all.
"""

from __future__ import annotations

from collections.abc import Collection

from controller.engines.engine import SlotStates
from controller.residency.progress import Rule, Sample

_STALE = 3  # windows after which an older look says nothing of now


class Silence:
    """What is remembered of one runner."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._before: Sample | None = None

    def see(self, sample: Sample) -> Collection[int]:
        """The numbers of the silent flights that are worked on, once in a window; in between nothing."""
        before = self._before
        if before is None or sample.at - before.at > _STALE * self._rule.window:
            self._before = sample
            return ()
        if sample.at - before.at < self._rule.window:
            return ()
        self._before = sample
        return self._worked_on(before, sample)

    def _worked_on(self, before: Sample, now: Sample) -> Collection[int]:
        old = {(each.number, each.granted): each for each in before.flights}
        lasting = [(each, old[each.number, each.granted]) for each in now.flights if (each.number, each.granted) in old]
        silent = [flight.number for flight, then in lasting if flight.moved == then.moved]
        moving = len(lasting) - len(silent)
        if not silent:
            return ()
        if before.slots is not None and now.slots is not None:
            return silent if _advancing(before.slots, now.slots) > moving else ()
        return silent if not moving and self._works(before, now) else ()  # else it may be all for those that move

    def _works(self, before: Sample, now: Sample) -> bool:
        """Whether it did anything in between: unknown is no."""
        rule = self._rule
        if before.processor is not None and now.processor is not None:
            if now.processor - before.processor >= rule.processor * (now.at - before.at):
                return True
        elif now.processor is None:
            return False
        if before.own_gpu is not None and now.own_gpu is not None:
            return now.own_gpu > before.own_gpu
        return now.gpu is not None and now.gpu >= rule.gpu


def _advancing(before: SlotStates, now: SlotStates) -> int:
    """SlotStates that are still at the task they were at, and further."""
    pairs = zip(before.far, now.far, now.works, strict=False)
    return sum(works and then[0] == mark[0] and then != mark for then, mark, works in pairs)
