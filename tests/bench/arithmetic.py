"""Figures made of figures. A measurement is kept as one value a round; what is compared, is compared within a round,
so that a neighbour who slows down one round slows down both sides of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

Rounds = Mapping[str, Sequence[float]]  # measure → its value in each round
Results = Mapping[str, Rounds]  # gateway → its rounds; "direct" and "nginx" among them
Compare = Callable[[Results, str, str], list[float]]

DIRECT = "direct"
NGINX = "nginx"
OLLAMA = "ollama"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed. Raises ValueError without values."""
    if not values:
        raise ValueError("no values to take a percentile of")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def alone(results: Results, gateway: str, measure: str) -> list[float]:
    """The measure itself, a value a round."""
    return list(results.get(gateway, {}).get(measure, ()))


def above_direct(results: Results, gateway: str, measure: str) -> list[float]:
    """How much more than without any gateway."""
    ours, direct = alone(results, gateway, measure), alone(results, DIRECT, measure)
    return [own - floor for own, floor in zip(ours, direct, strict=False)]


def times_nginx(results: Results, gateway: str, measure: str) -> list[float]:
    """How many times nginx's."""
    ours, nginx = alone(results, gateway, measure), alone(results, NGINX, measure)
    return [own / theirs for own, theirs in zip(ours, nginx, strict=False) if theirs > 0]


def added_times_nginx(results: Results, gateway: str, measure: str) -> list[float]:
    """How many times what nginx adds; a round in which nginx seems to add nothing says nothing."""
    ours, nginx = above_direct(results, gateway, measure), above_direct(results, NGINX, measure)
    return [own / theirs for own, theirs in zip(ours, nginx, strict=False) if theirs > 0]


def above_own_start(results: Results, gateway: str, measure: str) -> list[float]:
    """How much more than Ollama itself needs from its start to its first answer."""
    ours, own = alone(results, gateway, measure), alone(results, OLLAMA, "own start")
    return [value - floor for value, floor in zip(ours, own, strict=False)]


@dataclass(frozen=True, slots=True)
class Goal:
    """One line of the promise: a measure, what it is held against, and its limit."""

    text: str
    measure: str
    compare: Compare
    limit: float
    unit: str
    at_least: bool = False

    def judge(self, results: Results, gateway: str) -> Verdict | None:
        """The median over the rounds against the limit; None when this was not measured."""
        values = self.compare(results, gateway, self.measure)
        if not values:
            return None
        value = median(values)
        return Verdict(self, gateway, value, value >= self.limit if self.at_least else value <= self.limit)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a gateway reached a goal."""

    goal: Goal
    gateway: str
    value: float
    met: bool

    @property
    def line(self) -> str:
        """`met     added p50 at 1 connection: 1.9 × nginx's (goal ≤ 2.2)`"""
        sign = "≥" if self.goal.at_least else "≤"
        word = "met" if self.met else "missed"
        return f"{word:7} {self.goal.text}: {self.value:.3g} {self.goal.unit} (goal {sign} {self.goal.limit:g})"


GOALS = (
    Goal("added p50 at 1 connection", "small 1 p50", added_times_nginx, 2.5, "× nginx's"),
    Goal("requests/s at 32 connections", "small 32 rate", times_nginx, 0.20, "× nginx's", at_least=True),
    Goal("gap p99 of 200 streams", "streams 200 gap.p99", above_direct, 0.5, "ms above direct"),
    Goal("gap p99.9 of 200 streams", "streams 200 gap.p99.9", above_direct, 2, "ms above direct"),
    Goal("first byte p99 of 200 streams", "streams 200 first.p99", above_direct, 5, "ms above direct"),
    Goal("decision with 10,000 waiting", "line decision", alone, 50, "µs"),
    Goal("the line's part of a request when idle", "line idle", alone, 10, "µs"),
    Goal("memory of a waiting request", "line waiting", alone, 4096, "bytes"),
    Goal("memory of the controller, idle", "idle memory", alone, 110, "MB"),
    Goal("memory of a keeper", "keeper memory", alone, 15, "MB"),
    Goal("listening after its start", "listening", alone, 1, "s"),
    Goal("first answer after kill -9 of Ollama", "answered again", above_own_start, 0.3, "s above Ollama's own start"),
)
