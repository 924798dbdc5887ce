"""The configuration as one frozen tree. Three files, three branches: `server.yaml`, `models.yaml`, `access.yaml`.

Every leaf says what it means (`description`) and when a change takes effect (an `Impact` in its annotation); the
commented examples in `config/` teach the same tree to people, and tests hold the two together. Each engine brings its
own part (`engines/settings.py`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from controller.config.entry import Access
from controller.config.listening import FirstFiller, LimitSettings, Listener, Surfaces
from controller.config.machine import AuditSettings, Backup, LogSettings, Memory, PowerSettings, UsageSettings
from controller.config.models import Models
from controller.config.processes import Programs
from controller.config.waiting import LineSettings
from controller.engines.settings import EngineSections
from controller.settings.impact import AT_ONCE
from controller.settings.units import Seconds
from controller.settings.values import DAY, Branch, Prefix

_OWN_FILES = 512  # open at a time for everything but answers: logs, the database, keepers, tools


class Gateway(Branch):
    """Listeners, the line, and what this machine gives."""

    listeners: tuple[Listener, ...] = Field(
        (Listener(address="127.0.0.1:8420"),), min_length=1, description="Where clients connect."
    )
    prefixes: Annotated[tuple[Prefix, ...], AT_ONCE] = Field(
        ("/api/code", "/ollama"), description="Path prefixes under which the whole API answers too. They add no right."
    )
    require_https: Annotated[Literal["off", "pages", "all"], AT_ONCE] = Field(
        "off",
        description="pages: people are sent on to https. all: a key that comes over plain http is refused as well. "
        "This computer itself is excepted.",
    )
    surfaces: Surfaces = Surfaces()
    hold: Annotated[Seconds, AT_ONCE] = Field(
        60, ge=0, le=DAY, description="Longest a request waits for its engine to come back."
    )
    drain: Annotated[Seconds, AT_ONCE] = Field(
        120, ge=0, le=DAY, description="Time that answers in flight get before a stop."
    )
    adopt_grace: Annotated[Seconds, AT_ONCE] = Field(
        60, ge=1, le=DAY, description="How long children outlive a crashed controller, waiting for the next one."
    )
    first_filler: FirstFiller = FirstFiller()
    limits: LimitSettings = LimitSettings()
    line: LineSettings = LineSettings()
    memory: Memory = Memory()
    power: PowerSettings = PowerSettings()
    backup: Backup = Backup()
    log: LogSettings = LogSettings()
    usage: UsageSettings = UsageSettings()
    audit: AuditSettings = AuditSettings()


class Server(Programs, EngineSections, Gateway):
    """server.yaml: processes, listeners, limits."""

    @property
    def files_needed(self) -> int:
        """Files that are open when every connection is used: each answer takes two, and a tunnel has a listener too."""
        return 2 * self.limits.connections * (len(self.listeners) + 1) + _OWN_FILES


class Config(Branch):
    """The whole tree."""

    server: Server = Server()
    models: Models = Models()
    access: Access = Access()
