"""Sizes, spans and texts as people read them, on the page, in a terminal and in what the doctor says. Pure."""

from __future__ import annotations

import os
import re
import time
from typing import Protocol

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
GIB, MIB = 2**30, 2**20
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


class Style(Protocol):
    """Colours a text for a terminal (`click.style`)."""

    def __call__(self, text: str, /, *, fg: str | None) -> str: ...


def printable(text: str) -> str:
    """One line that no terminal obeys: escapes, line ends, direction marks and halves of characters are spelled out."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def fault_words(error: OSError) -> str:
    """What the system refused, without its number: `/srv/data: permission denied`."""
    if error.strerror is None:
        return str(error)
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    return f"{where}{error.strerror[:1].lower()}{error.strerror[1:]}"


def size_words(count: float) -> str:
    """Bytes in decimal units, as disks are sold: `812 bytes`, `4.2 GB`, `38 GB`."""
    unit = 0
    while count >= 999.5 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f"{count:.1f} {_UNITS[unit]}" if unit and count < 9.95 else f"{count:.0f} {_UNITS[unit]}"


def memory_words(count: float) -> str:
    """Bytes as memory is sold, and as the configuration takes it: `39.1 GiB`, `812 MiB`."""
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"


def span_words(seconds: float) -> str:
    """A stretch of time in its two largest units: `8 s`, `3 min`, `2 h 5 min`, `4 d 3 h`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    large, small, names = (
        (whole // 3600, whole % 3600 // 60, ("h", "min"))
        if whole < 86400
        else (whole // 86400, whole % 86400 // 3600, ("d", "h"))
    )
    return f"{large} {names[0]} {small} {names[1]}" if small else f"{large} {names[0]}"


def clock_words(at: float) -> str:
    """The time of day where this machine stands, `14:02:11`."""
    return time.strftime("%H:%M:%S", time.localtime(at))


def moment_words(at: float, now: float) -> str:
    """The time of day, with the day before it once that is over: `14:02:11`, `Tue 14:02`, `3 Feb 14:02`; and the year
    if that is another one: `3 Feb 2027 14:02`.
    """
    then, today = time.localtime(at), time.localtime(now)
    if then[:3] == today[:3]:
        return clock_words(at)
    if abs(now - at) <= 6 * 86400:
        return time.strftime("%a %H:%M", then)
    year = f" {then.tm_year}" if then.tm_year != today.tm_year else ""
    return f"{then.tm_mday} {time.strftime('%b', then)}{year} {time.strftime('%H:%M', then)}"


def count_words(count: int, one: str, many: str = "") -> str:
    """`1 answer`, `2 answers`, `no answers`."""
    return f"{count or 'no'} {one if count == 1 else many or one + 's'}"
