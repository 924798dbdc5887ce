"""Keys that have been renamed since an operator may have written them. A renamed key works, and is told once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Rename:
    """`old` and `new` are ways from the top: `("server", "hold")`. They may lie in different files."""

    old: tuple[str, ...]
    new: tuple[str, ...]

    def holds(self, way: tuple[str | int, ...]) -> bool:
        """Whether a way leads to the old place or below it."""
        return way[: len(self.old)] == self.old


RENAMES: Final[tuple[Rename, ...]] = ()


def apply_renames(data: MutableMapping[str, Any], renames: Iterable[Rename]) -> Iterator[tuple[Rename, bool]]:
    """Move each renamed value to its new place. Yields what was found, and whether both names were there.

    With both there the old one is dropped: which of them is meant is the operator's to say.
    """
    for rename in renames:
        holder = _block(data, rename.old[:-1])
        if holder is None or rename.old[-1] not in holder:
            continue
        value = holder.pop(rename.old[-1])
        target = _block(data, rename.new[:-1], make=True)
        both = target is None or rename.new[-1] in target
        if target is not None and not both:
            target[rename.new[-1]] = value
        yield rename, both


def _block(data: MutableMapping[str, Any], way: tuple[str, ...], *, make: bool = False) -> dict[str, Any] | None:
    """The block at `way`; None where there is none, or something else stands in its place."""
    block: Any = data
    for key in way:
        if make and block.get(key) is None:
            block[key] = {}
        block = block.get(key)
        if not isinstance(block, dict):
            return None
    return block if isinstance(block, dict) else None
