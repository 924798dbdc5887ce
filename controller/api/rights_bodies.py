"""What may be ordered about people, keys, invites and addresses, as far as OpenAPI is to tell. Strict, as all are."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from controller.api.bodies import Asked

Id = Annotated[str, Field(min_length=1, max_length=64)]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Texts = Annotated[list[Annotated[str, Field(max_length=512)]], Field(max_length=64)]
Lasts = Annotated[float, Field(gt=0, le=10 * 365 * 86400, description="It ends after so many seconds.")]
Lane = Annotated[float, Field(ge=0, le=1000, description="Priority; lower goes sooner.")]
Limit = Annotated[int, Field(ge=1, le=1_000_000)]
KEEPS = "The admin, by name or id, who answers from now on for what they gave out; left out: that ends."
Role = Literal["child", "member", "admin"]


class NewKey(Asked):
    name: Name
    user: Name | None = Field(None, description="Whose it is, by name or id; it ends with them.")
    lane: Lane | None = None
    scopes: Texts | None = Field(None, description="What it may do: infer, embed, audio, list, manage, admin.")
    models: Texts | None = Field(None, description="Patterns of models; all others do not exist for it.")
    cidrs: Texts | None = Field(None, description="Addresses and ranges it may be used from.")
    default_model: str | None = Field(None, max_length=512)
    per_minute: Limit | None = None
    running: Limit | None = None
    waiting: Limit | None = None
    lasts: Lasts | None = None


class OneKey(Asked):
    id: Id


class NewUser(Asked):
    name: Name
    role: Role = "member"


class OneUser(Asked):
    user: Name = Field(description="By name or id.")


class NoUser(OneUser):
    keep: Name | None = Field(None, description=KEEPS)


class NewRole(NoUser):
    role: Role


class NewInvite(Asked):
    label: Name = Field(description="For whom it is.")
    role: Role = "member"
    uses: int | None = Field(None, ge=1, le=1000, description="How many may come by it; 1 when left out.")
    lasts: Lasts | None = None


class NewAddress(Asked):
    cidr: Name = Field(description="An address or a range.", examples=["192.168.1.20", "192.168.1.0/24"])
    label: Name
    verdict: Literal["allow", "deny"] = "allow"
    lane: Lane | None = None
    scopes: Texts | None = None
    models: Texts | None = None
    lasts: Lasts | None = None
