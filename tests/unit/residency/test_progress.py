"""The stuck rule on a made-up runner, second by second."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.engines.engine import SlotStates
from controller.residency.progress import Flight, Progress, Rule, Sample, Verdict

RULE = Rule()


@dataclass
class Machine:
    """One runner: `works` is the share of a processor it uses, `gpu` the percent of the GPU that is busy, and `own_gpu`
    how many seconds of it were for this one.
    """

    works: float = 0.0
    gpu: float | None = None
    own_gpu: float | None = None
    flights: dict[int, Flight] = field(default_factory=dict)
    at: float = 100.0
    processor: float = 7.0
    stopped: bool = False
    slots: SlotStates | None = None
    seen: bool = True
    progress: Progress = field(default_factory=Progress)

    def begin(self, number: int = 1, prompt: float = 0.0) -> None:
        self.flights[number] = Flight(number, self.at, 0, prompt)

    def bring(self, number: int = 1, more: int = 50) -> None:
        old = self.flights[number]
        self.flights[number] = Flight(number, old.granted, old.moved + more, old.prompt)

    def second(self, length: float = 1.0) -> Verdict:
        self.at += length
        self.processor += self.works * length
        processor = self.processor if self.seen else None
        flights = tuple(self.flights.values())
        sample = Sample(self.at, flights, processor, self.gpu, self.own_gpu, self.stopped, self.slots)
        return self.progress.see(sample)

    def stuck_after(self, limit: int = 3600) -> float | None:
        """Seconds until the verdict, from now; None: it never came."""
        began = self.at
        return next((self.at - began for _ in range(limit) if self.second() is Verdict.STUCK), None)


def test_a_runner_that_never_begins_and_does_nothing_is_stuck_once_its_time_and_a_second_look_are_over() -> None:
    machine = Machine()
    machine.begin()
    assert machine.stuck_after() == RULE.first + RULE.apart


def test_a_long_prompt_gets_four_times_as_long_as_it_should_take() -> None:
    machine = Machine()
    machine.begin(prompt=60.0)
    assert machine.stuck_after() == 60.0 / RULE.slack + RULE.apart


def test_a_runner_that_falls_silent_in_mid_answer_is_stuck() -> None:
    machine = Machine()
    machine.begin()
    for _ in range(30):
        machine.bring()
        assert machine.second() is Verdict.BUSY
    assert machine.stuck_after() == RULE.silence + RULE.apart


def test_one_that_always_speaks_in_long_breaths_is_given_more_time() -> None:
    machine = Machine()
    machine.begin()
    for number in range(40):
        if number % 4 == 0:
            machine.bring()
        machine.second()
    silent = machine.stuck_after()
    assert silent is not None
    assert silent > RULE.gaps * 4


def test_a_stopped_runner_is_seen_at_once() -> None:
    machine = Machine(works=1.0)
    machine.begin()
    assert machine.second() is Verdict.BUSY
    machine.stopped = True
    assert machine.second() is Verdict.STOPPED


def test_work_in_between_takes_the_doubt_back() -> None:
    machine = Machine()
    machine.begin()
    for _ in range(int(RULE.first) + 3):
        assert machine.second() is Verdict.BUSY
    machine.works = 1.0
    machine.second()
    machine.works = 0.0
    assert machine.stuck_after() == RULE.window + RULE.apart


def test_a_second_answer_that_comes_through_shows_that_the_runner_works() -> None:
    machine = Machine()
    machine.begin(1)
    machine.begin(2)
    for _ in range(600):
        machine.bring(2)
        assert machine.second() is Verdict.BUSY


def test_newcomers_do_not_hide_a_stuck_runner() -> None:
    machine = Machine()
    machine.begin(1)
    verdicts = []
    for number in range(2, 60):
        machine.begin(number)
        verdicts.append(machine.second())
        del machine.flights[number]
    assert Verdict.STUCK in verdicts


def test_a_replayed_answer_begins_anew() -> None:
    machine = Machine()
    machine.begin()
    for _ in range(25):
        machine.second()
    machine.begin()
    assert machine.stuck_after() == RULE.first + RULE.apart


def test_a_pause_in_which_nobody_looked_kills_nothing() -> None:
    machine = Machine()
    machine.begin()
    for _ in range(20):
        machine.second()
    assert machine.second(8 * 3600) is Verdict.BUSY
    assert machine.stuck_after() == RULE.window + RULE.apart


def test_a_runner_nobody_can_look_into_is_never_stuck() -> None:
    machine = Machine(seen=False)
    machine.begin()
    assert machine.stuck_after() is None


def test_a_display_that_keeps_the_gpu_busy_hides_a_stuck_runner_for_a_while_only() -> None:
    machine = Machine(gpu=12.0, own_gpu=345.6)
    machine.begin()
    assert machine.stuck_after() == RULE.gpu_rest + 1 + RULE.apart


def test_a_gpu_that_works_for_others_and_does_not_tell_for_whom_says_nothing_of_this_runner() -> None:
    machine = Machine(gpu=12.0)
    machine.begin()
    assert machine.stuck_after() is None


def test_a_batch_that_the_gpu_counts_only_when_it_is_done_is_work() -> None:
    machine = Machine(gpu=100.0, own_gpu=345.6)
    machine.begin()
    for batches in range(20):
        machine.own_gpu = 345.6 + 60 * batches
        assert all(machine.second() is Verdict.BUSY for _ in range(60))


def test_a_gpu_that_stops_telling_for_whom_it_works_proves_nothing_any_more() -> None:
    machine = Machine(gpu=12.0, own_gpu=345.6)
    machine.begin()
    for _ in range(80):
        machine.second()
    machine.own_gpu = None
    assert machine.stuck_after() is None


@settings(max_examples=150, deadline=None)  # of some hundred looks each
@given(
    on_gpu=st.booleans(),
    moments=st.lists(st.floats(0.25, 4.0), min_size=1, max_size=8),
    effort=st.floats(0.05, 8.0),
    begun=st.booleans(),
)
def test_ten_minutes_of_silent_work_are_never_taken_for_being_stuck(
    on_gpu: bool, moments: list[float], effort: float, begun: bool
) -> None:
    machine = Machine(works=0.0 if on_gpu else effort, gpu=3.0 + effort if on_gpu else None)
    machine.begin()
    if begun:
        machine.bring()
    step = 0
    while machine.at < 100.0 + 600:
        assert machine.second(moments[step % len(moments)]) is Verdict.BUSY
        step += 1


@given(
    moments=st.lists(st.floats(0.5, 2.0), min_size=1, max_size=8),
    noise=st.floats(0.0, 0.015),
    gpu=st.one_of(st.none(), st.floats(0, 2.9)),
    spoke=st.integers(0, 20),
)
@settings(max_examples=200, deadline=None)
def test_an_idle_runner_is_always_found_within_its_bound(
    moments: list[float], noise: float, gpu: float | None, spoke: int
) -> None:
    machine = Machine(works=noise, gpu=gpu)
    machine.begin()
    for _ in range(spoke):
        machine.bring()
        machine.second()
    began = machine.at
    bound = max(RULE.first, RULE.gaps * 1.0) + RULE.window + RULE.apart + 3 * max(moments)
    step = 0
    while machine.second(moments[step % len(moments)]) is not Verdict.STUCK:
        step += 1
        assert machine.at - began <= bound


def test_one_that_says_it_gets_further_is_at_work_though_nothing_else_shows_it() -> None:
    machine = Machine()
    machine.begin()
    for second in range(1800):
        machine.slots = SlotStates(1, ((1, 4, second // 5),)) if second % 7 else None  # now and then it does not answer
        assert machine.second() is Verdict.BUSY
    after = machine.stuck_after()  # and then it does not
    assert after is not None
    assert RULE.window <= after <= RULE.window + RULE.apart


def test_one_that_says_it_has_nothing_to_do_is_stuck_whoever_keeps_the_gpu_busy() -> None:
    machine = Machine(gpu=100.0, own_gpu=None, slots=SlotStates(0, ((1, 4, 9),)))
    machine.begin()
    assert machine.stuck_after() == RULE.first + RULE.apart


def test_one_that_says_it_works_is_not_stuck_while_the_gpu_is_busy() -> None:
    machine = Machine(gpu=100.0, slots=SlotStates(1, ((1, 4, 9),)))
    machine.begin()
    assert machine.stuck_after() is None
