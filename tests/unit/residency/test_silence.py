"""Which silent answers are worked on, on made-up runners, second by second."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from controller.engines.engine import SlotStates
from controller.residency.progress import Flight, Rule, Sample
from controller.residency.silence import Silence


@dataclass
class Runner:
    """`steps` is how many tokens each slot writes a second; None: it does not tell. `works`: the share of a processor
    that it uses; None: nobody sees it.
    """

    steps: list[int] | None = None
    works: float | None = 1.0
    own_gpu: bool = False
    flights: dict[int, int] = field(default_factory=dict)  # number: bytes a second
    at: float = 100.0
    silence: Silence = field(default_factory=lambda: Silence(Rule()))
    _moved: dict[int, int] = field(default_factory=dict)
    _far: int = 0

    def second(self) -> set[int]:
        self.at += 1
        self._far += 1
        for number, more in self.flights.items():
            self._moved[number] = self._moved.get(number, 0) + more
        flights = tuple(Flight(number, 90.0, self._moved[number]) for number in self.flights)
        slots = None
        if self.steps is not None:
            far = tuple((task, 0, step * self._far) for task, step in enumerate(self.steps))
            slots = SlotStates(len(far), far, (True,) * len(far))
        processor = None if self.works is None else self.works * self.at
        own = self.at if self.own_gpu else None
        return set(self.silence.see(Sample(self.at, flights, processor, None, own, False, slots)))

    def minute(self) -> set[int]:
        """All who were seen to be worked on in it."""
        return set().union(*(self.second() for _ in range(60)))


def test_a_silent_answer_that_its_slot_gets_on_with_is_worked_on() -> None:
    assert Runner(steps=[30], flights={1: 0}).minute() == {1}


def test_one_whose_slot_stands_still_is_not_whatever_the_processor_does() -> None:
    assert Runner(steps=[0], flights={1: 0}).minute() == set()


def test_a_busy_neighbour_is_no_progress_of_a_silent_one() -> None:
    assert Runner(steps=[30, 0], flights={1: 100, 2: 0}).minute() == set()
    assert Runner(steps=None, flights={1: 100, 2: 0}).minute() == set()


def test_beside_a_busy_neighbour_one_is_worked_on_where_its_slot_says_so() -> None:
    assert Runner(steps=[30, 30], flights={1: 100, 2: 0}).minute() == {2}


def test_a_neighbour_that_has_ended_says_nothing_of_a_silent_one() -> None:
    runner = Runner(flights={2: 0})
    for second in range(60):
        far = ((second // 3, 0, second % 3), (99, 0, 5))
        flights = (Flight(2, 90.0, 0), Flight(10 + second // 3, 100.0 + second // 3, second % 3))
        slots = SlotStates(2, far, (True, True))
        assert not runner.silence.see(Sample(100.0 + second, flights, 5.0 * second, None, slots=slots))


@pytest.mark.parametrize(("works", "own_gpu", "seen"), [(1.0, False, {1}), (0.0, False, set()), (0.0, True, {1})])
def test_of_a_runner_that_does_not_tell_processor_and_gpu_do(works: float, own_gpu: bool, seen: set[int]) -> None:
    assert Runner(works=works, own_gpu=own_gpu, flights={1: 0}).minute() == seen


def test_of_a_runner_that_nobody_sees_nothing_is_known() -> None:
    assert Runner(works=None, flights={1: 0}).minute() == set()


def test_what_was_seen_long_ago_says_nothing_of_now() -> None:
    runner = Runner(steps=[30], flights={1: 0})
    runner.second()
    runner.at += 1000
    assert runner.second() == set()
