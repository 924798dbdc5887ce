"""The answers that are kept for some seconds: clients ask for them before every message, and some give up in five.

They are dropped when something changes through us, and served stale while the engine is away.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.dialect import Headers
from controller.proxy.routes import Listed

AGE = 10.0  # seconds an answer counts as fresh
_LONGEST_ASKED = 4096  # bytes of a request whose answer is kept
LARGEST = 2**20  # bytes of an answer that is kept; `show` with `verbose` has tens of megabytes
_TOGETHER = 16 * 2**20  # bytes kept in all

Key = tuple[str, bytes, bool]
"""Path, request body, and whether Copilot asks (it is shown other things)."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer, and when it was true."""

    headers: Headers
    body: bytes
    at: float
    epoch: int


class Lists:
    """What is kept. Each kind has an epoch; a change begins the next one, and what is of an earlier one is stale."""

    def __init__(self) -> None:
        self._kept: dict[Key, KeptAnswer] = {}
        self._size = 0
        self._epochs = dict.fromkeys(Listed, 0)

    def epoch(self, listed: Listed) -> int:
        """Ask before fetching, hand it to `keep`: what was fetched before a change must not pass for what is after."""
        return self._epochs[listed]

    def fresh(self, key: Key, listed: Listed, now: float) -> KeptAnswer | None:
        """The answer, if it is at most `AGE` old and nothing has changed since."""
        kept = self.stale(key)
        return kept if kept and now - kept.at <= AGE and kept.epoch == self._epochs[listed] else None

    def stale(self, key: Key) -> KeptAnswer | None:
        """The answer, however old."""
        return self._kept.get(key) if len(key[1]) <= _LONGEST_ASKED else None

    def keep(self, key: Key, kept: KeptAnswer) -> None:
        """Remember an answer; the oldest go when all together are too large."""
        if len(kept.body) > LARGEST or len(key[1]) > _LONGEST_ASKED:
            return
        old = self._kept.pop(key, None)
        self._kept[key] = kept
        self._size += _weight(key, kept) - (_weight(key, old) if old else 0)
        while self._size > _TOGETHER:
            first = next(iter(self._kept))
            self._size -= _weight(first, self._kept.pop(first))

    def changed(self) -> None:
        """A model was made, copied, deleted or pulled, or the engine itself is another one."""
        for listed in Listed:
            self._epochs[listed] += 1

    def moved(self) -> None:
        """A model may have been loaded or unloaded."""
        self._epochs[Listed.PS] += 1


def _weight(key: Key, kept: KeptAnswer) -> int:
    return len(key[0]) + len(key[1]) + len(kept.body) + 512
