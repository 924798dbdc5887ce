"""What a Mac's own tools say of it, read: values, and how they are made of the tools' output. Pure.

Formats: as macOS 14 to 26 print them. What is not understood is None or empty, and then nothing is said about it.
"""

from __future__ import annotations

import plistlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from xml.parsers.expat import ExpatError

OPENED = 0x40  # of a quarantine's flags: its owner has opened it, and said yes (sys/quarantine, QTN_FLAG_USER_APPROVED)
_STATE = re.compile(r"State = (\d)")
_APP = re.compile(r"^\s*\d+\s*:\s*(?P<path>/.*?)\s*$\n\s*\(\s*(?P<verdict>Allow|Block)", re.MULTILINE)
_SETTING = re.compile(r"^\s*(\w+)\s+(\d+)(?: \(.*\))?\s*$", re.MULTILINE)
_FIELD = re.compile(r"^\t(state|runs|last exit code) = (.*)$", re.MULTILINE)

Kind = Literal["daemon", "agent"]
Firewall = Literal["off", "on", "all"]  # all: it lets nobody in at all
STATES: dict[str, Firewall] = {"0": "off", "1": "on", "2": "all"}


@dataclass(frozen=True, slots=True)
class LaunchdService:
    """What launchd has been given, and what it makes of it."""

    file: Path
    kind: Kind
    program: str  # what it starts; empty when the file cannot be read
    there: bool  # whether that program is
    state: str = ""  # in launchd's words; empty: it does not know the service
    runs: str = ""
    last_exit: str = ""


@dataclass(frozen=True, slots=True)
class Mac:
    """A Mac as a service would find it."""

    version: tuple[int, ...]  # of macOS; empty when it does not say
    silicon: bool  # Apple's own processor
    python: Path  # ours, links followed
    translated: bool  # we run under Rosetta
    guarded: Mapping[Path, str] = field(default_factory=dict)  # our folders that macOS guards, and where they lie
    filevault: bool | None = None
    logged_in_as: str = ""  # who is logged in by itself after a start
    back_after_power_cut: bool | None = None
    sleeps: tuple[str, ...] = ()  # settings that let it sleep, with their minutes
    firewall: Firewall | None = None
    let_in: bool | None = None  # whether its list lets others speak to us; None: we are not on it
    vouched: bool = False  # somebody known to Apple has signed our Python, which is as good as being on that list
    service: LaunchdService | None = None


def version(said: bytes) -> tuple[int, ...]:
    """Of `sw_vers -productVersion`."""
    return tuple(map(int, re.findall(r"\d+", said.decode(errors="replace"))))


def is_on(said: bytes) -> bool | None:
    """Of `fdesetup status`: "FileVault is On."."""
    found = re.search(rb"FileVault is (On|Off)", said)
    return found[1] == b"On" if found else None


def firewall(said: bytes) -> Firewall | None:
    """Of `socketfilterfw --getglobalstate`."""
    found = _STATE.search(said.decode(errors="replace"))
    return STATES.get(found[1]) if found else None


def let_in(said: bytes, program: Path) -> bool | None:
    """Of `socketfilterfw --listapps`. (`--getappblocked` calls a program permitted that it has never heard of.)"""
    listed = {Path(each["path"]): each["verdict"] for each in _APP.finditer(said.decode(errors="replace"))}
    return listed[program] == "Allow" if program in listed else None


def vouched(said: bytes) -> bool:
    """Of `codesign -dv`, which writes to standard error: whether a developer known to Apple has signed it."""
    found = re.search(rb"^TeamIdentifier=(.*)$", said, re.MULTILINE)
    return found is not None and found[1].strip() != b"not set"


def power_settings(said: bytes) -> dict[str, int]:
    """Of `pmset -g`: those that are whole numbers."""
    return {name: int(value) for name, value in _SETTING.findall(said.decode(errors="replace"))}


def sleeps(settings: Mapping[str, int]) -> tuple[str, ...]:
    """Those of `power_settings` that put the machine or its disk to sleep."""
    return tuple(f"{name} {settings[name]}" for name in ("sleep", "disksleep") if settings.get(name))


def quarantined(said: bytes) -> bool:
    """Of `xattr -p com.apple.quarantine`: flags;time;program;id."""
    flags = said.decode(errors="replace").partition(";")[0].strip()
    return bool(re.fullmatch(r"[0-9a-fA-F]+", flags)) and not int(flags, 16) & OPENED


def program_of(plist: bytes) -> str:
    """What a property list starts; empty when it is none."""
    try:
        read = plistlib.loads(plist)
    except (plistlib.InvalidFileException, ExpatError, ValueError):
        return ""
    arguments = read.get("ProgramArguments") if isinstance(read, dict) else None
    return str(arguments[0]) if isinstance(arguments, list) and arguments else ""


def service_fields(said: bytes) -> dict[str, str]:
    """Of `launchctl print`: state, runs and last exit code of the service itself, not of what is nested in it."""
    found: dict[str, str] = {}
    for name, value in _FIELD.findall(said.decode(errors="replace")):
        found.setdefault(name, value.strip())
    return found
