"""Who must leave before another is loaded."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import combinations

from hypothesis import example, given
from hypothesis import strategies as st

from controller.engines.ollama.needs import KeptInRam, StartedAs
from controller.engines.runner import Runner
from controller.plain import GIB, MIB
from controller.residency.memory import Budget
from controller.residency.plan import plan, too_big_words
from controller.residency.resident import Fits, NoRoom, Presence, Resident, TooBig
from tests.unit.residency.shows import LLAMA, QWEN3, resident, runner, sized

MANY = 8


def table(*rows: Resident) -> dict[str, Resident]:
    return {row.runner.key: row for row in rows}


A, B, C = (resident(sized(key, size)) for key, size in (("a", 10), ("b", 20), ("c", 30)))


def test_where_there_is_room_nobody_leaves() -> None:
    assert plan(sized("new", 40), table(A, B, C), ["a", "b", "c"], Budget(100), MANY) == Fits()


def test_the_best_victim_leaves_when_that_is_enough() -> None:
    assert plan(sized("new", 50), table(A, B, C), ["a", "b", "c"], Budget(100), MANY) == Fits(("a",))
    assert plan(sized("new", 50), table(A, B, C), ["c", "a", "b"], Budget(100), MANY) == Fits(("c",))


def test_nobody_leaves_whose_leaving_changes_nothing() -> None:
    """The smallest is the best victim but not enough; with the largest gone it may stay."""
    assert plan(sized("new", 70), table(A, B, C), ["a", "c", "b"], Budget(100), MANY) == Fits(("c",))


def test_only_so_many_may_be_loaded_whatever_their_size() -> None:
    assert plan(sized("new", 1), table(A, B, C), ["b", "a"], Budget(100), 3) == Fits(("b",))


def test_another_runner_of_the_same_weights_leaves_although_there_is_room() -> None:
    sibling = resident(sized("a@16k", 10, blob="a"))
    assert plan(sized("a", 10), table(sibling, B), ["b", "a@16k"], Budget(100), MANY) == Fits(("a@16k",))


def test_while_such_a_sibling_is_busy_there_is_no_room() -> None:
    sibling = resident(sized("a@16k", 10, blob="a"))
    found = plan(sized("a", 10), table(sibling, B), ["b"], Budget(100), MANY)
    assert isinstance(found, NoRoom)
    assert not found.pinned


def test_what_is_there_or_coming_needs_nobody_to_leave() -> None:
    for presence in (Presence.RESIDENT, Presence.LOADING):
        assert plan(A.runner, table(resident(A.runner, presence), C), ["c"], Budget(0), 1) == Fits()


def test_what_is_just_leaving_must_be_gone_before_it_comes_back() -> None:
    found = plan(A.runner, table(resident(A.runner, Presence.LEAVING)), [], Budget(100), MANY)
    assert found == NoRoom("a is just being unloaded.")


def test_memory_of_one_that_loads_or_leaves_is_not_promised_again() -> None:
    for presence in (Presence.LOADING, Presence.LEAVING):
        moving = resident(sized("c", 30), presence)
        assert isinstance(plan(sized("new", 80), table(moving), ["c"], Budget(100), MANY), NoRoom)
        assert plan(sized("new", 70), table(moving), ["c"], Budget(100), MANY) == Fits()


def test_what_can_never_fit_is_refused_with_the_arithmetic_and_nobody_leaves() -> None:
    found = plan(sized("new", 101), table(A), ["a"], Budget(100), MANY)
    assert isinstance(found, TooBig)
    assert found.text.startswith("new needs about")


def test_what_other_programs_keep_it_from_now_is_not_refused_for_ever() -> None:
    found = plan(sized("new", 101), table(A), ["a"], Budget(100), MANY, most=Budget(200))
    assert isinstance(found, NoRoom)
    assert not found.pinned
    assert "other programs" in found.text
    assert isinstance(plan(sized("new", 201), table(A), ["a"], Budget(100), MANY, most=Budget(200)), TooBig)


def test_pinned_ones_in_the_way_are_named() -> None:
    rows = table(resident(sized("a", 60), pinned=True), resident(sized("b", 30), pinned=True), C)
    assert plan(sized("new", 50), rows, ["a", "b", "c"], Budget(120), MANY) == NoRoom(
        "a and b are pinned and leave no room for new.", pinned=True
    )


def test_a_busy_one_in_the_way_is_worth_waiting_for() -> None:
    rows = table(resident(sized("a", 10), pinned=True), resident(sized("b", 80)))
    assert plan(sized("new", 50), rows, [], Budget(100), MANY) == NoRoom("new fits once b can leave.")


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

    found = plan(target, full, candidates, Budget(budget), most)
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
    first = plan(target, full, candidates[:1], Budget(budget), MANY)
    if isinstance(first, Fits):
        assert plan(target, full, candidates, Budget(budget), MANY) == first


# --- conversations that are kept --------------------------------------------------------------------------------------


def test_room_for_conversations_is_promised_with_the_model() -> None:
    full = table(resident(sized("a", 10, cache=15)))
    assert plan(sized("new", 60, cache=15), full, ["a"], Budget(100), MANY) == Fits()
    assert plan(sized("new", 60, cache=16), full, ["a"], Budget(100), MANY) == Fits(("a",))
    assert isinstance(plan(sized("new", 60, cache=41), full, ["a"], Budget(100), MANY), TooBig)


def test_conversations_take_nothing_of_what_the_gpu_may_have() -> None:
    full = table(resident(sized("a", 10, cache=15)))
    assert plan(sized("new", 60, cache=15), full, ["a"], Budget(100, there=70), MANY) == Fits()
    assert plan(sized("new", 61, cache=14), full, ["a"], Budget(100, there=70), MANY) == Fits(("a",))


# --- what Ollama would do by itself -----------------------------------------------------------------------------------


def test_who_ollama_itself_would_make_leave_leaves_before() -> None:
    """It wants 60 to be no more than four fifths of what is free of 100: with 10 and 20 there that is not so."""
    new = replace(sized("new", 50), predicted=60)
    assert plan(new, table(A, B), ["a", "b"], Budget(200, gpu=100), MANY) == Fits(("a",))
    assert plan(new, table(A), ["a"], Budget(200, gpu=100), MANY) == Fits()
    assert plan(new, table(A), ["a"], Budget(200, gpu=80), MANY) == Fits(("a",))


# --- while memory is short --------------------------------------------------------------------------------------------


def test_while_memory_is_short_more_leaves_than_what_comes_will_ever_take() -> None:
    c = table(resident(sized("c", 30, cache=10)))
    short = partial(plan, table=c, candidates=["c"], budget=Budget(100), max_loaded=MANY, freed=0)
    assert short(sized("new", 20, cache=9)) == Fits(("c",))  # although there would be room beside it
    assert isinstance(short(sized("new", 20, cache=10)), NoRoom)
    assert isinstance(short(sized("new", 30)), NoRoom)


def test_while_memory_is_short_nothing_is_loaded_where_nothing_can_leave() -> None:
    pinned = table(resident(sized("c", 30), pinned=True))
    found = plan(sized("new", 1), pinned, ["c"], Budget(100), MANY, freed=0)
    assert found == NoRoom("Memory is short: new is loaded once that is over, or when more leaves for it.")
    assert isinstance(plan(sized("new", 1), {}, [], Budget(100), MANY, freed=0), NoRoom)


def test_what_has_left_for_it_already_counts() -> None:
    assert plan(sized("new", 20), {}, [], Budget(100), MANY, freed=21) == Fits()
    assert isinstance(plan(sized("new", 20), {}, [], Budget(100), MANY, freed=20), NoRoom)


@given(ROWS, CANDIDATES, st.integers(1, 60), st.integers(0, 20), st.integers(0, 120), st.integers(0, 40))
def test_while_memory_is_short_no_swap_ever_raises_what_is_promised(
    rows: list[Resident], candidates: list[str], need: int, cache: int, ram: int, freed: int
) -> None:
    """Neither what all are promised, nor what they hold, once what comes has taken all that it may."""
    target, full = sized("new", need, "of its own", cache), table(*rows)
    found = plan(target, full, candidates, Budget(ram), MANY, freed=freed)
    if isinstance(found, Fits):
        gone = [full[key] for key in found.evict]
        assert need + cache < freed + sum(row.taken for row in gone)
        before = sum(row.promised for row in rows) + freed
        after = sum(row.promised for row in rows if row not in gone) + need + cache
        assert after < before
        assert after <= ram


# --- words ------------------------------------------------------------------------------------------------------------


def test_a_refusal_has_the_arithmetic_in_words() -> None:
    big = runner("llama3.3:70b", LLAMA, StartedAs(8192))
    assert too_big_words(big, Budget(52 * GIB, there=39 * GIB)) == (
        "llama3.3:70b needs about 42.7 GiB (weights 39.6 GiB, context 2.5 GiB, work space 565 MiB) and this machine "
        "gives models 39.0 GiB at most: choose a smaller context_length or a smaller model."
    )


def test_a_refusal_says_so_where_fewer_conversations_would_do() -> None:
    words = too_big_words(runner("qwen3:32b", QWEN3, StartedAs(8192), kept=KeptInRam(2 * GIB)), Budget(24 * GIB))
    assert "and up to 4.0 GiB for conversations and this machine gives models 24.0 GiB at most" in words
    assert words.endswith("choose a smaller context_length or a smaller prompt_cache or a smaller model.")


def test_a_refusal_by_another_figure_than_the_estimate_says_where_it_is_from() -> None:
    words = too_big_words(sized("red", 3 * GIB), Budget(900 * MIB))
    assert words.startswith("red needs about 3.0 GiB (by memory_gb of models.yaml, or as it was seen) and")
    assert "gives models 900 MiB at most" in words


def test_a_runner_is_known_by_its_key_alone() -> None:
    same = Runner("a", "elsewhere", "other name", A.runner.facts, engine="ollama", need=1000)
    assert plan(same, table(A), [], Budget(5), 1) == Fits()
