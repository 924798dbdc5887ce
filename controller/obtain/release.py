"""Ollama's official release: downloaded, checked against its published sum, unpacked."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import ssl
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from controller.errors import ObtainFailed
from controller.obtain.site import Site

RELEASES = "https://github.com/ollama/ollama/releases/download"
PATIENCE = 10.0  # seconds for a connection, and for each piece that follows
PIECE = 2**20
AUTHORITIES = Path("/etc/ssl/cert.pem")  # of macOS
TOLD_EVERY = 5.0  # seconds between two lines of progress
MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
FORMATS = (".tar.zst", ".tgz", ".tar.gz")  # best first; releases changed from one to the other


def download(site: Site, version: str, folder: Path, releases: str = RELEASES) -> None:
    """Put the release into `folder`: bin/, and what belongs to it. Raises ObtainFailed when it cannot be had whole."""
    base = f"{releases}/v{version}"
    names, place = _archive(site, folder)
    try:
        sums = dict(_sums(_open(f"{base}/sha256sum.txt").read().decode()))
        name = next((each for each in names if each in sums), None)
        if name is None:
            raise ObtainFailed(f"release {version} has nothing for this machine ({site.platform}, {site.machine})")
        archive = folder / name
        found = _save(site, f"{base}/{name}", archive)
    except (OSError, http.client.HTTPException) as error:  # URLError, timeouts and cut connections among them
        raise ObtainFailed(f"the release could not be downloaded: {error}") from error
    if found != sums[name]:
        raise ObtainFailed(f"{name} does not match its published checksum")
    site.say("unpacking")
    place.mkdir(exist_ok=True)
    try:
        unpack(archive, place)
    except (OSError, tarfile.TarError) as error:
        raise ObtainFailed(f"{name} could not be unpacked: {error}") from error
    archive.unlink()


def _archive(site: Site, folder: Path) -> tuple[list[str], Path]:
    """The names that its archive may have, best first, and where that is to be unpacked."""
    if site.platform == "darwin":  # for every Mac alike; everything lies beside the program
        return ["ollama-darwin.tgz"], folder / "bin"
    machine = MACHINES.get(site.machine)
    if machine is None:
        raise ObtainFailed(f"there is no release for {site.machine}")
    return [f"ollama-linux-{machine}{ending}" for ending in FORMATS], folder


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive of any of the FORMATS into `folder`, never outside it."""
    with _decompressed(archive) as content, tarfile.open(fileobj=content, mode="r|") as members:
        members.extraction_filter = getattr(tarfile, "data_filter", None)  # Python before 3.11.4 has none
        members.extractall(folder)  # noqa: S202  # nosec B202  # filtered; before 3.11.4, its checksum speaks for it


def _decompressed(archive: Path) -> IO[bytes]:
    if archive.suffix != ".zst":
        return cast(IO[bytes], gzip.open(archive))
    import zstandard  # not of the standard library: needed for this one format only

    return cast(IO[bytes], zstandard.open(archive))


def _sums(text: str) -> Iterator[tuple[str, str]]:
    """Lines of `<sha256>  ./<name>`, as (name, sum)."""
    for line in text.splitlines():
        digest, _, name = line.partition(" ")
        yield name.strip().removeprefix("*").removeprefix("./"), digest


def _open(url: str) -> http.client.HTTPResponse:
    # Only ever the address of a release, which is https:
    opened = urllib.request.urlopen(url, timeout=PATIENCE, context=_trust())  # noqa: S310  # nosec B310
    return cast(http.client.HTTPResponse, opened)


def _trust() -> ssl.SSLContext:
    """The Python of python.org comes without any authority until its owner runs a script; the Mac itself has a list."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and AUTHORITIES.exists():
        context.load_verify_locations(AUTHORITIES)
    return context


def _save(site: Site, url: str, path: Path) -> str:
    """Download into `path`, telling how far it is; returns the SHA-256."""
    digest, size, told = hashlib.sha256(), 0, time.monotonic()
    with _open(url) as answer, path.open("wb") as file:
        total = int(answer.headers.get("Content-Length") or 0)
        site.say(f"downloading {url} ({total / 2**20:.0f} MiB)")
        while piece := answer.read(PIECE):
            file.write(piece)
            digest.update(piece)
            size += len(piece)
            if time.monotonic() - told > TOLD_EVERY:
                told = time.monotonic()
                site.say(f"… {size / 2**20:.0f} of {total / 2**20:.0f} MiB")
    return digest.hexdigest()
