"""Names: of people, keys and addresses, each of which means one only, to whoever reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from controller.auth.held.memory import HeldRows
from controller.auth.lookalikes import alike
from controller.clock import Clock
from controller.config.entry import Access
from controller.errors import OrderRefused
from controller.events import Journal


class NamesInUse:
    """Keeps names apart. They are for people alone: nothing is decided by them."""

    def __init__(self, rows: HeldRows, access: Callable[[], Access], clock: Clock, journal: Journal) -> None:
        self._rows, self._access, self._clock, self._journal = rows, access, clock, journal

    def taken(self, name: str) -> bool:
        """Whether somebody or something has that name already, or one that looks like it."""
        return alike(name, self._names("")) is not None

    def tell_mistaken(self) -> None:
        """Say which labels of access.yaml would be taken for a name that is given already: nobody asked us there."""
        names = [*self._names("", configured=False)]
        for entry in self._access().allow:
            if (other := alike(entry.label, names)) is not None:
                words = f"access.yaml calls an entry {entry.label}, which looks like {other}. Rename one of the two."
                self._journal.say("door", words, level="warning")

    def free(self, name: str, but: str = "") -> str:
        """`name`, unless somebody or something else has it, or one that looks like it. `but`: the id of whose it is.

        Raises OrderRefused.
        """
        if (other := alike(name, self._names(but))) is not None:
            looks = "" if other == name else ", which looks like it"
            raise OrderRefused(
                f"Somebody or something is called {other} already{looks}. Choose another name.", "conflict"
            )
        return name

    def _names(self, but: str, *, configured: bool = True) -> Iterator[str]:
        """A revoked key and an expired entry give their names back: neither ever counts again."""
        now, rows = self._clock.wall(), self._rows
        yield from (user.name for user in rows.users.values() if user.id != but)
        yield from (key.name for key in rows.keys.values() if key.id != but and key.revoked_at is None)
        yield from (each.label for each in rows.allowed.values() if each.expires_at is None or each.expires_at > now)
        if configured:
            yield from (entry.label for entry in self._access().allow)
