"""Building cloudflared and the edge, once for each version, into the cache."""

from __future__ import annotations

import hashlib
import json
import os
import re
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

    def missing(self) -> bool:
        """Whether one of them is not built."""
        return not (self.cloudflared.exists() and self.edge.exists())


def programs(environment: Mapping[str, str] = os.environ) -> Programs:
    """Where they are once they are built; a change of the edge's source makes it another program."""
    sources = sorted(HERE.glob("edge/*.go")) + [HERE / "go.mod"]
    version = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    cache = cache_folder(environment)
    return Programs(
        cloudflared=cache / f"cloudflared-{RELEASE}" / "bin" / "cloudflared",
        edge=cache / f"edge-{version}" / "bin" / "edge",
    )


def build(site: Site) -> Programs:
    """Build what is missing. Raises ObtainFailed when Go or cloudflared's source is not to be had."""
    wanted = programs(site.environment)
    version_flag = f"-X main.Version={RELEASE} -X {MODULE}/cmd/cloudflared/updater.BuiltForPackageManager=seadragon"
    _build(site, wanted.cloudflared, f"{MODULE}/cmd/cloudflared", version_flag)
    _build(site, wanted.edge, "./edge", "")
    return wanted


def _build(site: Site, program: Path, package: str, flags: str) -> None:
    with once(program.parent.parent) as folder:
        if folder is None:
            return
        go = golang.program(site)
        with tempfile.TemporaryDirectory(prefix="seadragon-tunnel-") as scratch:
            module = Path(scratch) / "module"
            shutil.copytree(HERE, module, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
            shutil.copyfile(_source(site, go, Path(scratch)) / "go.sum", module / "go.sum")
            site.say(f"building {program.name}; this takes half a minute, once")
            output = str(folder / "bin" / program.name)
            argv = [go, "build", "-mod=mod", "-ldflags", flags, "-o", output, package]
            site.run(argv, telling=f"building {program.name}", folder=module)


def _source(site: Site, go: str, folder: Path) -> Path:
    """Where Go keeps cloudflared's source."""
    try:
        told = site.run([go, "mod", "download", "-json", f"{MODULE}@{REVISION}"], folder=folder)
    except ObtainFailed as failure:
        told_why = re.search(r'"Error": "(.*)"', str(failure))
        reason = re.sub(r"(\\[nt])+", " ", told_why[1]) if told_why else str(failure)
        raise ObtainFailed(f"cloudflared's source is not to be had here ({reason}).") from failure
    return Path(json.loads(told)["Dir"])
