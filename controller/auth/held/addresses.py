"""Addresses that an order let in or keeps out, beside the permanent ones of `access.yaml`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from controller.auth.held import checks
from controller.auth.held.given import Giving
from controller.auth.held.ledger import Ledger
from controller.auth.held.memory import HeldRows
from controller.auth.held.named import NamesInUse
from controller.auth.held.store import RowStore, order
from controller.auth.held.transaction import Transaction
from controller.auth.held.uses import LastUses
from controller.auth.rows import OPERATOR, AllowRow, Verdict
from controller.auth.secrets import Random, make_id
from controller.clock import Clock
from controller.errors import OrderRefused

LANE: Final = 1.0


class AddressStore(RowStore[AllowRow]):
    """All entries by id, denied and expired ones too: deny beats allow, and `expires_at` ends both."""

    def __init__(
        self,
        ledger: Ledger,
        rows: HeldRows,
        giving: Giving,
        names: NamesInUse,
        uses: LastUses,
        clock: Clock,
        random: Random,
    ) -> None:
        super().__init__(ledger, rows.allowed)
        self._giving, self._names, self._uses, self._clock, self._random = giving, names, uses, clock, random

    def used(self, id: str) -> None:
        """Note that an entry was just met. Costs next to nothing."""
        if row := self.get(id):
            self._uses.note(row, self._clock.wall(), hits=self._uses.of(row, "hits") + 1)

    @order
    async def add(
        self,
        tx: Transaction,
        cidr: str,
        label: str,
        *,
        by: str,
        giver: str = OPERATOR,
        verdict: Verdict = "allow",
        lane: float = LANE,
        scopes: Sequence[str] = ("infer",),
        models: Sequence[str] = (),
        expires_at: float | None = None,
    ) -> AllowRow:
        """Let an address or range in, or keep it out. Raises SeadragonError."""
        now, wanted = self._clock.wall(), checks.verdict(verdict)
        spelled = checks.cidr(cidr, wanted)
        alike = (each for each in self.values() if (each.cidr, each.verdict) == (spelled, wanted))
        if any(each.expires_at is None or each.expires_at > now for each in alike):
            raise OrderRefused(f"There is an entry for {spelled} already. Remove it first.", "conflict")
        row = AllowRow(
            id=make_id(self._random),
            label=self._names.free(checks.unmistakable(label, "A label")),
            cidr=spelled,
            verdict=wanted,
            lane=checks.lane(lane),
            scopes=checks.scopes(scopes, "address"),
            models=checks.models(models),
            created_at=now,
            by=by,
            giver=self._giving.good(giver),
            expires_at=checks.moment(expires_at, now),
        )
        return await tx.put(row)

    @order
    async def remove(self, tx: Transaction, id: str) -> None:
        """Remove an entry. Raises SeadragonError."""
        if (row := self.get(id)) is None:
            raise OrderRefused("There is no such entry. Those of access.yaml are changed there.", "unknown")
        await tx.drop(row)
