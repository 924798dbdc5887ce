"""access.yaml: who may come in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from controller.settings.impact import AT_ONCE
from controller.settings.values import Branch, HostName, ModelName, ModelPattern, Network, Origin, Text

Understood = Literal["no", "I understand that everybody on the internet may use it"]
RightName = Literal["infer", "embed", "audio", "list", "chat", "manage", "admin"]


class Allowed(Branch):
    """Addresses that may come in without a key."""

    label: Annotated[Text, AT_ONCE] = Field(
        min_length=1, max_length=64, description="Who this is, in logs and usage; none is like another."
    )
    addresses: Annotated[tuple[Network, ...], AT_ONCE] = Field(min_length=1, description="IP addresses or CIDR ranges.")
    lane: Annotated[float, AT_ONCE] = Field(1, ge=0, le=1000, description="Priority; lower goes sooner.")
    manage: Annotated[bool, AT_ONCE] = Field(
        False, description="May also pull, create, copy, delete, load and unload models, and pause the line."
    )
    default: Annotated[ModelName | None, AT_ONCE] = Field(
        None, description="The model of their requests that name none; empty: the one of models.yaml."
    )
    running: Annotated[int | None, AT_ONCE] = Field(
        None, ge=1, le=1000, description="Answers they may have at a time; empty: as in server.yaml, line."
    )
    waiting: Annotated[int | None, AT_ONCE] = Field(
        None, ge=1, le=10000, description="Requests they may have waiting; empty: as in server.yaml, line."
    )
    models: Annotated[tuple[ModelPattern, ...], AT_ONCE] = Field(
        (), description="The models they may use, * for anything; all others do not exist for them. Empty: all."
    )
    through_tunnel: Annotated[bool, AT_ONCE] = Field(
        False, description="Counts for visitors of the tunnel too, by the address that Cloudflare names."
    )


class RoleSettings(Branch):
    """What callers of one role may do."""

    may: Annotated[tuple[RightName, ...] | None, AT_ONCE] = Field(
        None, description="Their rights, all of them; empty: as docs/policy.md says."
    )


class Roles(Branch):
    """Who may do what, where it differs from docs/policy.md."""

    anonymous: RoleSettings = RoleSettings()
    address: RoleSettings = RoleSettings()
    key: RoleSettings = RoleSettings()
    child: RoleSettings = RoleSettings()
    member: RoleSettings = RoleSettings()
    admin: RoleSettings = RoleSettings()


class RateSettings(Branch):
    """Requests a minute; as many may come at once. More are told 429 and when to come back."""

    key: Annotated[int | None, AT_ONCE] = Field(
        600, ge=1, le=1_000_000, description="Of one key that has no number of its own; empty: no limit."
    )
    address: Annotated[int | None, AT_ONCE] = Field(
        None, ge=1, le=1_000_000, description="Of one address on the allow-list; empty: no limit."
    )
    anonymous: Annotated[int, AT_ONCE] = Field(
        30,
        ge=1,
        le=1_000_000,
        description="Of one address of strangers (IPv6: of one /64), where they may do anything.",
    )
    wrong: Annotated[int, AT_ONCE] = Field(
        20,
        ge=1,
        le=1_000_000,
        description="Wrong keys from one address (IPv6: from one /64). The right key works all the same.",
    )


class Access(Branch):
    """access.yaml: who may come in."""

    allow: tuple[Allowed, ...] = Field(
        (Allowed(label="this computer", addresses=("127.0.0.1", "::1")),),
        description="First match wins. Empty: nobody.",
    )
    hosts: Annotated[tuple[HostName, ...], AT_ONCE] = Field(
        ("localhost",), description="Names this server is called by, beside its own addresses. Others get 421."
    )
    origins: Annotated[tuple[Origin, ...], AT_ONCE] = Field(
        ("vscode-webview://*", "vscode-file://*", "app://*", "tauri://*"),
        description="Web origins whose pages may call the API.",
    )
    roles: Roles = Roles()
    open_tunnel_to_anonymous: Annotated[Understood, AT_ONCE] = Field(
        "no", description="What `roles.anonymous` may do, it may do through the tunnel too: only with this sentence."
    )
    rates: RateSettings = RateSettings()
