"""Whether two lots of figures differ, by their ranks: a few that are far off, as on any busy machine, weigh little."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist


def rank_sum(one: Sequence[float], other: Sequence[float]) -> float:
    """The p of Mann and Whitney's test, two-sided, by the normal distribution: good for more than twenty of each."""
    above = sum((a > b) + (a == b) / 2 for a in one for b in other)
    pairs = len(one) * len(other)
    spread = (pairs * (len(one) + len(other) + 1) / 12) ** 0.5
    return 2 * (1 - NormalDist().cdf(abs(above - pairs / 2) / spread))
