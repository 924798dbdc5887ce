"""Keys: who has one, what it may do, and its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Unpack

from controller.auth.held import checks
from controller.auth.held.checks import KeyFields, KeyLimits
from controller.auth.held.given import Giving
from controller.auth.held.ledger import Entry, order
from controller.auth.rows import OPERATOR, KeyRow
from controller.auth.secrets import NewKey, make_key
from controller.errors import OrderRefused

LANE: Final = 2.0


class Keys(Giving):
    """The part of the holders that keeps keys."""

    def keys_of(self, user_id: str) -> list[KeyRow]:
        """A person's keys, oldest first."""
        return sorted((key for key in self._keys.values() if key.user_id == user_id), key=lambda key: key.created_at)

    def key_used(self, id: str, peer: str) -> None:
        """Note that a key was just used from the address `peer`. Costs next to nothing; unknown ids are passed over."""
        if key := self._keys.get(id):
            self._used(key, used_from=peer)

    @order
    async def create_key(
        self,
        entry: Entry,
        name: str,
        *,
        by: str,
        giver: str = OPERATOR,
        user_id: str | None = None,
        lane: float = LANE,
        scopes: Sequence[str] = ("infer",),
        models: Sequence[str] = (),
        cidrs: Sequence[str] = (),
        **limits: Unpack[KeyLimits],
    ) -> NewKey:
        """Make a key; its text is in the answer and nowhere else. `user_id` None: the house's own.

        Raises SeadragonError.
        """
        now = self._clock.wall()
        if user_id is not None and user_id not in self._users:
            raise OrderRefused("There is no such person.", "unknown")
        made = make_key(self._random)
        if made.id in self._keys:
            raise OrderRefused("That id is taken already. Try again.", "conflict")
        row = KeyRow(
            id=made.id,
            hash=made.hash,
            last4=made.last4,
            name=self._free(checks.unmistakable(name)),
            user_id=user_id,
            lane=checks.lane(lane),
            scopes=checks.scopes(scopes, "key"),
            models=checks.models(models),
            cidrs=checks.cidrs(cidrs),
            created_at=now,
            by=by,
            giver=self._gives(giver),
            **checks.fields(limits, checks.KEY_LIMITS, now),
        )
        await entry.put(row)
        return made

    @order
    async def change_key(self, entry: Entry, id: str, *, keep: str = "", **fields: Unpack[KeyFields]) -> KeyRow:
        """Have it say something else. Without the right to give, what it gave out ends, or goes to the admin `keep`.

        Raises SeadragonError.
        """
        changes = checks.fields(fields, checks.KEY, self._clock.wall())
        if "name" in changes:
            self._free(changes["name"], but=id)
        entry.heir = self._heir(keep, f"key:{id}")
        return await entry.change(self._key(id), **changes)

    @order
    async def pause_key(self, entry: Entry, id: str) -> KeyRow:
        """Refuse it, and what it gave out, until it is resumed. Raises SeadragonError."""
        return await entry.change(self._key(id), paused=True)

    @order
    async def resume_key(self, entry: Entry, id: str) -> KeyRow:
        """Take it again, and what it gave out. Raises SeadragonError."""
        return await entry.change(self._key(id), paused=False)

    @order
    async def revoke_key(self, entry: Entry, id: str, *, keep: str = "") -> KeyRow:
        """Refuse it for ever, and what it gave out, unless that goes to the admin `keep`. Doing so twice is no mistake.

        Raises SeadragonError.
        """
        entry.heir = self._heir(keep, f"key:{id}")
        if (key := self._keys.get(id)) is not None and key.revoked_at is not None:
            return key
        return await entry.change(self._key(id), revoked_at=self._clock.wall())

    def _key(self, id: str) -> KeyRow:
        """The key that an order is about. Raises OrderRefused."""
        key = self._keys.get(id)
        if key is None:
            raise OrderRefused("There is no such key.", "unknown")
        if key.revoked_at is not None:
            raise OrderRefused("This key is revoked, for good. Make a new one.", "conflict")
        return key
