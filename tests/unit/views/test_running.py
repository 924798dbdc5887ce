"""The line, the models and the memory as somebody may see them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.auth.access import Principal
from controller.views.running import memory_seen, models_seen, queue_seen
from controller.views.viewer import Viewer
from tests.fakes.desk import a_line, a_memory, a_model, a_ticket

OWNER = Viewer("owner", "owner", manage=True)


def whose(label: str) -> Viewer:
    return Viewer(label, Principal(label).identity)


def test_who_may_manage_sees_everybody() -> None:
    line = a_line(a_ticket(1, "cline"), a_ticket(2, "n8n"))
    seen = queue_seen(line, OWNER)
    assert seen["tickets"] == line["tickets"]
    assert seen["others"] == {"waiting": 0, "running": 0}


def test_anybody_else_sees_their_own_and_only_counts_of_the_others() -> None:
    line = a_line(a_ticket(1, "cline", state="granted"), a_ticket(2, "n8n"), a_ticket(3, "cline"), a_ticket(4, "mia"))
    seen = queue_seen(line, whose("n8n"))
    assert [ticket["number"] for ticket in seen["tickets"]] == [2]
    assert seen["others"] == {"waiting": 2, "running": 1}
    assert "cline" not in str(seen)


def test_whoever_is_called_like_somebody_else_sees_nothing_of_theirs() -> None:
    line = a_line(a_ticket(1, "n8n", caller_id="key:K1"), a_ticket(2, "n8n", caller_id="person:P1"))
    seen = queue_seen(line, Viewer("n8n", "person:P1"))
    assert [ticket["number"] for ticket in seen["tickets"]] == [2]


def test_who_may_manage_sees_nothing_of_models_that_do_not_exist_for_them() -> None:
    line = a_line(
        a_ticket(1, "cline", model="qwen3", state="granted"), a_ticket(2, "mia"), a_ticket(3, "mia", model="qwen3")
    )
    line["paused"] = ["everything", "lane 3", "llama3.2", "qwen3", "everything-but:7b"]
    seen = queue_seen(line, Principal("owner", manage=True, models=("llama3.2",)))
    assert [ticket["number"] for ticket in seen["tickets"]] == [2]
    assert seen["others"] == {"waiting": 1, "running": 1}
    assert seen["paused"] == ["everything", "lane 3", "llama3.2"]


@given(
    labels=st.lists(st.sampled_from("abc"), max_size=12),
    running=st.integers(0, 12),
    me=st.sampled_from("abcd"),
)
def test_nobody_is_forgotten_in_the_counts(labels: list[str], running: int, me: str) -> None:
    tickets = [a_ticket(n, label, state="granted" if n < running else "waiting") for n, label in enumerate(labels)]
    seen = queue_seen(a_line(*tickets), whose(me))
    assert all(ticket["caller"] == me for ticket in seen["tickets"])
    assert len(seen["tickets"]) + sum(seen["others"].values()) == len(labels)


def test_of_a_line_too_long_to_be_told_the_rest_are_others() -> None:
    line = {**a_line(a_ticket(1, "mia"), a_ticket(2, "n8n", state="granted")), "waiting": 900, "running": 4}
    assert queue_seen(line, whose("mia"))["others"] == {"waiting": 899, "running": 4}
    assert queue_seen(line, OWNER)["others"] == {"waiting": 899, "running": 3}


def test_a_guest_is_told_that_a_model_failed_and_not_why() -> None:
    models = [a_model("a", last_error="/srv/models: no room"), a_model("b")]
    assert [each["last_error"] for each in models_seen(models, OWNER)] == ["/srv/models: no room", ""]
    told = [each["last_error"] for each in models_seen(models, Viewer(guest=True))]
    assert told == ["It could not be loaded the last time.", ""]
    assert models[0]["last_error"] == "/srv/models: no room"


def test_models_that_do_not_exist_for_somebody_are_nowhere() -> None:
    helper = Principal("helper", models=("llama*",))
    assert [each["id"] for each in models_seen([a_model("llama3.2"), a_model("qwen3")], helper)] == ["llama3.2"]
    assert memory_seen(a_memory(), helper)["models_loaded"] == {}
    assert memory_seen(a_memory(), OWNER) == a_memory()
