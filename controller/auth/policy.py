"""Who may do what: the one table, `policy.yaml` beside this file, with the rows of the tables of orders and views. Code
asks it, tests hold it against the routes.

A route without a row is not served at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

import yaml

from controller.orders.table import ORDERS
from controller.orders.views import ROOT, VIEWS


class Right(StrEnum):
    """What a principal needs."""

    ANYONE = "anyone"
    INFER = "infer"
    EMBED = "embed"
    AUDIO = "audio"
    LIST = "list"
    CHAT = "chat"  # the pages for people
    MANAGE = "manage"  # models
    ADMIN = "admin"  # people, keys, invites, the allow-list, the audit, everybody's usage
    NOBODY = "nobody"  # switched off


class Tunnel(StrEnum):
    """Whether a route answers those who come through the tunnel."""

    YES = "yes"
    NO = "no"
    SURFACE = "admin-surface"  # once `surfaces.admin.tunnel` opens it


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    needs: Right
    note: str = ""
    tunnel: Tunnel = Tunnel.YES
    linked: bool = True  # of a page: whether a link to it may stand anywhere


@dataclass(frozen=True, slots=True)
class RoleRights:
    """What callers of a role may do: by default, and the most that access.yaml can give them."""

    may: frozenset[Right]
    most: frozenset[Right]
    who: str


def _row(entry: Mapping[str, str]) -> Row:
    tunnel, linked = Tunnel(entry.get("tunnel", "yes")), entry.get("linked") != "no"
    return Row(Right(entry["needs"]), entry.get("note", ""), tunnel, linked)


def _role(entry: Mapping[str, Any]) -> RoleRights:
    return RoleRights(frozenset(map(Right, entry["may"])), frozenset(map(Right, entry["most"])), entry["who"])


_TABLE: Final = yaml.load(  # every value is text here, `no` too
    files("controller.auth").joinpath("policy.yaml").read_bytes(),
    yaml.BaseLoader,  # noqa: S506 - BaseLoader knows text, lists and maps only
)

ROLES: Final[Mapping[str, RoleRights]] = {name: _role(entry) for name, entry in _TABLE["roles"].items()}
IMPLIED: Final[Mapping[Right, frozenset[Right]]] = {
    Right(name): frozenset(map(Right, others)) for name, others in _TABLE["implied"].items()
}
POLICY: Final[Mapping[str, Row]] = {
    **{route: _row(entry) for route, entry in _TABLE["routes"].items()},
    **{
        f"{ROOT}{order.path}": Row(Right(order.needs), tunnel=Tunnel.SURFACE)
        for order in ORDERS.values()
        if order.route
    },
    **{f"{ROOT}{each.path}": Row(Right(each.needs), each.note, Tunnel(each.tunnel)) for each in VIEWS.values()},
}
"""By route of the API. Where the same path is looked at and ordered by, both need the same."""
PAGES: Final[Mapping[str, Row]] = {path: _row(entry) for path, entry in _TABLE["pages"].items()}

_LONGEST_PATH: Final = 1024  # characters; no page has as many
_HEARTBEAT: Final = POLICY["HEAD /"]
_BELOW: Final = {path.removesuffix("*"): row for path, row in PAGES.items() if path.endswith("*")}


def row_of(method: str, route: str) -> Row:
    """The row of a route of the API. Raises KeyError: then it must not be served."""
    return _HEARTBEAT if route == "/" and method == "HEAD" else POLICY[route]


def page_row(path: str) -> Row | None:
    """The row of a page; None: there is none at this path, whatever the pages themselves think."""
    return _page_row(path) if len(path) <= _LONGEST_PATH else None


@lru_cache(1024)
def _page_row(path: str) -> Row | None:
    if path.endswith("*"):
        return None
    return PAGES.get(path) or next((row for start, row in _BELOW.items() if path.startswith(start)), None)
