"""Who calls the API, as the data plane found out, and what they may."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Final

from fastapi import Depends, Request

from controller.auth.access import Principal
from controller.auth.policy import Right
from controller.proxy.callers import may_not_manage

NOT_ADMIN: Final = (
    "This is for admins: use a key with the scope `admin`, sign in as an admin, or run `seadragon` on the server."
)
_NOBODY = Principal("", rights=frozenset())


class MayNot(Exception):
    """The caller may look, and not touch."""


def who(request: Request) -> Principal:
    """Who calls; nobody, who may nothing, when nobody was recognised."""
    found = request.scope.get("seadragon.who")
    return found if isinstance(found, Principal) else _NOBODY


def manager(request: Request) -> Principal:
    """Who calls, if they may give orders. Raises MayNot."""
    caller = who(request)
    if not caller.manage:
        raise MayNot(may_not_manage(caller).text)
    return caller


def admin(request: Request) -> Principal:
    """Who calls, if they are an admin. Raises MayNot."""
    caller = who(request)
    if not caller.may(Right.ADMIN):
        raise MayNot(NOT_ADMIN)
    return caller


def needing(right: str) -> Callable[[Request], Principal]:
    """What asks for the right that a row of orders or views names."""
    return _ASKED[right]


_ASKED: Final[Mapping[str, Callable[[Request], Principal]]] = {"list": who, "manage": manager, "admin": admin}
Caller = Annotated[Principal, Depends(who)]
