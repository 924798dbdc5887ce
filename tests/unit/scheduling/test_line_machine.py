"""Any order of arrivals, hang-ups, failures, pauses and pressure: what must hold of the line whatever happens to it.

`World` itself asserts at every step: memory is never promised twice, nothing busy is evicted, one swap at a time, no
load that nobody waits for, caps hold, a ticket ends once and gets no turn after that.
"""

from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from controller.engines.runner import Runner
from controller.scheduling.line import LineRules
from controller.scheduling.ticket import Caps, End, State, Ticket, Turned
from tests.kit.examples import examples
from tests.kit.line_world import Refused, World, runner, waited

RUNNERS = [runner("A"), runner("B"), runner("C", need=2), runner("D", slots=2), runner("A2", blob="A")]
CAPS = Caps(running=2, waiting=4, size=100)
LONGEST = 20.0  # seconds of one answer while somebody waits for it
ENDS_BY = 50_000.0  # seconds in which any of these lines comes to its end

tickets = st.integers(0, 10**6)


class Life(RuleBasedStateMachine):
    """Callers do whatever Hypothesis likes."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(LineRules(whole=20), budget=2)
        self.all: list[Ticket] = []

    def one(self, pick: int, *states: State) -> Ticket | None:
        found = [ticket for ticket in self.all if ticket.state in states]
        return found[pick % len(found)] if found else None

    @rule(
        caller=st.sampled_from("abcd"),
        which=st.sampled_from(RUNNERS),
        seconds=st.floats(0, LONGEST),
        lane=st.sampled_from([0.0, 0.5, 1.0, 1.0, 2.0, 3.0]),
        size=st.integers(0, 60),
        width=st.integers(1, 3),
        wait=st.sampled_from([5.0, 100.0, 1e9]),
    )
    def ask(self, caller: str, which: Runner, seconds: float, lane: float, size: int, width: int, wait: float) -> None:
        world = self.world
        try:
            asked = world.ask(caller, which, seconds, lane=lane, caps=CAPS, size=size, width=width, wait=wait)
        except Refused as refused:
            self.check_refusal(refused.turned)
        else:
            self.all.append(asked)

    def check_refusal(self, turned: Turned) -> None:
        assert 1 <= turned.retry_after <= 60
        assert turned.text

    @rule(seconds=st.floats(0, 200))
    def wind(self, seconds: float) -> None:
        self.world.wind(seconds)

    @rule(pick=tickets)
    def hang_up(self, pick: int) -> None:
        if ticket := self.one(pick, State.WAITING, State.GRANTED, State.ENDED):
            self.world.hang_up(ticket)

    @rule(pick=tickets)
    def fail(self, pick: int) -> None:
        if ticket := self.one(pick, State.GRANTED):
            due = ticket.due
            self.world.fail(ticket)
            assert ticket.due == due

    @rule(pick=tickets, to=st.sampled_from(RUNNERS))
    def rename(self, pick: int, to: Runner) -> None:
        if ticket := self.one(pick, State.WAITING):
            self.world.scheduler.rename(ticket, to, self.world.now)
            self.world.decide()

    @rule(which=st.sampled_from(RUNNERS), to=st.sampled_from(RUNNERS))
    def redirect(self, which: Runner, to: Runner) -> None:
        self.world.scheduler.redirect(which.key, to, self.world.now)
        self.world.decide()

    @rule(which=st.sampled_from(RUNNERS))
    def refuse(self, which: Runner) -> None:
        key = which.key
        for ticket in self.world.scheduler.refuse(key, End.SWITCHED, "It was switched away.", self.world.now):
            self.world.told_ended(ticket)
        self.world.decide()

    @rule(lane=st.sampled_from([None, 1.0, 3.0]), key=st.sampled_from([None, "A", "C"]), on=st.booleans())
    def pause(self, lane: float | None, key: str | None, on: bool) -> None:
        (self.world.scheduler.pause if on else self.world.scheduler.resume)(lane, key)
        self.world.decide()

    @rule(may_swap=st.booleans(), is_open=st.booleans())
    def trouble(self, may_swap: bool, is_open: bool) -> None:
        self.world.scheduler.may_swap, self.world.scheduler.open = may_swap, is_open
        self.world.decide()

    @rule(key=st.sampled_from("AB"), seconds=st.floats(0, 100))
    def keep_away(self, key: str, seconds: float) -> None:
        self.world.scheduler.keep_away(key, self.world.now + seconds)
        self.world.decide()

    @precondition(lambda self: self.all)
    @invariant()
    def the_line_adds_up(self) -> None:
        scheduler = self.world.scheduler
        waiting = [ticket for ticket in self.all if ticket.state is State.WAITING]
        assert set(waiting) == set(scheduler.waiting())
        assert {each for each in self.all if each.state is State.GRANTED} == set(scheduler.running())
        for caller in "abcd":
            own = [ticket for ticket in waiting if ticket.caller == caller]
            assert sum(ticket.size for ticket in own) <= CAPS.size + 60, "one that came back may be above"
            account = scheduler.line.account(caller)
            assert (account.waiting, account.size) == (len(own), sum(ticket.size for ticket in own))
        for ticket in waiting:
            assert scheduler.hold_of(ticket) is not None
            assert 1 <= scheduler.position(ticket) <= len(waiting)

    @invariant()
    def what_stands_in_the_line_is_what_it_should_be(self) -> None:
        line = self.world.scheduler.line
        standing = 0
        for flow in line.flows():
            standing += len(flow.entries)
            may = {key: queue for key, queue in flow.queues.items() if key not in line.paused.runners}
            oldest = min((queue[0] for queue in may.values()), key=lambda ticket: ticket.number, default=None)
            paused = line.paused.everything or flow.lane in line.paused.lanes
            if oldest is None or paused or self.full(oldest):
                assert not flow.entries
            else:
                assert flow.under == oldest.runner.key
                assert {key: entry[2] for key, entry in flow.entries.items()} == {k: q[0] for k, q in may.items()}
        assert standing == sum(len(entries) for lists in line.places.values() for entries in lists.values())

    def full(self, ticket: Ticket) -> bool:
        """Whether its caller runs as much as it may, or has all the slots that it could get."""
        own = [each for each in self.world.scheduler.running() if each.caller == ticket.caller]
        taken = sum(min(each.width, each.runner.slots) for each in own if each.runner == ticket.runner)
        return (CAPS.running is not None and len(own) >= CAPS.running) or taken >= ticket.runner.slots

    def teardown(self) -> None:
        """Whatever happened: once the trouble is over, all have their turn."""
        world = self.world
        world.scheduler.resume()
        world.scheduler.may_swap = world.scheduler.open = True
        world.decide()
        world.wind(ENDS_BY)
        assert {ticket.state for ticket in self.all} <= {State.ENDED}
        assert len(world.ended) == len(set(world.ended)) == len(self.all)
        assert not world.scheduler.line.places
        assert not world.scheduler._deadlines


def test_whatever_happens_the_line_adds_up_and_comes_to_an_end() -> None:
    run_state_machine_as_test(Life, settings=examples(60))


arrivals = st.lists(
    st.tuples(
        st.floats(0, 120),  # when
        st.sampled_from("abcd"),
        st.sampled_from(RUNNERS),
        st.floats(0.1, LONGEST) | st.floats(LONGEST, 50 * LONGEST),  # as long as it likes while nobody waits
        st.sampled_from([0.5, 1.0, 1.0, 2.0, 3.0]),
    ),
    min_size=1,
    max_size=25,
)


def bound(ticket: Ticket, world: World) -> float:
    """How long a head may wait from when it became head:

    (lane − 1) × aging + its charge + one generation for each other flow ÷ slots, and for each swap before its grant,
    its own among them: max(patience, rest of min_stay) + max_run + unload + load.
    """
    assert ticket.granted is not None
    assert ticket.head_since is not None
    rules = world.rules
    flows = {(each.caller, each.lane) for each in world.granted} - {(ticket.caller, ticket.lane)}
    swaps = sum(ticket.head_since <= began.at <= ticket.granted for began in world.swaps)
    swaps += any(began.at < ticket.head_since < (began.through or 0) for began in world.swaps)  # one was under way
    stay = max(rules.patience, rules.min_stay, 3 * world.load)
    lane = max(0.0, (ticket.lane - 1) * rules.aging)
    # a head's own flow may have one running, whose slot it needs
    return lane + rules.max_charge + LONGEST * (len(flows) + 1) + swaps * (stay + LONGEST + world.unload + world.load)


@examples(200)
@given(arrivals, st.sampled_from([2, 3]))
def test_no_head_waits_longer_than_the_stated_bound(
    asked: list[tuple[float, str, Runner, float, float]], budget: int
) -> None:
    world = World(LineRules(aging=50), budget=budget, most=LONGEST)
    for when, caller, which, seconds, lane in asked:
        world.at(world.now + when, partial(world.ask, caller, which, seconds, lane=lane))
    world.wind(ENDS_BY)
    assert len(world.granted) == len(asked)
    for ticket in world.granted:
        assert ticket.head_since is not None
        assert ticket.granted is not None
        assert ticket.granted - ticket.head_since <= bound(ticket, world) + 1e-6


@examples(50)
@given(st.integers(2, 6), st.floats(2, 10))
def test_no_swaps_but_those_of_heads_before_it_delay_a_head(loops: int, seconds: float) -> None:
    """Callers who ask again and again, some for A and some for B: a head for C is behind two swaps at most."""
    world, which = World(), {"A": runner("A"), "B": runner("B")}

    def again(done: Ticket) -> None:
        if done.caller != "one":
            world.ask(done.caller, done.runner, seconds)

    world.on_end = again
    for number in range(loops):
        world.ask(f"loop {number}", which["AB"[number % 2]], seconds)
    world.wind(100)
    one = world.ask("one", runner("C"), 5)
    world.wind(500)
    assert one.granted is not None
    before = [began for began in world.swaps if one.arrived <= began.at <= one.granted]
    assert len(before) <= 3, "one for A, one for B, and its own"
    assert waited(one) <= 60 + seconds * loops + 3 * (60 + seconds + 10.5) + 10.5


steps = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "wind", "hang up", "fail", "pause", "resume"]),
        st.sampled_from("ab"),
        st.sampled_from(RUNNERS),
        st.floats(0, LONGEST),
        st.sampled_from([0.5, 1.0, 3.0]),
    ),
    max_size=30,
)


@examples(300)
@given(steps)
def test_who_is_let_through_at_once_fares_as_one_who_joined_the_line(
    told: list[tuple[str, str, Runner, float, float]],
) -> None:
    assert lived(told, short_cut=True) == lived(told, short_cut=False)


def lived(told: list[tuple[str, str, Runner, float, float]], *, short_cut: bool) -> list[object]:
    """What becomes of everybody, seen after each step."""
    world, asked, seen = World(budget=2, short_cut=short_cut), list[Ticket](), list[object]()
    for what, caller, which, seconds, lane in told:
        running = [each for each in asked if each.state is State.GRANTED]
        if what == "ask":
            try:
                asked.append(world.ask(caller, which, seconds, lane=lane, caps=CAPS, size=int(seconds) * 6))
            except Refused as refused:
                seen.append(refused.turned.cap)
        elif what == "wind":
            world.wind(seconds)
        elif what in ("pause", "resume"):
            getattr(world.scheduler, what)(lane)
            world.decide()
        elif running:
            (world.fail if what == "fail" else world.hang_up)(running[int(seconds) % len(running)])
        seen.append([(each.state, each.due, each.head_since, each.granted, each.why, each.attempts) for each in asked])
        seen.append({caller: world.scheduler.line.account(caller).running for caller in "ab"})
    return seen
