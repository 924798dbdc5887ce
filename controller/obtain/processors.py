"""Which processors a Mac's program is made for, read from its first bytes (mach-o/fat.h, mach-o/loader.h)."""

from __future__ import annotations

import platform as this_machine
import struct
import sys
from pathlib import Path

NAMES = {0x01000007: "x86_64", 0x0100000C: "arm64"}  # as `uname -m` calls them
THIN = b"\xcf\xfa\xed\xfe"  # for one processor
FAT = {b"\xca\xfe\xba\xbe": 20, b"\xca\xfe\xba\xbf": 32}  # for several; bytes of each entry
MOST = 8  # a program for more is none: Java's classes begin with the same four bytes


def processors(program: Path) -> frozenset[str]:
    """Their names. Empty for what is no program of a Mac's, such as a script, and for what cannot be read."""
    try:
        with program.open("rb") as file:
            head = file.read(8 + MOST * max(FAT.values()))
    except OSError:
        return frozenset()
    if head[:4] == THIN and len(head) >= 8:
        found = [struct.unpack_from("<I", head, 4)[0]]
    elif (size := FAT.get(head[:4])) and len(head) >= 8:
        count = struct.unpack_from(">I", head, 4)[0]
        entries = range(8, 8 + size * count, size) if count <= MOST else range(0)
        found = [struct.unpack_from(">I", head, at)[0] for at in entries if at + 4 <= len(head)]
    else:
        found = []
    return frozenset(NAMES[each] for each in found if each in NAMES)


def foreign(program: Path, platform: str = sys.platform, machine: str | None = None) -> bool:
    """Whether this Mac could run the program through Rosetta at best, where there is no GPU."""
    made_for = processors(program) if platform == "darwin" else frozenset()
    return bool(made_for) and (machine or this_machine.machine()) not in made_for
