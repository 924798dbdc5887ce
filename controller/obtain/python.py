"""Source packages of PyPI, through the pip that is here."""

from __future__ import annotations

import sys
from pathlib import Path

from controller.errors import ObtainFailed
from controller.obtain.site import Site


def download(site: Site, package: str, version: str, sha256: str, folder: Path) -> Path:
    """The archive of a package's source, in `folder`. Raises ObtainFailed, also when it is not the one that was meant.

    pip compares the sum before anything of the package runs (it asks every source package for its metadata).
    """
    meant = folder / "requirements.txt"
    meant.write_text(f"{package}=={version} --hash=sha256:{sha256}\n")
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", package, "--require-hashes"]
    site.run([*_pip(site), "download", *options, "--dest", str(folder), "--requirement", str(meant)])
    meant.unlink()
    return next(folder.glob("*.tar.gz"))


def _pip(site: Site) -> list[str]:
    """A pip: this Python's, uv's, or the system's."""
    candidates = [[sys.executable, "-m", "pip"], [site.environment.get("UV", "uv"), "tool", "run", "pip"]]
    for pip in [*candidates, ["python3", "-m", "pip"]]:
        try:
            site.run([*pip, "--version"])
        except ObtainFailed:
            continue
        return pip
    raise ObtainFailed("pip is missing. Install it (on Debian: `apt-get install python3-pip`).")
