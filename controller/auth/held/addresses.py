"""Addresses that an order let in or keeps out, beside the permanent ones of `access.yaml`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from controller.auth.held import checks
from controller.auth.held.given import Giving
from controller.auth.held.ledger import Entry, order
from controller.auth.rows import OPERATOR, AllowRow, Verdict
from controller.auth.secrets import make_id
from controller.errors import OrderRefused

LANE: Final = 1.0


class Addresses(Giving):
    """The part of the holders that keeps addresses."""

    @property
    def allowed(self) -> Mapping[str, AllowRow]:
        """All entries by id, denied and expired ones too: deny beats allow, and `expires_at` ends both."""
        return MappingProxyType(self._allowed)

    def address_used(self, id: str) -> None:
        """Note that an entry was just met. Costs next to nothing."""
        if entry := self._allowed.get(id):
            noted = self._uses[AllowRow].get(id)
            self._used(entry, hits=(noted["hits"] if noted else entry.hits) + 1)

    @order
    async def allow_add(
        self,
        entry: Entry,
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
        alike = (each for each in self._allowed.values() if (each.cidr, each.verdict) == (spelled, wanted))
        if any(each.expires_at is None or each.expires_at > now for each in alike):
            raise OrderRefused(f"There is an entry for {spelled} already. Remove it first.", "conflict")
        row = AllowRow(
            id=make_id(self._random),
            label=self._free(checks.unmistakable(label, "A label")),
            cidr=spelled,
            verdict=wanted,
            lane=checks.lane(lane),
            scopes=checks.scopes(scopes, "address"),
            models=checks.models(models),
            created_at=now,
            by=by,
            giver=self._gives(giver),
            expires_at=checks.moment(expires_at, now),
        )
        return await entry.put(row)

    @order
    async def allow_remove(self, entry: Entry, id: str) -> None:
        """Remove an entry. Raises SeadragonError."""
        if (row := self._allowed.get(id)) is None:
            raise OrderRefused("There is no such entry. Those of access.yaml are changed there.", "unknown")
        await entry.drop(row)
