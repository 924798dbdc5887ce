"""The tunnel, and further programs of the operator's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from controller.settings.impact import AT_ONCE, OWN, restarts
from controller.settings.units import Seconds
from controller.settings.values import (
    DAY,
    Argument,
    Branch,
    EdgeAddress,
    ProbeUrl,
    PublicName,
    Text,
    Variables,
    empty_is_default,
)

TUNNEL: Final = "tunnel"
"""The tunnel's name among the children."""
_TUNNEL = restarts(TUNNEL)
_CHILD = restarts(OWN)


class TunnelSettings(Branch):
    """cloudflared. Its way in is a listener of its own, where everybody needs a key or an account."""

    mode: Annotated[Literal["off", "token", "named", "quick"], _TUNNEL] = Field(
        "off",
        description="token: managed in Cloudflare's dashboard. named: a tunnel of yours with its credentials file. "
        "quick: a throw-away public name, for trying out.",
    )
    binary: Annotated[Path | None, _TUNNEL] = Field(None, description="The cloudflared program; empty: looked for.")
    token_file: Annotated[Path | None, _TUNNEL] = Field(None, description="mode token: a file (0600) with the token.")
    tunnel_id: Annotated[Text | None, _TUNNEL] = Field(None, description="mode named: the tunnel's id.")
    credentials_file: Annotated[Path | None, _TUNNEL] = Field(None, description="mode named: its credentials (0600).")
    hostnames: Annotated[tuple[PublicName, ...], _TUNNEL] = Field(
        (), description="The public names. named: the only ones that lead here. token: for the doctor and redirects."
    )
    protocol: Annotated[Literal["auto", "http2", "quic"], _TUNNEL] = Field("auto", description="How it connects.")
    edge: Annotated[tuple[EdgeAddress, ...], _TUNNEL] = Field(
        (), description="host:port of a private edge, two at least."
    )
    edge_ca: Annotated[Path | None, _TUNNEL] = Field(None, description="CA certificate of that private edge.")
    grace: Annotated[Seconds, _TUNNEL] = Field(60, ge=0, le=180, description="Time its streams get when it stops.")
    environment: Annotated[Variables, _TUNNEL] = Field({}, repr=False, description="Further variables.")


class ChildSettings(Branch):
    """Any further program to keep running: ngrok, caffeinate, another server."""

    command: Annotated[tuple[Argument, ...], _CHILD] = Field(
        min_length=1, description="Program and arguments, no shell."
    )
    environment: Annotated[Variables, _CHILD] = Field({}, repr=False, description="Its variables.")
    folder: Annotated[Path | None, _CHILD] = Field(None, description="Where it runs; empty: the data folder.")
    probe: Annotated[ProbeUrl | None, AT_ONCE] = Field(
        None, description="URL that answers 200 when it is ready; empty: ready as soon as it runs."
    )
    startup: Annotated[Seconds, AT_ONCE] = Field(60, gt=0, le=DAY, description="Longest it may take to get ready.")
    stop_grace: Annotated[Seconds, AT_ONCE] = Field(
        10, ge=0, le=DAY, description="Time to leave after TERM, then KILL."
    )
    files: Annotated[int, _CHILD] = Field(65536, ge=64, le=2**20, description="Files it may have open.")


class Programs(Branch):
    """What is kept running beside the engines."""

    tunnel: TunnelSettings = TunnelSettings()
    children: Annotated[dict[str, ChildSettings], BeforeValidator(empty_is_default)] = Field(
        {}, description="Further programs to keep running, by name."
    )
