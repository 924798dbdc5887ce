"""The pages, made late."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from controller.auth.signin import SignIn
from controller.desk import Desk
from controller.late import Late
from controller.pages.view import Traffic

if TYPE_CHECKING:
    from controller.pages.app import PagesApp

Scrape: TypeAlias = Callable[[], tuple[bytes, str]]
"""The text of `/metrics` and its content type."""


class LatePages(Late["PagesApp"]):
    """All pages, as for `PagesApp`. `metrics` is made with them."""

    def __init__(
        self,
        desk: Desk,
        *,
        traffic: Callable[[], Traffic],
        metrics: Callable[[], Scrape],
        signin: SignIn | None = None,
    ) -> None:
        def make() -> PagesApp:
            from controller.pages.app import PagesApp

            return PagesApp(desk, traffic=traffic, metrics=metrics(), signin=signin)

        super().__init__(make, desk.journal, "the pages")
