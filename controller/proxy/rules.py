"""What the configuration means for a request, worked out once for each reload."""

from __future__ import annotations

from dataclasses import dataclass

from controller.auth.access import AllowList
from controller.auth.gate import Gate
from controller.config.schema import Config
from controller.proxy.routes import Match, quick


@dataclass(frozen=True, slots=True)
class Rules:
    """One configuration, ready to be asked."""

    config: Config
    prefixes: tuple[str, ...]
    quick: dict[tuple[str, bytes], Match]
    allow: AllowList
    gate: Gate
    hold: float  # seconds
    body: int  # bytes
    decoded: int  # bytes
    unread: int  # bytes


def rules_of(config: Config) -> Rules:
    """The rules of `config`."""
    server, access = config.server, config.access
    prefixes = tuple("/" + prefix.strip("/") for prefix in server.prefixes if prefix.strip("/"))
    return Rules(
        config,
        prefixes,
        quick(prefixes),
        AllowList(access.allow),
        Gate(access.hosts, access.origins),
        server.hold,
        server.limits.body,
        server.limits.decoded,
        server.limits.unread,
    )
