"""What an order may put into a row."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.auth.held import checks
from controller.auth.held.checks import Form, KeyFields, KeyLimits, Scoped, UserFields
from controller.auth.policy import ROLES as POLICY_ROLES
from controller.auth.policy import Right
from controller.auth.rows import ROLES, folded
from controller.auth.signin import unfit
from controller.errors import OrderRefused

ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.lists(st.text(max_size=9))
NOW = 1_700_000_000.0


def _kept(check: Any, *given: Any) -> Any:
    """What comes of it; None when it is refused, which is told in a sentence."""
    try:
        return check(*given)
    except OrderRefused as refused:
        said = str(refused)
    assert said.endswith(".")
    assert said.isprintable()
    return None


@given(text=st.text(max_size=80))
def test_a_name_is_short_printable_and_stays_as_it_is(text: str) -> None:
    name = _kept(checks.name, text)
    if name is not None:
        assert name == text.strip()
        assert 1 <= len(name) <= 64
        assert name.isprintable()
        assert checks.name(name) == name


@given(text=st.text(max_size=40))
def test_names_that_look_alike_are_compared_as_one(text: str) -> None:
    compared = folded(text)
    assert folded(compared) == compared == folded(f"  {text} ")
    assert folded(text.upper()) == folded(text.upper().lower())


@pytest.mark.parametrize(
    "text",
    ["operator", "Operator ", "OPERATOR", "seadragon", "Anonymous", "ＯＰＥＲＡＴＯＲ", "admin  code", "This Computer",
     "192.168.1.20", "192.168.1.0/24", "fd00::5", "sd_abcdefgh_x", "sdi_x", "Invite: grandma"],
)  # fmt: skip
def test_nobody_is_called_what_would_be_taken_for_something_else(text: str) -> None:
    with pytest.raises(OrderRefused, match="would be taken for something else"):
        checks.person(text)
    no = unfit(text, "octopuses have three hearts")
    assert no is not None
    assert (no.status, no.field, no.words) == (422, "name", checks.MISLEADING)


@pytest.mark.parametrize("text", ["Ada", "Operetta", "007", "Anna 2.0", "Sd", "cafe"])
def test_an_ordinary_name_is_anybodys(text: str) -> None:
    assert checks.person(text) == (text, folded(text))
    assert unfit(text, "octopuses have three hearts") is None


@pytest.mark.parametrize("kind", ["key", "address"])
@given(wanted=st.sets(st.sampled_from([*Right, "root", ""])))
def test_scopes_are_rights_that_can_be_given_there_each_once_in_one_order(kind: Scoped, wanted: set[str]) -> None:
    found, can = _kept(checks.scopes, [*wanted, *wanted], kind), POLICY_ROLES[kind].most
    good = bool(wanted) and wanted <= can
    assert found == (tuple(scope.value for scope in Right if scope in wanted) if good else None)


@pytest.mark.parametrize(
    ("kind", "scope", "words"),
    [
        ("key", "chat", "A key can be given one or more of these scopes: infer, embed, audio, list, manage, admin."),
        ("address", "chat", "An address can be given one or more of these scopes: infer, embed, audio, list, manage."),
        ("address", "admin", "An address can be given one or more of these scopes: infer, embed, audio, list, manage."),
    ],
)
def test_a_scope_that_would_do_nothing_is_refused_and_those_that_do_are_named(
    kind: Scoped, scope: str, words: str
) -> None:
    with pytest.raises(OrderRefused, match=re.escape(words)):
        checks.scopes(["infer", scope], kind)


@given(text=st.sampled_from([*ROLES, "Admin", "root", "", "operator"]))
def test_there_are_three_roles(text: str) -> None:
    assert _kept(checks.role, text) == (text if text in ROLES else None)


@pytest.mark.parametrize("cidr", ["2a06:98c0::/32", "2a06:98c0:3600::103", "2a06:98c7::/48"])
def test_what_anybody_s_program_at_cloudflare_comes_from_can_be_kept_out_and_never_let_in(cidr: str) -> None:
    assert _kept(checks.cidr, cidr, "allow") is None
    if not cidr.endswith("/32"):  # no range is as wide as that
        assert checks.cidr(cidr, "deny") == cidr


def test_an_ordinary_address_can_be_both() -> None:
    assert checks.cidr(" ::ffff:192.0.2.7 ", "allow") == checks.cidr("192.0.2.7/32", "deny") == "192.0.2.7"
    assert checks.cidr("2a06:98c8::/48", "allow") == "2a06:98c8::/48"


@pytest.mark.parametrize("form", [checks.KEY, checks.KEY_LIMITS, checks.USER])
@given(given=st.dictionaries(st.sampled_from([*checks.KEY, "id", "hash"]), ANYTHING, max_size=2))
def test_whatever_json_brings_is_right_or_refused_in_words(form: Form, given: dict[str, object]) -> None:
    found = _kept(checks.fields, given, form, NOW)
    if found is not None:
        assert set(found) == set(given) <= set(form)
        assert _kept(checks.fields, found, form, NOW) == found


@pytest.mark.parametrize(
    ("typed", "form"), [(KeyFields, checks.KEY), (KeyLimits, checks.KEY_LIMITS), (UserFields, checks.USER)]
)
def test_the_fields_that_are_typed_are_those_that_are_checked(typed: type, form: Form) -> None:
    assert set(typed.__annotations__) == set(form)
