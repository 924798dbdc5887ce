"""How many swaps the line makes, against the fewest that anybody could make who knew everything beforehand."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial

from controller.scheduling.line import LineRules
from tests.kit.line_world import World, runner

CASES = 1000
RULES = LineRules()
LOAD, UNLOAD = 10.0, 0.5
LONGEST = 20.0  # seconds of one answer
RUNNERS = {key: runner(key) for key in "ABC"}


@dataclass(frozen=True, slots=True, order=True)
class Request:
    at: float
    caller: str
    which: str
    seconds: float
    lane: float


def case(seed: int) -> list[Request]:
    """Up to ten requests for three models, from a burst to some minutes."""
    luck = random.Random(seed)
    span = luck.choice([0, 10, 60, 200, 400])
    return sorted(
        Request(
            round(luck.uniform(0, span), 1),
            luck.choice("abcd"),
            luck.choice("ABC"),
            round(luck.uniform(1, LONGEST), 1),
            luck.choice([1, 1, 1, 2, 3]),
        )
        for _ in range(luck.randint(1, 10))
    )


def _ask(world: World, request: Request) -> None:
    world.ask(request.caller, RUNNERS[request.which], request.seconds, lane=request.lane)


def played(requests: list[Request]) -> int:
    """Swaps that the line makes; every request must be answered."""
    world = World(RULES, load=LOAD, unload=UNLOAD)

    for request in requests:
        world.at(world.now + request.at, partial(_ask, world, request))
    world.wind(20_000)
    assert len(world.ended) == len(world.granted) == len(requests)
    return len(world.swaps)


Place = tuple[int, str]  # which requests are answered, as bits; what is resident
Reached = dict[Place, float]  # the earliest moment at which it can be so


def fewest(requests: list[Request]) -> int:
    """Swaps of the best order in which every request is answered within the line's own bound. All orders are tried."""
    reached: Reached = {(0, ""): 0.0}
    for swaps in range(2 * len(requests)):
        if swaps:
            reached = _after_a_swap(requests, reached)
        if _answer(requests, reached, swaps):
            return swaps
    raise AssertionError("the last resort, a swap for each request, is always there")


def _limit(request: Request, others: int, swaps: int) -> float:
    """When it must have its turn at the latest, with so many swaps before it."""
    stay = max(RULES.patience, RULES.min_stay, 3 * LOAD)
    lane = (request.lane - 1) * RULES.aging
    return request.at + lane + RULES.max_charge + LONGEST * others + swaps * (stay + LONGEST + UNLOAD + LOAD)


def _answer(requests: list[Request], reached: Reached, swaps: int) -> bool:
    """Add everything that can be reached without a swap; whether that is all."""
    every = (1 << len(requests)) - 1
    todo = list(reached.items())
    while todo:
        (done, there), moment = todo.pop()
        if done == every:
            return True
        if reached[done, there] < moment:
            continue
        for bit, request in enumerate(requests):
            start = max(moment, request.at)
            if done >> bit & 1 or request.which != there or start > _limit(request, len(requests) - 1, swaps):
                continue
            place, end = (done | 1 << bit, there), start + request.seconds
            if end < reached.get(place, float("inf")):
                reached[place] = end
                todo.append((place, end))
    return False


def _after_a_swap(requests: list[Request], reached: Reached) -> Reached:
    after: Reached = {}
    for (done, there), moment in reached.items():
        for which in "ABC":
            asked = [each.at for bit, each in enumerate(requests) if not done >> bit & 1 and each.which == which]
            if which == there or not asked:
                continue
            end = max(moment, min(asked)) + LOAD + (UNLOAD if there else 0.0)
            after[done, which] = min(end, after.get((done, which), float("inf")))
    return after


def test_the_best_order_of_a_case_that_can_be_done_by_hand() -> None:
    by_turns = [Request(0, "a", which, 5, 1) for which in "ABABAB"]
    assert fewest(by_turns) == 2
    assert fewest([Request(0, "a", "A", 5, 1), Request(0, "a", "B", 5, 1), Request(4000, "a", "A", 5, 1)]) == 2
    assert fewest([Request(at, "a", which, 5, 1) for at, which in ((0, "A"), (2000, "B"), (4000, "A"))]) == 3


def test_in_a_thousand_cases_the_line_swaps_little_more_than_the_best_order_would() -> None:
    cases = [case(seed) for seed in range(CASES)]
    ours = sum(played(requests) for requests in cases)
    best = sum(fewest(requests) for requests in cases)
    assert best <= ours <= 1.3 * best
