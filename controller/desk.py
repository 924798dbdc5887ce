"""What an operator may ask of a running controller: the seam between the roof and the edges."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from controller.config.schema import Config
from controller.events import Journal
from controller.supervision.spec import ChildStatus


class Desk(Protocol):
    """The running controller, as everything on the edges sees it."""

    version: str
    started_at: float  # seconds since the epoch
    journal: Journal
    data: Path
    logs: Path

    @property
    def config(self) -> Config:
        """What runs now."""
        ...

    @property
    def config_problems(self) -> list[str]:
        """Why the YAML on disk is not what runs; empty when it is."""
        ...

    @property
    def phase(self) -> str:
        """One of "running", "safe" (no YAML ever loaded: page, doctor, control socket only), "draining", "stopping"."""
        ...

    @property
    def listeners(self) -> list[dict[str, object]]:
        """Each open listener: address, url, kind, connections."""
        ...

    @property
    def ready(self) -> bool:
        """Whether `/readyz` says 200: upstream answers its probe and nothing drains or is held."""
        ...

    def children(self) -> list[ChildStatus]:
        """Every child, Ollama first."""
        ...

    async def start_child(self, name: str) -> None:
        """Start it now, whatever its backoff says. Raises KeyError for a name that is not a child's."""
        ...

    async def stop_child(self, name: str) -> None:
        """Stop it and keep it stopped until told otherwise. Raises KeyError."""
        ...

    async def restart_child(self, name: str) -> None:
        """Drain what uses it, stop it, start it. Returns when it is ready or has failed. Raises KeyError."""
        ...

    async def reload(self) -> list[str]:
        """Read the YAML now. Returns what changed, one sentence each; raises ConfigInvalid."""
        ...

    def leave(self, *, keep_children: bool) -> None:
        """Begin to drain and leave: with the children (`down`), or without (`restart`: the next one adopts them).

        `phase` is "draining" at once. It becomes what it was again when a service manager would undo a `down`: then
        only the children are stopped.
        """
        ...
