"""What the configuration means for a request, worked out once for each reload."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from controller.answering.bounds import Bounds
from controller.auth.access import Principal, anonymous
from controller.auth.gate import Gate
from controller.config.listening import FirstFiller
from controller.config.schema import Config
from controller.proxy.adjust import Clamps
from controller.proxy.cleartext import HttpsDoor, Rule
from controller.proxy.routes import Match, quick
from controller.residency.meaning import Meanings

_QUICK = ("*.trycloudflare.com",)
"""A throw-away tunnel's name is new at every start. Anybody can have one of these, so only the tunnel goes by it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """One configuration, ready to be asked."""

    config: Config
    prefixes: tuple[str, ...]
    quick: dict[tuple[str, bytes], Match]
    anonymous: Principal | None  # who shows nothing and is on no list
    anonymous_outside: bool  # … and may come through the tunnel, too
    admin_outside: bool  # managing goes through the tunnel, too
    require_https: Rule
    https_doors: Callable[[], Sequence[HttpsDoor]]  # as they are now: certificates are renewed
    gate: Gate
    tunnel_gate: Gate
    body: int  # bytes
    decoded: int  # bytes
    inputs: int  # texts that one request may want embeddings of
    clamps: Clamps
    bounds: Bounds
    first_filler: FirstFiller

    def grace(self, listener: str, *, proxied: bool) -> float:
        """Seconds without a byte before a document begins with a filler. What comes through a proxy that nobody named
        is treated as one that was.
        """
        wait = self.first_filler
        usual: float = getattr(wait, listener)
        return min(usual, wait.proxy) if proxied else usual


def rules_of(
    config: Config,
    https_doors: Callable[[], Sequence[HttpsDoor]] = tuple,
    bridged: Callable[[str], bool] = lambda peer: False,
) -> Rules:
    """The rules of `config`. `https_doors`: the listeners that speak https. `bridged`: whether an address is that of a
    container on this machine.
    """
    server, access = config.server, config.access
    prefixes = tuple("/" + prefix.strip("/") for prefix in server.prefixes if prefix.strip("/"))
    names = (*access.hosts, *server.tunnel.hostnames)
    return Rules(
        config,
        prefixes,
        quick(prefixes),
        anonymous(access),
        access.open_tunnel_to_anonymous != "no",
        server.surfaces.admin.tunnel,
        server.require_https,
        https_doors,
        Gate(names, access.origins, bridged=bridged),
        Gate((*names, *_QUICK) if server.tunnel.mode == "quick" else names, access.origins, addresses=False),
        server.limits.body,
        server.limits.decoded,
        server.limits.inputs,
        Clamps(Meanings(config.models.redirect), config.models.default or "", config.models.max_tokens),
        Bounds(config),
        server.first_filler,
    )
