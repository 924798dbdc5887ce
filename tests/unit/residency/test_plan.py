"""Who must leave before another is loaded."""

from __future__ import annotations

from itertools import combinations

from hypothesis import example, given
from hypothesis import strategies as st

from controller.residency.plan import plan
from controller.residency.runner import Fits, NoRoom, Presence, Resident, Runner, TooBig
from tests.unit.residency.shows import resident, sized

MANY = 8


def table(*rows: Resident) -> dict[str, Resident]:
    return {row.runner.key: row for row in rows}


A, B, C = (resident(sized(key, size)) for key, size in (("a", 10), ("b", 20), ("c", 30)))


def test_where_there_is_room_nobody_leaves() -> None:
    assert plan(sized("new", 40), table(A, B, C), ["a", "b", "c"], 100, MANY) == Fits()


def test_the_best_victim_leaves_when_that_is_enough() -> None:
    assert plan(sized("new", 50), table(A, B, C), ["a", "b", "c"], 100, MANY) == Fits(("a",))
    assert plan(sized("new", 50), table(A, B, C), ["c", "a", "b"], 100, MANY) == Fits(("c",))


def test_nobody_leaves_whose_leaving_changes_nothing() -> None:
    """The smallest is the best victim but not enough; with the largest gone it may stay."""
    assert plan(sized("new", 70), table(A, B, C), ["a", "c", "b"], 100, MANY) == Fits(("c",))


def test_only_so_many_may_be_loaded_whatever_their_size() -> None:
    assert plan(sized("new", 1), table(A, B, C), ["b", "a"], 100, 3) == Fits(("b",))


def test_another_runner_of_the_same_weights_leaves_although_there_is_room() -> None:
    sibling = resident(sized("a@16k", 10, blob="a"))
    assert plan(sized("a", 10), table(sibling, B), ["b", "a@16k"], 100, MANY) == Fits(("a@16k",))


def test_while_such_a_sibling_is_busy_there_is_no_room() -> None:
    sibling = resident(sized("a@16k", 10, blob="a"))
    found = plan(sized("a", 10), table(sibling, B), ["b"], 100, MANY)
    assert isinstance(found, NoRoom)
    assert not found.pinned


def test_what_is_there_or_coming_needs_nobody_to_leave() -> None:
    for presence in (Presence.RESIDENT, Presence.LOADING):
        assert plan(A.runner, table(resident(A.runner, presence), C), ["c"], 0, 1) == Fits()


def test_what_is_just_leaving_must_be_gone_before_it_comes_back() -> None:
    found = plan(A.runner, table(resident(A.runner, Presence.LEAVING)), [], 100, MANY)
    assert found == NoRoom("a is just being unloaded.")


def test_memory_of_one_that_loads_or_leaves_is_not_promised_again() -> None:
    for presence in (Presence.LOADING, Presence.LEAVING):
        moving = resident(sized("c", 30), presence)
        assert isinstance(plan(sized("new", 80), table(moving), ["c"], 100, MANY), NoRoom)
        assert plan(sized("new", 70), table(moving), ["c"], 100, MANY) == Fits()


def test_what_can_never_fit_is_refused_with_the_arithmetic_and_nobody_leaves() -> None:
    found = plan(sized("new", 101), table(A), ["a"], 100, MANY)
    assert isinstance(found, TooBig)
    assert found.text.startswith("new needs about")


def test_what_other_programs_keep_it_from_now_is_not_refused_for_ever() -> None:
    found = plan(sized("new", 101), table(A), ["a"], 100, MANY, most=200)
    assert isinstance(found, NoRoom)
    assert not found.pinned
    assert "other programs" in found.text
    assert isinstance(plan(sized("new", 201), table(A), ["a"], 100, MANY, most=200), TooBig)


def test_pinned_ones_in_the_way_are_named() -> None:
    rows = table(resident(sized("a", 60), pinned=True), resident(sized("b", 30), pinned=True), C)
    assert plan(sized("new", 50), rows, ["a", "b", "c"], 120, MANY) == NoRoom(
        "a and b are pinned and leave no room for new.", pinned=True
    )


def test_a_busy_one_in_the_way_is_worth_waiting_for() -> None:
    rows = table(resident(sized("a", 10), pinned=True), resident(sized("b", 80)))
    assert plan(sized("new", 50), rows, [], 100, MANY) == NoRoom("new fits once b can leave.")


KEYS = "abcdef"
ROWS = st.lists(
    st.builds(
        lambda key, size, blob, presence, pinned: resident(sized(key, size, blob), presence, pinned=pinned),
        st.sampled_from(KEYS),
        st.integers(0, 50),
        st.sampled_from(KEYS),
        st.sampled_from([Presence.RESIDENT, Presence.RESIDENT, Presence.RESIDENT, *Presence]),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=6,
    unique_by=lambda row: row.runner.key,
)
CANDIDATES = st.permutations(KEYS).flatmap(lambda keys: st.integers(0, 6).map(lambda count: keys[:count]))


@given(ROWS, CANDIDATES, st.integers(1, 60), st.sampled_from(KEYS), st.integers(0, 120), st.integers(1, 7))
@example([A, B, C], ["a", "c", "b"], 70, "f", 100, 7)
def test_a_plan_is_right_and_minimal_whatever_stands_in_the_table(
    rows: list[Resident], candidates: list[str], need: int, blob: str, budget: int, most: int
) -> None:
    target, full = sized("new", need, blob), table(*rows)

    def holds(gone: tuple[str, ...]) -> bool:
        stay = [row for row in rows if row.runner.key not in gone]
        return (
            sum(row.taken for row in stay) + need <= budget
            and len(stay) < most
            and all(row.runner.blob != blob for row in stay)
        )

    found = plan(target, full, candidates, budget, most)
    free = [key for key in candidates if key in full and not full[key].pinned and full[key].presence == "resident"]
    if isinstance(found, Fits):
        assert holds(found.evict)
        assert set(found.evict) <= set(free)
        assert not any(holds(rest) for rest in combinations(found.evict, max(0, len(found.evict) - 1)) if found.evict)
    else:
        assert isinstance(found, TooBig) is (need > budget)
        assert not holds(tuple(free))
        if isinstance(found, NoRoom):
            assert found.pinned is (not holds(tuple(row.runner.key for row in rows if not row.pinned)))


@given(ROWS, CANDIDATES, st.integers(1, 60), st.integers(0, 120))
def test_one_victim_is_enough_when_the_best_one_is(
    rows: list[Resident], candidates: list[str], need: int, budget: int
) -> None:
    full, target = table(*rows), sized("new", need, "of its own")
    first = plan(target, full, candidates[:1], budget, MANY)
    if isinstance(first, Fits):
        assert plan(target, full, candidates, budget, MANY) == first


def test_a_runner_is_known_by_its_key_alone() -> None:
    same = Runner("a", "elsewhere", "other name", A.runner.facts, need=1000)
    assert plan(same, table(A), [], 5, 1) == Fits()
