"""What this machine gives, and what is kept on it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from controller.settings.impact import AT_ONCE
from controller.settings.units import Bytes, TimeOfDay
from controller.settings.values import DAY, Branch, Keep


class Memory(Branch):
    """How much of the machine's memory models may take."""

    budget: Annotated[Literal["auto"] | Bytes, AT_ONCE] = Field(
        "auto", description="Memory that models may take in all. auto: worked out from what the machine says."
    )
    reserve: Annotated[Bytes, AT_ONCE] = Field(
        4 * 2**30, ge=0, description="Memory that auto leaves to everything else."
    )


class PowerSettings(Branch):
    """Whether this machine may fall asleep when nobody touches it. What a person orders, or a lid, is obeyed."""

    awake: Annotated[Literal["while_busy", "always", "never"], AT_ONCE] = Field(
        "while_busy",
        description="while_busy: it stays awake while something is answered, loaded or waited for, and a minute more. "
        "always: as long as Seadragon runs. never: its sleep is left alone.",
    )


class Backup(Branch):
    """A copy of the database every night, into data/backups. `seadragon restore` puts one back."""

    at: Annotated[Literal["off"] | TimeOfDay, AT_ONCE] = Field(
        "03:30", description="When, by this machine's clock; later if it was off or asleep then. off: never."
    )
    daily: Annotated[int, AT_ONCE] = Field(7, ge=1, le=366, description="Copies kept of the last days.")
    weekly: Annotated[int, AT_ONCE] = Field(4, ge=0, le=520, description="Copies kept of the last weeks.")


class LogSettings(Branch):
    """logs/controller.jsonl, one JSON object a line. Never a prompt, a key or a password."""

    level: Annotated[Literal["debug", "info", "warning", "error"], AT_ONCE] = Field(
        "info", description="Least important line that is written."
    )
    access: Annotated[bool, AT_ONCE] = Field(True, description="One line for each request, refused ones too.")
    file_size: Annotated[Bytes, AT_ONCE] = Field(32 * 2**20, ge=65536, description="Size at which a log file rotates.")
    files: Annotated[int, AT_ONCE] = Field(5, ge=1, le=100, description="Rotated files kept.")


class UsageSettings(Branch):
    """What everybody used: how much, never what about."""

    keep: Annotated[Keep, AT_ONCE] = Field(90 * DAY, description="How long each request is kept.")
    daily: Annotated[Keep, AT_ONCE] = Field(730 * DAY, description="How long the sums of each day are kept.")


class AuditSettings(Branch):
    """Who did what, and what was refused."""

    keep: Annotated[Keep, AT_ONCE] = Field(400 * DAY, description="How long each deed is kept.")
