"""Each page gets a typed context, and each field of it is used and explained."""

from __future__ import annotations

import dataclasses
import inspect
import re

import pytest
from jinja2 import Environment

from controller.pages import contexts, people_contexts
from controller.pages.app import environment, told
from controller.pages.live import PARTS
from controller.pages.statics import Statics
from controller.pages.view import addresses
from controller.paths import CLONE

CONTEXTS = [
    kind for module in (contexts, people_contexts) for _, kind in inspect.getmembers(module, dataclasses.is_dataclass)
]
EVIL = "<script>alert('&')</script>"


@pytest.fixture(scope="module")
def templates() -> Environment:
    return environment(Statics(CLONE / "static"), CLONE / "templates")


def a_now(**changes: object) -> contexts.Now:
    full = contexts.Now(
        mood="happy",
        headline=f"headline {EVIL}",
        story=f"story {EVIL}",
        safe=False,
        problems=(f"config/server.yaml:3:1 {EVIL}",),
        children=(contexts.ChildCard("x", f"title {EVIL}", "ok", "ready", "2 h", f"reason {EVIL}", (f"fact {EVIL}",)),),
        streams=3,
        held=4,
        line=contexts.LineCard(
            waiting=1,
            rows=(
                contexts.TicketRow(
                    8,
                    "1",
                    False,
                    f"who {EVIL}",
                    "2",
                    f"asked {EVIL}",
                    "12 s",
                    "about 40 s",
                    f"why {EVIL}",
                    contexts.OrderButton("cancel", "8", "Cancel", f"request 8 of {EVIL}"),
                ),
            ),
            more=f"more {EVIL}",
            paused=(f"paused {EVIL}",),
            buttons=(contexts.OrderButton("resume", "", "Resume", "the line"),),
        ),
        memory=contexts.MemoryCard(
            (contexts.Part("model", "0%", "50%", f"part {EVIL}"),), f"memory {EVIL}", f"short {EVIL}"
        ),
        order=contexts.OrderNotice("wait", "under way", f"order {EVIL}"),
        guest=False,
        may_manage=True,
        models=(
            contexts.ModelCard(
                f"model {EVIL}",
                f"model-{EVIL}",
                "ok",
                "loaded",
                (f"size {EVIL}",),
                f"error {EVIL}",
                (contexts.OrderButton("unload", f"value {EVIL}", "Unload", f"about {EVIL}"),),
            ),
        ),
        pull=f"ollama pull {EVIL}",
        events=(contexts.EventLine("14:00:00", "2023-11-14T14:00:00", "trouble", f"source {EVIL}", f"text {EVIL}"),),
    )
    return dataclasses.replace(full, **changes)  # type: ignore[arg-type]  # the fields' own types hold where called


def an_empty(**changes: object) -> contexts.Now:
    line = contexts.LineCard(0, (), "", (), ())
    empty = {"children": (), "models": (), "events": (), "problems": (), "line": line, "memory": None, "order": None}
    return a_now(**{**empty, **changes})


def a_home(now: contexts.Now) -> contexts.HomePage:
    return contexts.HomePage(
        now,
        None,
        addresses(f"http://{EVIL}"),
        (f"http://also{EVIL}",),
        "to.ken",
        f"/live?{EVIL}",
        "1.2.3",
        f"/data{EVIL}",
    )


@pytest.mark.parametrize("kind", CONTEXTS, ids=lambda kind: kind.__name__)
def test_every_field_says_what_it_is_for(kind: type) -> None:
    for field in dataclasses.fields(kind):
        assert field.metadata.get("help", "").endswith("."), field.name


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    "now",
    [
        a_now(),
        an_empty(),
        a_now(models=None, safe=True, mood="oops"),
    ],
    ids=["full", "empty", "safe"],
)
def test_each_live_part_renders_and_escapes_what_it_is_given(
    templates: Environment, part: str, now: contexts.Now
) -> None:
    html = templates.get_template(f"live/{part}.html").render(now=now)
    assert "<script" not in html
    assert "style=" not in html


def test_the_first_page_shows_all_of_its_context(templates: Environment) -> None:
    now = a_now()
    html = templates.get_template("home.html").render(page=a_home(now), now=now)
    assert "alert(" in html
    assert "<script>alert" not in html
    for shown in (
        "headline",
        "story",
        "server.yaml:3:1",
        "title",
        "reason",
        "fact",
        "model",
        "source",
        "text",
        *(
            "who",
            "asked",
            "why",
            "more",
            "paused",
            "part",
            "memory",
            "short",
            "order",
            "size",
            "error",
            "value",
            "about",
        ),
        *("1.2.3", "to.ken"),
    ):
        assert shown in html
    assert html.count("&lt;script&gt;alert") >= 24


def test_what_is_to_be_typed_is_shown_as_code_and_still_escaped() -> None:
    assert told("Run `seadragon up` <now>.") == "Run <code>seadragon up</code> &lt;now&gt;."
    assert told("`<b>`") == "<code>&lt;b&gt;</code>"


def test_the_error_page_says_what_and_why(templates: Environment) -> None:
    page = contexts.ErrorPage(404, "oops", "There is nothing here", "Mistyped, perhaps.", alone=False)
    html = templates.get_template("error.html").render(page=page)
    assert "404" in html
    assert "mood-oops" in html
    assert "Mistyped, perhaps." in html


@pytest.mark.parametrize("template", sorted(path.name for path in (CLONE / "templates").rglob("*.html")))
def test_no_template_carries_a_style_or_a_script_of_its_own(template: str) -> None:
    (path,) = (CLONE / "templates").rglob(template)
    text = path.read_text().replace('<style>{% include "site.css" %}</style>', "")  # under a policy that knows it
    assert not re.search(r"\sstyle=|\son\w+=|<style|javascript:|\|\s*safe", text)
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)


def test_every_field_is_used_by_a_template() -> None:
    text = "".join(path.read_text() for path in (CLONE / "templates").rglob("*.html"))
    names = {field.name for kind in CONTEXTS for field in dataclasses.fields(kind)} - {"now", "name"}
    assert {name for name in names if not re.search(rf"\.{name}\b", text)} == set()


@pytest.mark.parametrize("mood", ["happy", "waiting", "oops"])
def test_the_seadragon_has_a_face_for_each_mood(mood: str) -> None:
    assert f'class="for-{mood}"' in (CLONE / "static" / "seadragon.svg").read_text()
    assert mood == "happy" or f".mood-{mood} .for-{mood}" in (CLONE / "static" / "site.css").read_text()


def test_who_may_not_manage_finds_one_sentence_instead_of_buttons(templates: Environment) -> None:
    now = an_empty(may_manage=False)
    page = dataclasses.replace(a_home(now), token="")
    html = templates.get_template("home.html").render(page=page, now=now)
    assert html.count("manage: true") == 1
    assert 'form="orders"' not in html
    assert 'action="/orders"' not in html
