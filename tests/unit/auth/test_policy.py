"""The policy table against the routes: nothing is served that it does not name."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from controller.auth.access import Principal
from controller.auth.policy import PAGES, POLICY, ROLES, Right, Tunnel, page_row, row_of
from controller.auth.reference import page
from controller.auth.rows import ROLES as PEOPLE
from controller.config.entry import RightName, Roles
from controller.proxy.routes import ROUTES, Kind

_EXPECTED = {
    Kind.METADATA: {Right.LIST, Right.INFER},
    Kind.INFERENCE: {Right.INFER, Right.EMBED, Right.AUDIO},
    Kind.MANAGEMENT: {Right.MANAGE},
    Kind.OFF: {Right.NOBODY},
    Kind.BENIGN: {Right.LIST},
    Kind.API: {Right.LIST, Right.MANAGE, Right.ADMIN},
    Kind.OPEN: {Right.ANYONE, Right.LIST},
}


def test_promise_7_every_served_route_has_a_row_and_every_row_a_route() -> None:
    assert {key.removeprefix("HEAD ") for key in POLICY} == {route.path for route in ROUTES}


def test_what_a_route_needs_fits_its_kind() -> None:
    for route in ROUTES:
        assert POLICY[route.path].needs in _EXPECTED[route.kind], route.path


def test_the_heartbeat_of_the_command_line_alone_differs_by_its_method() -> None:
    assert row_of("HEAD", "/").needs is Right.ANYONE
    assert row_of("GET", "/").needs is Right.LIST
    assert row_of("HEAD", "/api/tags") is row_of("GET", "/api/tags") is POLICY["/api/tags"]


def test_whatever_manages_stays_at_home_until_the_surface_is_opened() -> None:
    for path, row in [*POLICY.items(), *PAGES.items()]:
        if row.needs in (Right.MANAGE, Right.ADMIN):
            assert row.tunnel is not Tunnel.YES, path


def test_a_page_without_a_row_is_no_page() -> None:
    assert page_row("/live") is PAGES["/live"]
    assert page_row("/static/css/site.css") is PAGES["/static/*"]
    assert page_row("/admin/people") is PAGES["/admin/*"]
    for path in ("/nowhere", "/staticx", "/static", "/static/*", "/administration", "/Login", "/login/", ""):
        assert page_row(path) is None, path


def test_no_role_may_more_by_itself_than_it_can_be_given() -> None:
    for name, role in ROLES.items():
        assert role.may <= role.most, name
        assert not role.most & {Right.ANYONE, Right.NOBODY}, name
    assert not ROLES["anonymous"].may


def test_the_words_of_the_configuration_and_of_the_rows_are_the_tables() -> None:
    assert set(get_args(RightName)) == set(Right) - {Right.ANYONE, Right.NOBODY}
    assert set(Roles.model_fields) == set(ROLES) - {"operator"}
    assert set(PEOPLE) <= set(ROLES)


def test_the_page_of_the_docs_is_written_from_the_table() -> None:
    """When this fails: `python -m controller.auth.reference > docs/policy.md`."""
    assert (Path(__file__).parents[3] / "docs" / "policy.md").read_text() == page()


def test_nobody_has_a_right_that_is_switched_off() -> None:
    assert not Principal("owner", manage=True).may(Right.NOBODY)


def test_managing_is_a_right_of_its_own() -> None:
    assert not Principal("tool").may(Right.MANAGE)
    assert Principal("owner", manage=True).may(Right.MANAGE)
    assert Principal("tool").may(Right.INFER)
