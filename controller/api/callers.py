"""Who calls the API, as the data plane found out, and what they may."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from controller.auth.access import Principal
from controller.proxy.callers import may_not_manage

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


Caller = Annotated[Principal, Depends(who)]
