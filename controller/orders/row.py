"""One row of the table of orders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from controller.orders.fields import Field

Touches = Literal["models", "line", "children", "configuration", "storage", "controller", "rights"]
Needs = Literal["manage", "admin", "operator"]
"""The right an order needs, as `auth/policy.yaml` calls it. operator: only on the machine itself, over no network."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way of giving an order by hand: a command of the terminal, a button of a page, or both."""

    help: str  # one sentence: what happens
    command: str = ""  # `keys pause`; "": not in the terminal
    label: str = ""  # on a button
    button: str = ""  # the name of the first page's button; "": it has none there
    asks: str = ""  # the field that the button's value is; "": none
    done: str = ""  # what is said when it is done: a format of its answer
    given: tuple[tuple[str, object], ...] = ()  # the fields that this way settles by itself
    confirm: str = ""  # what a page asks before; "": nothing


@dataclass(frozen=True, slots=True)
class Order:
    """What may be ordered. `name` is what the audit calls it, too."""

    name: str
    needs: Needs
    touches: Touches
    summary: str  # for OpenAPI
    fields: tuple[Field, ...] = ()
    about: str = ""  # what it is done to, for the audit: a format of its fields; "": what is carried out says so
    ways: tuple[Way, ...] = ()
    route: str = ""  # `POST /keys/pause`, below the API's root; "": not over HTTP
    body: str = ""  # the name of its body in OpenAPI
    status: int = 200  # when it is done
    job: bool = False  # it may take minutes: the answer is a job, which tells how far it is
    patient: bool = False  # the control socket waits for an engine that is still coming
    verb: str = ""  # of the control socket, where it has one of its own

    @property
    def method(self) -> str:
        """Of its route; "" when it has none."""
        return self.route.partition(" ")[0]

    @property
    def path(self) -> str:
        """Of its route, below the API's root; "" when it has none."""
        return self.route.partition(" ")[2]

    def target(self, fields: Mapping[str, Any]) -> str:
        """What it is done to, in words."""
        return self.about.format_map(fields)
