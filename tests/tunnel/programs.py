"""Building cloudflared and the edge, once for each version, into the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from controller.errors import ObtainFailed
from controller.obtain import golang
from controller.obtain.cache import cache_folder, once
from controller.obtain.site import Site

HERE = Path(__file__).parent
MODULE = "github.com/cloudflare/cloudflared"
REVISION = "v0.0.0-20260814112252-733bfb939963"
RELEASE = "2026.8.1"


@dataclass(frozen=True)
class Programs:
    """The two programs of a tunnel."""

    cloudflared: Path
    edge: Path

    refusal: Path  # why they could not be built, if the last attempt failed

    def missing(self) -> str:
        """Why one of them is not there; empty when both are."""
        if self.cloudflared.exists() and self.edge.exists():
            return ""
        return self.refusal.read_text() if self.refusal.exists() else "not built yet: `python -m tests.tunnel` does it"


def programs(environment: Mapping[str, str] = os.environ) -> Programs:
    """Where they are once they are built; a change of the edge's source makes it another program."""
    sources = sorted(HERE.glob("edge/*.go")) + [HERE / "go.mod"]
    version = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    cache = cache_folder(environment)
    return Programs(
        cloudflared=cache / f"cloudflared-{RELEASE}" / "bin" / "cloudflared",
        edge=cache / f"edge-{version}" / "bin" / "edge",
        refusal=cache / f"cloudflared-{RELEASE}.refused",
    )


def build(site: Site) -> Programs:
    """Build what is missing. Raises ObtainFailed when Go or cloudflared's source is not to be had."""
    wanted = programs(site.environment)
    try:
        _build_both(site, wanted)
    except ObtainFailed as failure:
        wanted.refusal.write_text(str(failure))
        raise
    wanted.refusal.unlink(missing_ok=True)
    return wanted


def _build_both(site: Site, wanted: Programs) -> None:
    version_flag = f"-X main.Version={RELEASE} -X {MODULE}/cmd/cloudflared/updater.BuiltForPackageManager=seadragon"
    _build(site, wanted.cloudflared, f"{MODULE}/cmd/cloudflared", version_flag)
    _build(site, wanted.edge, "./edge", "")


def _build(site: Site, program: Path, package: str, flags: str) -> None:
    with once(program.parent.parent) as folder:
        if folder is None:
            return
        go = golang.program(site)
        with tempfile.TemporaryDirectory(prefix="seadragon-tunnel-") as scratch:
            module = Path(scratch) / "module"
            shutil.copytree(HERE, module, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
            shutil.copyfile(golang.source(site, MODULE, REVISION, Path(scratch)) / "go.sum", module / "go.sum")
            site.say(f"building {program.name}; this takes half a minute, once")
            output = str(folder / "bin" / program.name)
            argv = [go, "build", "-mod=mod", "-ldflags", flags, "-o", output, package]
            site.run(argv, telling=f"building {program.name}", folder=module)
