"""Programs and libraries that come as Debian packages."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from controller.errors import ObtainFailed
from controller.obtain.site import Site

# package → what shows that it is there already: a program on PATH, or a file
SIGNS: dict[str, str] = {
    "chromium": "chromium",
    "cmake": "cmake",
    "g++": "g++",
    "libstb-dev": "/usr/include/stb/stb_image.h",
    "nginx": "nginx",
    "ninja-build": "ninja",
    "nlohmann-json3-dev": "/usr/include/nlohmann/json_fwd.hpp",
    "systemd": "systemd-analyze",
    "wrk": "wrk",
}
SYSTEM_PLACES = ("/usr/sbin", "/sbin")  # where Debian keeps servers, and an ordinary PATH does not look


def missing(site: Site, packages: Sequence[str]) -> list[str]:
    """Those of `packages` that are not there."""
    return [package for package in packages if not _there(site, SIGNS[package])]


def ensure(site: Site, packages: Sequence[str]) -> None:
    """Install what is missing. Raises ObtainFailed with the command when we may not, or when this is no Debian."""
    wanted = missing(site, packages)
    if not wanted:
        return
    names = " ".join(wanted)
    apt = site.which("apt-get")
    if apt is None:
        raise ObtainFailed(f"missing: {names}. These are the names of Debian's packages; install what holds the same.")
    rights = _rights(site)
    if rights is None:
        raise ObtainFailed(f"missing: {names}. Install with: sudo apt-get install {names}")
    site.say(f"installing {names}")
    site.run([*rights, apt, "update", "-q"], telling="reading the list of packages")
    install = ["install", "-y", "-q", "--no-install-recommends", *wanted]
    site.run([*rights, apt, *install], telling=f"installing {names}", DEBIAN_FRONTEND="noninteractive")
    if still := missing(site, wanted):
        raise ObtainFailed(f"installed, and yet not found: {' '.join(still)}.")


def _there(site: Site, sign: str) -> bool:
    if sign.startswith("/"):
        return Path(sign).exists()
    return site.which(sign) is not None or any(Path(place, sign).exists() for place in SYSTEM_PLACES)


def _rights(site: Site) -> list[str] | None:
    """What to put before a command that needs root: nothing, sudo without a password, or None for no way."""
    if os.geteuid() == 0:
        return []
    try:
        site.run(["sudo", "-n", "true"])
    except ObtainFailed:
        return None
    return ["sudo", "-n"]
