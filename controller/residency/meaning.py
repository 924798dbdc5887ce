"""What a name means here: the one place that every route, order and list asks. Pure.

A name is read by the one parser (`spelling.py`), then `models.redirect` may give it another meaning. What is no name
means nothing, unless a redirection is written for it, and is refused by whoever was asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from controller.spelling import LONGEST, Name, parse

_REMEMBERED: Final = 1024
_WILD: Final = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Meaning:
    """A model that is meant, and how it came to that."""

    name: Name
    redirected: bool = False


class Meanings:
    """`models.redirect`, ready to be asked. An exact name goes first, then the longest pattern. A redirection is
    followed once: it leads to a model, not to another redirection.
    """

    def __init__(self, redirects: Mapping[str, str] | None = None) -> None:
        redirects = redirects or {}
        self._exact: dict[str, str] = {_key(name): target for name, target in redirects.items()}
        self._patterns = sorted(
            ((name.lower(), target) for name, target in redirects.items() if _WILD & set(name)),
            key=lambda item: (-len(item[0]), item[0]),
        )
        self._known: dict[str, Meaning | None] = {}
        self.listed: Mapping[str, Name] = {
            name: target
            for name, written in redirects.items()
            if not _WILD & set(name) and (target := parse(written)) is not None
        }
        """The redirected names that a list can show, as they are written, and what each means."""

    @property
    def remembered(self) -> int:
        """How many texts it need not look at again."""
        return len(self._known)

    def of(self, text: str) -> Meaning | None:
        """What `text` means; None when it means nothing."""
        if len(text) > LONGEST:
            return None
        if text not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[text] = self._look(text)
        return self._known[text]

    def redirects(self, text: str) -> bool:
        """Whether `text` means another model than the one of that name."""
        meaning = self.of(text)
        return meaning is not None and meaning.redirected

    def _look(self, text: str) -> Meaning | None:
        own = parse(text)
        target = self._target(text, own)
        other = None if target is None else parse(target)
        if other is None or (own is not None and own.full == other.full):
            return None if own is None else Meaning(own)
        return Meaning(other, redirected=True)

    def _target(self, text: str, own: Name | None) -> str | None:
        found = self._exact.get(_key(text))
        if found is None:
            raw = text.strip().lower()
            spellings = {raw} if own is None else {raw, own.full, own.full.removesuffix(":latest")}
            matches = (to for pattern, to in self._patterns if any(fnmatchcase(one, pattern) for one in spellings))
            found = next(matches, None)
        return found


def _key(name: str) -> str:
    """One spelling for all of a name's; for what is no name, itself."""
    read = parse(name)
    return name.strip().lower() if read is None else read.full
