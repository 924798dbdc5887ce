"""The policy table against the routes: nothing is served that it does not name."""

from __future__ import annotations

from controller.auth.access import Principal
from controller.auth.policy import POLICY, Right
from controller.proxy.routes import ROUTES, Kind

_EXPECTED = {
    Kind.METADATA: {Right.INFER},
    Kind.INFERENCE: {Right.INFER},
    Kind.MANAGEMENT: {Right.MANAGE},
    Kind.OFF: {Right.NOBODY},
    Kind.BENIGN: {Right.INFER},
    Kind.API: {Right.INFER, Right.MANAGE},
    Kind.OPEN: {Right.ANYONE, Right.INFER},
}


def test_promise_7_every_served_route_has_a_row_and_every_row_a_route() -> None:
    assert set(POLICY) == {route.path for route in ROUTES} | {"pages"}


def test_what_a_route_needs_fits_its_kind() -> None:
    for route in ROUTES:
        assert POLICY[route.path].needs in _EXPECTED[route.kind], route.path


def test_only_the_word_of_life_answers_on_the_closed_tunnel() -> None:
    assert [path for path, row in POLICY.items() if row.tunnel] == ["/healthz"]


def test_nobody_has_a_right_that_is_switched_off() -> None:
    assert not Principal("owner", manage=True).may(Right.NOBODY)


def test_managing_is_a_right_of_its_own() -> None:
    assert not Principal("tool").may(Right.MANAGE)
    assert Principal("owner", manage=True).may(Right.MANAGE)
    assert Principal("tool").may(Right.INFER)
