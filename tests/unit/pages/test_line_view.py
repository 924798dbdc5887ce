"""What the first page says of the line, the models and the memory."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.auth.access import Principal
from controller.pages.line_view import ROWS, line_card, memory_card, model_cards, notice_of
from controller.views.viewer import Viewer
from tests.fakes.desk import FakeJob, a_line, a_memory, a_model, a_ticket

OWNER, GUEST = Viewer("owner", manage=True), Viewer("mia", Principal("mia").identity)


def test_a_ticket_says_where_it_stands_how_long_and_why() -> None:
    line = line_card(
        a_line(
            a_ticket(7, "cline", state="granted", why="overtook", hold=None, waited_seconds=3.0),
            a_ticket(8, "n8n", lane=2.5, position=1, waited_seconds=190.0),
        ),
        OWNER,
    )
    runs, waits = line.rows
    assert (runs.place, runs.runs, runs.waited, runs.estimate) == ("now", True, "3 s", "")
    assert runs.why == "its model was loaded already"
    assert (waits.place, waits.lane, waits.waited, waits.estimate) == ("1", "2.5", "3 min", "about 40 s")
    assert (line.waiting, line.more) == (1, "")


def test_who_may_not_manage_sees_their_own_and_how_many_others() -> None:
    line = line_card(a_line(*(a_ticket(n, who) for n, who in enumerate(("cline", "mia", "n8n")))), GUEST)
    assert [row.who for row in line.rows] == ["mia"]
    assert (line.more, line.buttons) == ("2 others waiting", ())


def test_each_request_has_a_cancel_button_that_says_which_for_whoever_may_manage() -> None:
    queue = a_line(a_ticket(7, "cline", state="granted"), a_ticket(8, "mia"))
    buttons = [row.cancel for row in line_card(queue, OWNER).rows]
    assert [(each.name, each.value, each.label, each.about) for each in buttons if each is not None] == [
        ("cancel", "7", "Cancel", "request 7 of cline"),
        ("cancel", "8", "Cancel", "request 8 of mia"),
    ]
    assert [row.cancel for row in line_card(queue, GUEST).rows] == [None]


def test_a_long_line_is_cut_and_the_rest_counted() -> None:
    line = line_card(a_line(*(a_ticket(n, "cline") for n in range(ROWS + 12))), OWNER)
    assert (len(line.rows), line.more) == (ROWS, "12 more")


@pytest.mark.parametrize(
    ("paused", "buttons"),
    [
        ([], ["Pause"]),
        (["lane 3"], ["Pause", "Resume"]),
        (["everything"], ["Resume"]),
    ],
)
def test_the_line_is_paused_and_resumed_by_whoever_may(paused: list[str], buttons: list[str]) -> None:
    queue = {**a_line(), "paused": paused}
    assert [button.label for button in line_card(queue, OWNER).buttons] == buttons
    assert line_card(queue, GUEST).buttons == ()


@pytest.mark.parametrize(
    ("changes", "buttons"),
    [
        ({}, ["load", "switch"]),
        ({"state": "quarantined"}, ["load", "switch"]),
        ({"state": "resident"}, ["unload", "pin"]),
        ({"state": "resident", "pinned": True}, ["unload", "unpin"]),
        ({"state": "loading"}, ["pin"]),
        ({"state": "leaving"}, []),
    ],
)
def test_a_model_has_the_buttons_that_make_sense_in_its_state(changes: dict[str, Any], buttons: list[str]) -> None:
    models = [a_model("this", **changes), a_model("other", state="resident")]
    (card,) = (card for card in model_cards(models, OWNER) if card.name == "this")
    assert [button.name for button in card.buttons] == buttons
    assert all(button.value == "this" for button in card.buttons)
    assert not any(card.buttons for card in model_cards(models, GUEST))


def test_there_is_nothing_to_switch_from_while_nothing_is_loaded() -> None:
    (card,) = model_cards([a_model("this")], OWNER)
    assert [button.name for button in card.buttons] == ["load"]


def test_what_is_loaded_comes_first() -> None:
    models = [a_model("a"), a_model("z", state="resident"), a_model("b", state="quarantined")]
    assert [card.name for card in model_cards(models, OWNER)] == ["z", "a", "b"]


def test_a_model_tells_what_is_known_of_it_and_nothing_else() -> None:
    loaded, away = model_cards([a_model("a", state="resident", running=1, waiting=2), a_model("b")], OWNER)
    assert loaded.facts == (
        *("3.1 GB of memory", "2.0 GB on disk", "42 tokens a second"),
        *("1 being answered", "2 waiting"),
    )
    assert away.facts == (
        *("needs about 3.0 GB of memory", "2.0 GB on disk", "42 tokens a second"),
        "loads in 6 s",
    )
    (keeps,) = model_cards([a_model("c", cache_gb=2.5)], OWNER)
    assert keeps.facts[0] == "needs about 3.0 GB of memory, and up to 2.5 GB for conversations it keeps"
    unknown = dict.fromkeys(("memory_gb", "expected_gb", "cache_gb", "size_gb", "tokens_per_second", "load_seconds"))
    (new,) = model_cards([a_model("c", **unknown)], OWNER)
    assert new.facts == ()


def test_an_old_error_of_what_works_again_is_not_told() -> None:
    broken, well = (a_model("a", state=state, last_error="It crashed.") for state in ("quarantined", "resident"))
    assert [card.error for card in model_cards([broken], OWNER)] == ["It crashed."]
    assert [card.error for card in model_cards([well], OWNER)] == [""]


def test_memory_is_a_bar_of_what_is_loaded_and_what_is_left() -> None:
    memory = memory_card(a_memory(budget_gb=40.0, models_loaded={"a": 10.0, "b": 20.0}, taken_gb=30.0), OWNER)
    assert memory is not None
    assert [(part.kind, part.start, part.width) for part in memory.parts] == [
        ("model", "0.00%", "25.00%"),
        ("model", "25.00%", "50.00%"),
        ("free", "75.00%", "25.00%"),
    ]
    assert [part.label for part in memory.parts] == ["a: 10 GB", "b: 20 GB", "room: 10 GB"]
    assert memory.trouble == ""


def test_room_for_conversations_is_told_beside_the_budget() -> None:
    plain, kept = memory_card(a_memory(), OWNER), memory_card(a_memory(cache_gb=2.5), OWNER)
    assert plain is not None
    assert kept is not None
    assert plain.words.endswith("Models may take 47 GB.")
    assert kept.words.endswith("Models may take 47 GB, and their conversations 2.5 GB more.")


def test_memory_that_is_promised_to_a_load_is_in_the_bar() -> None:
    memory = memory_card(a_memory(budget_gb=40.0, models_loaded={"a": 10.0}, taken_gb=30.0), OWNER)
    assert memory is not None
    assert [(part.kind, part.label) for part in memory.parts] == [
        ("model", "a: 10 GB"),
        ("coming", "being loaded: 20 GB"),
        ("free", "room: 10 GB"),
    ]


def test_short_memory_says_what_follows() -> None:
    memory = memory_card(a_memory(pressure=4, may_load=False, why="the system needs it."), OWNER)
    assert memory is not None
    assert memory.trouble == "Memory pressure is critical. the system needs it."


def test_memory_nobody_has_measured_is_not_drawn() -> None:
    assert memory_card(a_memory(total_gb=None), OWNER) is None


@given(budget=st.floats(0, 1000), taken=st.none() | st.floats(0, 1000), loaded=st.lists(st.floats(0, 1000), max_size=6))
def test_the_bar_is_never_longer_than_itself(budget: float, taken: float | None, loaded: list[float]) -> None:
    models = {f"m{n}": gb for n, gb in enumerate(loaded)}
    memory = memory_card(a_memory(budget_gb=budget, taken_gb=taken, models_loaded=models), OWNER)
    assert memory is not None
    widths = [float(part.width.removesuffix("%")) for part in memory.parts]
    assert sum(widths) <= 100.5
    assert all(0 <= width <= 100 for width in widths)


@pytest.mark.parametrize(("state", "word"), [("running", "under way"), ("done", "done"), ("failed", "failed")])
def test_an_order_says_how_it_goes(state: str, word: str) -> None:
    job = FakeJob("j1", "switch", "a", state=state, text="It goes on.", touched=3)
    notice = notice_of(job)
    assert (notice.word, notice.text) == (
        word,
        "It goes on. Requests it touched, waiting or being answered: 3.",
    )
