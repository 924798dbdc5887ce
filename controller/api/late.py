"""The API, made late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.desk import Desk
from controller.late import Late

if TYPE_CHECKING:
    from controller.api.app import Api


class LateApi(Late["Api"]):
    """All of `/api/v1/`, as one ASGI application. The caller's Principal is in `seadragon.who` of the scope."""

    def __init__(self, desk: Desk) -> None:
        def make() -> Api:
            from controller.api.app import Api

            return Api(desk)

        super().__init__(make, desk.journal, "the management API")
