"""Which requests the audit wants to know of, and what it calls them: those that were turned away at the door, and those
that changed what everybody gets. Pure.

What is ordered by the management API is noted where it is carried out, with more detail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from controller.auth.policy import POLICY, Right
from controller.proxy.routes import ROUTES, Kind
from controller.proxy.tally import AccessRecord
from controller.refusal import Reason

_SPOOFED: Final = frozenset({Reason.PROXIED.value, Reason.ADDRESS.value})
_KEYS: Final = frozenset(each.value for each in (Reason.KEY, Reason.KEYS, Reason.ENDED, Reason.GUESSING))
_REFUSED: Final = frozenset(
    each.value
    for each in (
        Reason.STRANGER,
        Reason.DENIED,
        Reason.UNSURE,
        Reason.TUNNEL,
        Reason.RIGHT,
        Reason.MANAGE,
        Reason.OFF,
        Reason.HOST,
    )
) | {Reason.ORIGIN.value, Reason.RATE.value}
TURNED_AWAY: Final = _SPOOFED | _KEYS | _REFUSED
"""Reasons of requests that had no right to be made."""

DEEDS: Final[Mapping[tuple[str, str], str]] = {
    (route.path, method): f"models.{route.path.rsplit('/', 1)[-1] if '{' not in route.path else 'blob'}"
    for route in ROUTES
    for method in route.methods
    if route.kind is not Kind.API and POLICY[route.path].needs is Right.MANAGE and method not in ("GET", "HEAD")
}
"""What clients change of the models by an API of others: by route and method, as the audit calls it."""


class Notes(Protocol):
    """The audit, as far as requests are concerned."""

    def note(
        self,
        what: str,
        *,
        actor: str,
        target: str = "",
        outcome: str = "done",
        peer: str = "",
        request: str = "",
        facts: Mapping[str, object] | None = None,
    ) -> None: ...

    def refused(
        self, what: str, *, peer: str, actor: str = "", target: str = "", reason: str = "", request: str = ""
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Noting:
    """Tells the audit of a request that `TURNED_AWAY` or `DEEDS` picked out."""

    audit: Notes

    def __call__(self, record: AccessRecord) -> None:
        if record.reason in TURNED_AWAY:
            self.audit.refused(
                _called(record.reason),
                peer=record.peer,
                actor=record.who,
                target=f"{record.method} {record.route}",
                reason=record.reason,
                request=record.id,
            )
            return
        outcome = "done" if record.status < 400 and not record.reason else "failed"
        facts = {"status": record.status, **({"reason": record.reason} if record.reason else {})}
        self.audit.note(
            DEEDS[record.route, record.method],
            actor=record.who,
            target=record.model or record.route,
            outcome=outcome,
            peer=record.peer,
            request=record.id,
            facts=facts,
        )


def _called(reason: str) -> str:
    if reason in _SPOOFED:
        return "door.spoofed"
    return "door.wrong_key" if reason in _KEYS else "door.refused"
