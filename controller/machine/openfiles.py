"""How many files (sockets are some) this process may have open at a time. What it starts may have as many.

A terminal on a Mac gives 256 of an endless hard limit: less than one listener's connections. Standard library only: the
keeper lives on it.
"""

from __future__ import annotations

import resource
import sys

from controller.machine import sysctl

USUAL = 65536  # what the service files ask for
GRANTED = 10240  # OPEN_MAX of macOS, which it lets anyone have
ENDLESS = 2**31 - 1  # as a number that can be compared


def now() -> int:
    """How many it may have."""
    return min(_plain(resource.getrlimit(resource.RLIMIT_NOFILE)[0]), _most_of_all())


def most() -> int:
    """How many it could have for the asking."""
    return min(_plain(resource.getrlimit(resource.RLIMIT_NOFILE)[1]), _most_of_all())


def allow(files: int) -> None:
    """Have exactly `files`, or as many of them as there may be."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A Mac may refuse more than it grants any process, although the hard limit is endless there.
    for limit in (min(files, _plain(hard)), most(), GRANTED):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, files), hard))
            return
        except (ValueError, OSError):
            continue


def allow_at_least(files: int) -> None:
    """Have `files` or more, or as many as there may be."""
    if now() < min(files, most()):
        allow(files)


def _plain(limit: int) -> int:
    return ENDLESS if limit == resource.RLIM_INFINITY else limit


def _most_of_all() -> int:
    """What no process may exceed, whatever its limits say."""
    return (sysctl.number("kern.maxfilesperproc") if sys.platform == "darwin" else None) or ENDLESS
