"""When a changed field takes effect. Each field of the schema carries exactly one of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

OWN: Final = "*"

Kind = Literal["at_once", "drains", "restarts", "listener"]


@dataclass(frozen=True, slots=True)
class Impact:
    """`at_once`: the next request or the next tick sees it.
    `drains`: answers in flight finish first (at most `drain`), requests that arrive are held, then `target` restarts.
    `restarts`: `target` is stopped and started again.
    `listener`: the listener it belongs to is drained, closed and opened again; other listeners go on.

    `target` is a child's name; "*" means the child whose block in `children:` the field is in.
    """

    kind: Kind
    target: str = ""


AT_ONCE = Impact("at_once")
LISTENER = Impact("listener")


def drains(child: str) -> Impact:
    """`child` restarts once the answers in flight are finished."""
    return Impact("drains", child)


def restarts(child: str) -> Impact:
    """`child` restarts."""
    return Impact("restarts", child)
