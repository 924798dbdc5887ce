"""Where rights are ordered: the rows of `orders/rights.py`, each carried out as `deeds.py` says, with what follows from
it. Each order is in the audit afterwards, however it ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from controller.auth.deeds import DEEDS, Means
from controller.auth.held.transaction import Given
from controller.auth.holdings import Holdings
from controller.auth.rows import AllowRow, InviteRow, KeyRow, LinkRow
from controller.desk import AuditView, By
from controller.orders.carrying import audited
from controller.orders.fields import read
from controller.orders.table import order_called
from controller.storage.database import to_its_end

_ITSELF: Final = By("seadragon", "")
"""What nobody ordered."""
_KINDS: Final[Mapping[type[Given], str]] = {
    KeyRow: "keys",
    InviteRow: "invites",
    AllowRow: "allow",
    LinkRow: "links",
}
"""What was given out, as the orders about it are called."""


@dataclass(frozen=True, slots=True)
class _Followed:
    """What became of what somebody had given out when they lost the right to."""

    ended: list[Given] = field(default_factory=list)
    handed: list[Given] = field(default_factory=list)


_FOLLOWED: Final[ContextVar[_Followed | None]] = ContextVar("followed", default=None)
"""Of the order that is being carried out here; None outside of any."""


class Office:
    """`order` is all that anybody needs of it; `shown` is who holds what."""

    def __init__(self, means: Means, audit: AuditView) -> None:
        self.shown: Holdings = means.shown
        self._means, self._audit = means, audit
        means.holders.ledger.followed.append(self._follow)

    async def order(self, name: str, by: By, /, **arguments: Any) -> Any:
        """Carry out an order; what comes of it. Raises SeadragonError, also for what is no order."""
        row = order_called(name)
        fields = read(name, row.fields, arguments)
        await self._means.holders.ledger.here()
        return await to_its_end(self._carry_out(name, by, fields))

    async def _carry_out(self, name: str, by: By, fields: Mapping[str, Any]) -> Any:
        """The deed and its row in the audit: whoever hangs up in between leaves neither without the other."""
        followed = _Followed()
        _FOLLOWED.set(followed)  # for this task, which ends with the order
        wanted = str(fields.get("id") or fields.get("user") or fields.get("name") or "")
        deed = DEEDS[name]
        answer = await audited(self._audit, name, by, fields, wanted, lambda: deed(self._means, by, **fields))
        self._note_followed(by, followed)
        return answer | self._told_followed(followed) if isinstance(answer, dict) else answer

    def _follow(self, ended: Sequence[Given], handed: Sequence[Given]) -> None:
        """Somebody lost the right to have given out these, by an order or by the clock."""
        if (followed := _FOLLOWED.get()) is None:
            return self._note_followed(_ITSELF, _Followed([*ended], [*handed]))
        followed.ended.extend(ended)
        followed.handed.extend(handed)

    def _note_followed(self, by: By, followed: _Followed) -> None:
        for row in followed.ended:
            self._note(f"{_KINDS[type(row)]}.ended", by, row, {"given_by": self.shown.giver(row)})
        for row in followed.handed:
            self._note(f"{_KINDS[type(row)]}.handed", by, row, {"to": self.shown.giver(row)})

    def _note(self, name: str, by: By, row: Given, facts: Mapping[str, object]) -> None:
        target = self.shown.named(row)
        self._audit.note(name, actor=by.actor, target=target, peer=by.peer, request=by.request, facts=facts)

    def _told_followed(self, followed: _Followed) -> dict[str, Any]:
        named = self.shown.named
        told = {"also_ended": [*map(named, followed.ended)], "handed_over": [*map(named, followed.handed)]}
        return {name: those for name, those in told.items() if those}
