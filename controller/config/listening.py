"""Where clients connect, and what one request may cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from controller.settings import addresses
from controller.settings.addresses import Place
from controller.settings.impact import AT_ONCE, LISTENER
from controller.settings.units import Bytes
from controller.settings.values import Address, Branch, HeaderName, Network, Span


class Tls(Branch):
    """A listener's certificate: it then speaks https alone. Renewed files are taken over without a reload."""

    cert: Annotated[Path | None, LISTENER] = Field(
        None, description="The certificate with its chain, PEM; empty: plain http."
    )
    key: Annotated[Path | None, LISTENER] = Field(None, description="Its private key, PEM, in a file of ours (0600).")


class Listener(Branch):
    """One address that clients connect to. Trust belongs to the listener, never to a header."""

    address: Annotated[Address, LISTENER] = Field(
        description="host:port, [ipv6]:port, or unix:/path. Its own name in reloads."
    )
    kind: Annotated[Literal["direct", "tunnel", "proxy"], LISTENER] = Field(
        "direct",
        description="direct: peers are who their address says. tunnel: what cloudflared forwards to; on this machine "
        "only. proxy: behind a proxy of yours, which says who the visitor is.",
    )
    trusted: Annotated[tuple[Network, ...], LISTENER] = Field(
        (), description="kind proxy: the proxy's own addresses; nobody else gets in there. On a unix: socket, none."
    )
    header: Annotated[HeaderName, LISTENER] = Field(
        "x-forwarded-for",
        description="kind proxy: its header with the visitor's address. Of a list, the last one that is not `trusted`.",
    )
    tls: Tls = Tls()
    plain_cookies: Annotated[bool, LISTENER] = Field(
        False,
        description="People may sign in without https here: only on an address of the house, whose network you trust.",
    )

    @property
    def place(self) -> Place:
        """The address, taken apart."""
        return addresses.place(self.address)


class LimitSettings(Branch):
    """What one request may cost."""

    body: Annotated[Bytes, AT_ONCE] = Field(32 * 2**20, ge=1024, description="Longest request body, blobs excepted.")
    decoded: Annotated[Bytes, AT_ONCE] = Field(20 * 2**20, ge=1024, description="Longest body once decompressed.")
    unread: Annotated[Bytes, AT_ONCE] = Field(
        16 * 2**20, ge=65536, description="Answer a client may leave unread before it is let go."
    )
    inputs: Annotated[int, AT_ONCE] = Field(
        2048, ge=1, le=65536, description="Texts that one request may want embeddings of; more are told 400."
    )
    connections: Annotated[int, LISTENER] = Field(
        512, ge=8, le=20000, description="Connections to one listener at a time; more are told 503 and to come back."
    )
    per_address: Annotated[int, LISTENER] = Field(
        64,
        ge=4,
        le=20000,
        description="Connections one other machine may have to a listener, and open requests one visitor may have whom "
        "a tunnel or proxy names; more are told 429 and closed.",
    )


class Surface(Branch):
    """One part of what is served, and where."""

    tunnel: Annotated[bool, AT_ONCE] = Field(False, description="Whether it answers through the tunnel, too.")


class Surfaces(Branch):
    """What is not served everywhere."""

    admin: Surface = Surface()


class FirstFiller(Branch):
    """How long an answer in one piece may be waited for without a byte. Until then a failure keeps its true status;
    then a space goes ahead, so that nothing on the way takes the silence for the end.
    """

    direct: Annotated[Span, AT_ONCE] = Field(60, description="On a direct listener.")
    proxy: Annotated[Span, AT_ONCE] = Field(
        30, description="Behind a proxy of yours: less than it waits. nginx waits 60 s."
    )
    tunnel: Annotated[Span, AT_ONCE] = Field(60, description="Through the tunnel: Cloudflare waits 100 s.")
