"""The table of orders holds together: each row is carried out, allowed, reachable and named once."""

from __future__ import annotations

import re

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from controller.api.bodies import body_of
from controller.auth.deeds import DEEDS
from controller.auth.policy import POLICY, Tunnel
from controller.cli import main
from controller.cli.told import TELLERS
from controller.control.verbs import VERBS
from controller.errors import SeadragonError
from controller.orders.fields import Field, read
from controller.orders.row import Order
from controller.orders.table import BUTTONS, COMMANDS, ORDERS, order_called
from controller.orders.views import ROOT, VIEWS
from controller.orders.works import WORKS
from controller.proxy.routes import Match, find
from controller.views.show import SHOWN

ROWS = list(ORDERS.values())
WITH_BODY = [row for row in ROWS if row.body]


def name_of(row: Order) -> str:
    return row.name


def test_every_order_is_carried_out_by_one_function_and_every_function_has_its_row() -> None:
    assert {row.name for row in ROWS if row.touches == "rights"} == set(DEEDS)
    assert {row.name for row in ROWS if row.touches != "rights"} == set(WORKS)


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_the_audit_calls_every_order_by_what_it_is_about_and_what_is_done(row: Order) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", row.name)
    assert row.touches == "rights" or row.about, "the audit has to say to what it was done"


@pytest.mark.parametrize("row", [row for row in ROWS if row.route], ids=name_of)
def test_an_order_with_a_route_is_served_for_who_has_its_right(row: Order) -> None:
    path = f"{ROOT}{row.path}"
    assert isinstance(find(row.method, path.replace("{id}", "x")), Match)
    assert POLICY[path].needs == row.needs
    assert POLICY[path].tunnel is not Tunnel.YES
    assert row.needs != "operator"


def test_what_is_the_operators_alone_is_over_no_network() -> None:
    alone = {row.name for row in ROWS if row.needs == "operator"}
    assert {"users.admin_code", "allow.reopen", "controller.down"} <= alone
    assert not [row.name for row in ROWS if row.needs == "operator" and row.route]


@pytest.mark.parametrize("words", COMMANDS)
def test_every_order_that_is_typed_is_a_command_with_its_fields(words: str) -> None:
    row, way = COMMANDS[words]
    command: click.Command = main
    for word in words.split():
        assert isinstance(command, click.Group)
        command = command.commands[word]
    assert command.help == way.help
    settled = {name for name, _ in way.given}
    typed = {field.name for field in row.fields if field.typed and field.name not in settled}
    assert typed <= {parameter.name for parameter in command.params}
    arguments = [each.name for each in command.params if isinstance(each, click.Argument)]
    assert arguments == [field.name for field in row.fields if field.typed and not field.typed.startswith("-")]
    assert row.job or way.done or row.name in TELLERS, "something is said when it is done"


@pytest.mark.parametrize("words", COMMANDS)
def test_every_order_that_is_typed_has_a_way_to_the_controller(words: str) -> None:
    row, _ = COMMANDS[words]
    assert row.job or row.touches == "rights" or row.verb in VERBS


def test_every_button_gives_an_order_of_its_row() -> None:
    assert set(BUTTONS) == {"load", "unload", "switch", "pin", "unpin", "pause", "resume", "cancel"}
    for row, way in BUTTONS.values():
        assert way.label
        assert not way.asks or way.asks in {field.name for field in row.fields}


def test_every_button_of_the_first_page_is_for_who_may_manage() -> None:
    assert {row.needs for row, _ in BUTTONS.values()} == {"manage"}, "That is all that the page asks for."


def test_whoever_would_be_asked_before_is_told_what_comes_of_it() -> None:
    asked = {row.name for row in ROWS if any(way.confirm for way in row.ways)}
    assert {"keys.revoke", "users.delete", "users.disable", "children.stop", "controller.down"} <= asked


def test_every_view_of_the_api_that_is_shown_elsewhere_too_is_one_function() -> None:
    assert set(VIEWS) - set(SHOWN) == {"model", "job", "openapi"}


def test_bodies_of_one_name_have_the_same_fields() -> None:
    for one in WITH_BODY:
        assert all(other.fields == one.fields for other in WITH_BODY if other.body == one.body)


def test_what_is_no_order_is_told_with_those_there_are() -> None:
    for name in ("keys.eat", "", 7, None):
        with pytest.raises(SeadragonError, match=r"no such order\. There is: models\.load, "):
            order_called(name)


# --- the same fields, whoever checks them ---

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2_000_000),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=80),
    st.sampled_from(["member", "now", "keep", "deny", "x" * 600]),
    st.lists(st.text(max_size=4), max_size=3),
    st.lists(st.just("x"), min_size=65, max_size=65),
    st.lists(st.integers(), max_size=2),
)


def fits(field: Field) -> st.SearchStrategy[object]:
    """Mostly what it may be."""
    least = field.least if field.least is not None else (field.above or 0) + 1
    good: dict[str, st.SearchStrategy[object]] = {
        "text": st.text(min_size=1, max_size=field.longest).filter(str.isprintable),
        "texts": st.lists(st.text(max_size=8), max_size=4),
        "number": st.floats(least, field.most or 1e6),
        "whole": st.integers(int(least), int(field.most or 1000)),
        "flag": st.booleans(),
    }
    return st.one_of(st.sampled_from(field.choices) if field.choices else good[field.kind], ANYTHING)


@given(data=st.data(), row=st.sampled_from(WITH_BODY))
def test_the_api_and_the_control_socket_take_the_same_and_make_the_same_of_it(data: st.DataObject, row: Order) -> None:
    chosen = [field for field in row.fields if field.needed or data.draw(st.booleans())]
    told = {field.name: data.draw(fits(field)) for field in chosen}
    wire = {field.told: told[field.name] for field in chosen}
    try:
        taken = body_of(row).model_validate(wire).model_dump(exclude_unset=True)
    except ValidationError:
        taken = None
    nothing = {field.name for field in chosen if told[field.name] is None and (field.needed or field.usual is not None)}
    try:
        kept = read(row.name, row.fields, {name: value for name, value in told.items() if name not in nothing})
    except SeadragonError:
        kept = None
    if nothing:
        assert taken is None, "null is no value for what is needed, or has a usual one"
    elif taken is None or kept is None:
        assert (taken, kept) == (None, None)
    else:
        assert read(row.name, row.fields, taken) == kept
