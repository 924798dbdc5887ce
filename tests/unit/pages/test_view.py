"""From what runs to what the page says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.events import Event
from controller.pages.contexts import Now
from controller.pages.view import WORDS, Moment, Traffic, addresses, now_seen
from controller.supervision.spec import ChildState, ChildStatus
from controller.views.viewer import Viewer
from tests.fakes.desk import a_line, a_memory, a_model

NOW = 1_700_000_000.0
OLLAMA = ChildStatus(
    "ollama", ChildState.READY, "It answers.", NOW - 7300, pid=42, memory=5_300_000_000, facts={"version": "0.24.0"}
)


def seen(
    *children: ChildStatus,
    phase: str = "running",
    models: list[dict[str, Any]] | None = None,
    problems: tuple[str, ...] = (),
    events: tuple[Event, ...] = (),
) -> Now:
    moment = Moment(NOW, phase, problems, children, Traffic(2, 1), a_line(), a_memory(), models, events)
    return now_seen(moment, Viewer("owner", manage=True))


def test_every_state_has_its_word() -> None:
    assert WORDS.keys() == set(ChildState)


def test_all_is_well_when_ollama_is_ready_and_has_a_model() -> None:
    now = seen(OLLAMA, models=[a_model("llama3.2")])
    assert (now.mood, now.headline, now.story) == ("happy", "All is well", "Ollama 0.24.0 is ready for you.")
    assert now.models is not None
    assert "2.0 GB on disk" in now.models[0].facts


def test_a_ready_ollama_without_a_model_is_only_almost_there() -> None:
    assert seen(OLLAMA, models=[]).headline == "Almost there"


def test_the_way_to_get_a_model_leads_to_the_ollama_that_runs() -> None:
    now = seen(replace(OLLAMA, url="http://127.0.0.1:51234"), models=[])
    assert now.pull == "OLLAMA_HOST=http://127.0.0.1:51234 ollama pull llama3.2"


def test_the_demo_alone_is_no_real_model_and_a_real_one_needs_no_advice() -> None:
    demo, real = a_model("demo:latest"), a_model("llama3.2")
    assert "pull" in seen(OLLAMA, models=[demo]).pull
    assert seen(OLLAMA, models=[demo, real]).pull == ""


def test_as_long_as_nobody_could_be_asked_no_model_is_missed() -> None:
    assert seen(OLLAMA, models=None).headline == "All is well"


@pytest.mark.parametrize(
    ("state", "mood"),
    [
        (ChildState.STARTING, "waiting"),
        (ChildState.BACKOFF, "waiting"),
        (ChildState.STOPPING, "waiting"),
        (ChildState.MISCONFIGURED, "oops"),
        (ChildState.CONFLICT, "oops"),
        (ChildState.DEGRADED, "oops"),
        (ChildState.UNRESPONSIVE, "oops"),
    ],
)
def test_the_seadragon_feels_with_ollama(state: ChildState, mood: str) -> None:
    assert seen(replace(OLLAMA, state=state)).mood == mood


def test_when_a_person_must_act_the_page_says_what_to_do() -> None:
    missing = replace(OLLAMA, state=ChildState.MISCONFIGURED, reason="Install it with: brew install ollama")
    assert seen(missing).story == "Install it with: brew install ollama"


def test_trouble_with_the_tunnel_does_not_spoil_what_works_at_home() -> None:
    tunnel = ChildStatus("tunnel", ChildState.DEGRADED, "It keeps failing.", NOW)
    now = seen(OLLAMA, tunnel)
    assert (now.mood, now.headline) == ("happy", "Almost all is well")
    assert "Tunnel" in now.story


def test_what_the_headline_says_is_not_said_again_below() -> None:
    failing = replace(OLLAMA, state=ChildState.DEGRADED, reason="It left with exit code 1.")
    tunnel = ChildStatus("tunnel", ChildState.OFFLINE, "Is the internet there?", NOW)
    now = seen(failing, tunnel)
    assert (now.story, [child.reason for child in now.children]) == (failing.reason, ["", tunnel.reason])
    assert [child.reason for child in seen(OLLAMA).children] == [""]


def test_safe_mode_beats_everything_else() -> None:
    now = seen(OLLAMA, phase="safe", problems=("config/server.yaml:3:1 broken",))
    assert (now.safe, now.mood, now.problems) == (True, "oops", ("config/server.yaml:3:1 broken",))


def test_leaving_is_said_whatever_ollama_does() -> None:
    assert seen(OLLAMA, phase="draining").headline == "Seadragon is leaving"


def test_a_state_that_only_just_began_has_no_span_so_the_page_comes_to_rest() -> None:
    (just, long) = seen(replace(OLLAMA, since=NOW - 59), replace(OLLAMA, since=NOW - 7300)).children
    assert (just.span, long.span) == ("", "2 h 1 min")


def test_only_what_is_known_is_told_of_a_child() -> None:
    (child,) = seen(replace(OLLAMA, pid=None, memory=None, facts={}, restarts=1)).children
    assert child.facts == ("1 restart",)


def test_events_come_newest_first_and_keep_their_weight() -> None:
    first, second = Event(1, NOW, "info", "ollama", "First."), Event(2, NOW + 1, "error", "config", "Second.")
    now = seen(OLLAMA, events=(first, second))
    assert [(event.text, event.tone) for event in now.events] == [("Second.", "trouble"), ("First.", "ok")]
    assert now.events[1].moment == "2023-11-14T22:13:20+00:00"


@given(
    state=st.sampled_from(ChildState),
    phase=st.sampled_from(["running", "safe", "draining", "stopping"]),
    since=st.floats(-1e6, 4e9),
    retry=st.none() | st.floats(0, 1e6),
    memory=st.none() | st.integers(0, 2**50),
    models=st.none() | st.lists(st.builds(a_model, st.text())),
)
def test_there_is_always_something_to_say(
    state: ChildState,
    phase: str,
    since: float,
    retry: float | None,
    memory: int | None,
    models: list[dict[str, Any]] | None,
) -> None:
    child = replace(OLLAMA, state=state, since=since, retry_in=retry, memory=memory)
    now = seen(child, phase=phase, models=models)
    assert now.headline
    assert now.story
    assert now.children[0].word


def test_each_kind_of_client_gets_the_base_url_it_wants() -> None:
    assert {each.label: each.url for each in addresses("http://mini.local:8420")} == {
        "Ollama": "http://mini.local:8420",
        "OpenAI": "http://mini.local:8420/v1",
        "Anthropic": "http://mini.local:8420",
    }
