"""Which names people would take for one another: after NFKC, whatever the case, with letters that look alike taken for
one (Unicode TR39), and without what nobody sees. Pure.

The library's tables take 11 MB and a third of a second once, so it is imported when a name is first given.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from controller.auth.rows import folded


def alike(name: str, others: Iterable[str]) -> str | None:
    """The first of `others` that somebody could take for `name`; None when there is none."""
    return next((other for other in others if not _looks(name).isdisjoint(_looks(other))), None)


def visible(name: str) -> bool:
    """Whether there is anything to be seen of it."""
    return bool(_skeleton(name))


@lru_cache(4096)
def _looks(name: str) -> frozenset[str]:
    """What a name may be read as. Letters look alike in one case and not in the other: a Greek `ΜΙΑ` is a Latin `MIA`,
    while no Latin letter is like its `μ`. So each case is looked at.
    """
    small = folded(name)
    return frozenset({small, _skeleton(name), _skeleton(small), _skeleton(small.upper())} - {""})


def _skeleton(name: str) -> str:
    from disarm import skeleton_key

    return skeleton_key(name, digit_policy="tr39").replace("rn", "m")  # TR39 has m for rn; the library leaves it out
