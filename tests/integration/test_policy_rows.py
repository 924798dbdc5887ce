"""Promise 7: what the pages and the management API serve has its row in the policy table, or is not served."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from starlette.routing import BaseRoute, Route

from controller.api.app import Api
from controller.auth.policy import POLICY, page_row
from controller.pages.app import PagesApp
from controller.pages.view import Traffic
from tests.fakes.desk import FakeDesk


def paths(routes: Iterable[BaseRoute]) -> list[str]:
    return [route.path for route in routes if isinstance(route, Route)]


def test_promise_7_every_page_has_a_row(tmp_path: Path) -> None:
    pages = PagesApp(FakeDesk(tmp_path), traffic=lambda: Traffic(0, 0), metrics=lambda: (b"", ""))
    served = paths(pages._starlette.routes)
    assert "/" in served
    for path in served:
        assert page_row(path.replace("{name:path}", "x")) is not None, path


def test_promise_7_every_route_of_the_management_api_has_a_row(tmp_path: Path) -> None:
    served = {path for path in Api(FakeDesk(tmp_path))._application.openapi()["paths"]}
    named = {path.replace("{model}", "{name}") for path in served}
    assert named
    assert named <= set(POLICY), named - set(POLICY)
