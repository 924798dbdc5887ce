"""What an order is told, checked in words."""

from __future__ import annotations

import pytest

from controller.errors import SeadragonError
from controller.orders.fields import Field, read

FIELDS = (
    Field("name", needed=True, longest=8),
    Field("lane", "number", least=0, most=1000),
    Field("count", "whole", least=1),
    Field("number", "whole", least=1, most=10**18),
    Field("role", choices=("child", "member"), usual="member"),
    Field("models", "texts"),
    Field("on", "flag"),
    Field("limit", "whole", least=1, clears=True),
)


def words(**given: object) -> str:
    with pytest.raises(SeadragonError) as refused:
        read("things.do", FIELDS, given)
    return str(refused.value)


def test_what_is_left_out_has_its_usual_value_or_none_at_all() -> None:
    assert read("things.do", FIELDS, {"name": "x"}) == {"name": "x", "role": "member"}


def test_null_is_left_out_but_where_it_takes_a_limit_away() -> None:
    given = {"name": "x", "lane": None, "role": None, "limit": None}
    assert read("things.do", FIELDS, given) == {"name": "x", "role": "member", "limit": None}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "`name` is missing"),
        ({"name": "x", "colour": "red"}, "knows no `colour`. It takes: name, lane"),
        ({"name": ""}, "`name` must be a text."),
        ({"name": "x" * 9}, "`name` is too long: it may have 8 characters."),
        ({"name": 7}, "`name` must be a text."),
        ({"name": "x", "lane": 1001}, "`lane` must be a number from 0 to 1000."),
        ({"name": "x", "lane": True}, "`lane` must be a number from 0 to 1000."),
        ({"name": "x", "lane": float("nan")}, "`lane` must be a number"),
        ({"name": "x", "count": 1.5}, "`count` must be a whole number from 1 on."),
        ({"name": "x", "count": 0}, "`count` must be a whole number from 1 on."),
        ({"name": "x", "number": 10**400}, "`number` must be a whole number from 1 to 1e+18."),
        ({"name": "x", "lane": 10**400}, "`lane` must be a number from 0 to 1000."),
        ({"name": "x", "role": "king"}, "`role` cannot be 'king'. It may be: child, member."),
        ({"name": "x", "role": 3}, "`role` must be one of: child, member."),
        ({"name": "x", "models": "qwen"}, "`models` must be a list of texts."),
        ({"name": "x", "models": [1]}, "`models` must be a list of texts."),
        ({"name": "x", "on": "yes"}, "`on` must be true or false."),
    ],
)
def test_what_cannot_be_says_what_it_must_be(given: dict[str, object], said: str) -> None:
    assert said in words(**given)


def test_an_order_without_fields_says_so() -> None:
    with pytest.raises(SeadragonError, match="It takes nothing"):
        read("things.stop", (), {"name": "x"})
