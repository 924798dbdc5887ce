"""Getting an Ollama on a Mac: real files and steps, with Homebrew's and Apple's answers recorded."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.engines.ollama.inside import NEWEST
from controller.errors import ObtainFailed
from controller.obtain import __main__ as setup
from controller.obtain import find, find_program, homebrew, release, whole
from controller.obtain.processors import foreign, processors
from controller.obtain.site import Site
from tests.fakes.releases import Releases, published

ARM64, X86_64 = 0x0100000C, 0x01000007
REFUSED = "Error: Cannot install in Homebrew on ARM processor in Intel default prefix (/usr/local)!"


def thin(processor: int) -> bytes:
    """The head of a program for one processor."""
    return struct.pack("<IIIIIIII", 0xFEEDFACF, processor, 0, 2, 0, 0, 0, 0)


def fat(*made_for: int) -> bytes:
    """The head of a program for several."""
    entries = b"".join(struct.pack(">IIIII", each, 3, 16384 * at, 100, 14) for at, each in enumerate(made_for, 1))
    return struct.pack(">II", 0xCAFEBABE, len(made_for)) + entries


def put(program: Path, content: bytes = b"") -> Path:
    """A program with that content."""
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_bytes(content)
    program.chmod(0o755)
    return program


def script(program: Path, text: str) -> Path:
    """A program that really runs."""
    return put(program, f"#!/bin/sh\n{text}\n".encode())


@pytest.mark.parametrize(
    ("content", "made_for"),
    [
        (thin(ARM64), {"arm64"}),
        (thin(X86_64), {"x86_64"}),
        (fat(X86_64, ARM64), {"x86_64", "arm64"}),
        (struct.pack(">II", 0xCAFEBABF, 1) + struct.pack(">IIQQII", ARM64, 0, 0, 0, 0, 0), {"arm64"}),
        (b"\xca\xfe\xba\xbe\x00\x00\x00\x41" + b"\x01\x00\x00\x0c" * 80, set()),  # a class of Java's
        (b"\xca\xfe\xba\xbe\x00\x00\x00\x03" + b"\x01\x00", set()),  # cut short
        (thin(ARM64)[:6], set()),
        (b"#!/bin/sh\nexec ollama\n", set()),
        (b"\x7fELF\x02\x01\x01", set()),
        (b"", set()),
    ],
)
def test_a_programs_processors_are_read_from_its_head(tmp_path: Path, content: bytes, made_for: set[str]) -> None:
    assert processors(put(tmp_path / "ollama", content)) == made_for


def test_what_cannot_be_read_is_not_judged(tmp_path: Path) -> None:
    assert processors(tmp_path / "nothing") == processors(tmp_path) == frozenset()
    assert not foreign(tmp_path / "nothing", "darwin", "arm64")


def test_an_intel_ollama_is_the_last_choice_on_apple_silicon_wherever_it_lies(tmp_path: Path) -> None:
    """As Migration Assistant leaves it: the old Mac's Homebrew on PATH, the new one's not yet."""
    intel = put(tmp_path / "usr/local/bin/ollama", thin(X86_64))
    environment = {"PATH": str(intel.parent), "SEADRAGON_CACHE": str(tmp_path / "cache")}

    def found(machine: str) -> Path | None:
        return find_program("ollama", None, environment, "darwin", machine=machine)

    assert found("arm64") == intel
    own = put(find.own_ollama(environment), fat(X86_64, ARM64))
    assert found("arm64") == own
    assert found("x86_64") == intel
    assert find_program("ollama", None, environment, "linux") == intel


@pytest.fixture
def releases() -> Iterator[Releases]:
    """Where releases are downloaded from."""
    with published() as server:
        yield server


class Mac(Site):
    """A Mac of which only this is there: a PATH, and a folder for what set-up gets. It notes what it says."""

    def __init__(self, folder: Path, machine: str = "arm64") -> None:
        path = {"PATH": f"{folder / 'path'}:/usr/bin:/bin", "SEADRAGON_CACHE": str(folder / "cache")}
        super().__init__("darwin", machine, path)
        self.__dict__["said"] = []

    def say(self, line: str) -> None:
        self.__dict__["said"].append(line)

    @property
    def told(self) -> str:
        """All it said."""
        return "\n".join(self.__dict__["said"])


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Homebrew lives on this Mac: nowhere on PATH."""
    folder = tmp_path / "opt/homebrew"
    monkeypatch.setattr(find, "HOMEBREW", (folder / "bin", tmp_path / "usr/local/bin"))
    monkeypatch.setattr(homebrew, "HOMEBREW", find.HOMEBREW)
    monkeypatch.setattr(homebrew, "INTEL", tmp_path / "usr/local")
    monkeypatch.setattr(homebrew, "NATIVELY", ("/usr/bin/env",))
    monkeypatch.setattr(find, "OLLAMA_APP", tmp_path / "no app")
    return folder


def brewed(prefix: Path, *beside: str, version: str = "0.32.15") -> str:
    """What a `brew` does that installs an Ollama with these programs beside it."""
    cellar = prefix / f"Cellar/ollama/{version}/libexec"
    touch = "".join(f"touch '{cellar}/lib/ollama/{name}'; " for name in beside)
    return (
        f'[ "$*" = "install ollama" ] || exit 9; mkdir -p \'{cellar}/lib/ollama\'; {touch}'
        f"cp '{prefix}/ollama' '{cellar}/ollama'; ln -sf '{cellar}/ollama' '{prefix}/bin/ollama'"
    )


def test_homebrew_is_found_where_it_lives_though_it_is_not_on_path(tmp_path: Path, prefix: Path) -> None:
    script(prefix / "ollama", 'echo "ollama version is 0.32.15"')
    script(prefix / "bin/brew", brewed(prefix, *NEWEST.programs))
    site = Mac(tmp_path)
    assert setup.ollama(site) == prefix / "bin/ollama"
    assert "no Ollama here yet; trying Homebrew" in site.told


def serve(releases: Releases, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """A release for the Mac: flat, as scripts/build_darwin.sh makes it, with a link to a library."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            content = fat(X86_64, ARM64)
            member.mode, member.size = 0o755, len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("libggml-base.dylib")
        link.type, link.linkname = tarfile.SYMTYPE, "libggml-base.0.dylib"
        archive.addfile(link)
    releases.publish("ollama-darwin.tgz", gzip.compress(buffer.getvalue()))
    releases.publish("Ollama-darwin.zip", b"the app, which is not what we take")
    releases.publish("ollama-linux-arm64.tar.zst", b"another system's")
    download = release.download
    monkeypatch.setattr(
        release, "download", lambda site, version, folder: download(site, "1.2.3", folder, releases.url)
    )


WHOLE = ("ollama", "llama-server", "llama-quantize", "libggml-base.0.dylib", "mlx_metal_v3/libmlx.dylib")


@pytest.mark.parametrize("machine", ["arm64", "x86_64"])
def test_without_homebrew_the_official_release_is_taken(
    tmp_path: Path,
    prefix: Path,
    releases: Releases,
    monkeypatch: pytest.MonkeyPatch,
    machine: str,
) -> None:
    serve(releases, monkeypatch, *WHOLE)
    site = Mac(tmp_path, machine)
    got = setup.ollama(site)
    assert got == find.own_ollama(site.environment)
    assert sorted(each.name for each in got.parent.iterdir()) == sorted(
        {"libggml-base.dylib", *(name.partition("/")[0] for name in WHOLE)}
    )
    assert processors(got) == {"x86_64", "arm64"}
    assert [each.name for each in got.parent.parent.iterdir()] == ["bin"]
    assert setup.ollama(Mac(tmp_path, machine)) == got  # and found at the next set-up


@pytest.mark.parametrize(
    ("brew", "told"),
    [
        ("echo 'Error: ollama: no bottle available!' >&2; exit 1", "no bottle available"),
        ("true", "in none of Homebrew's folders"),
        ("without", "came without llama-server and llama-quantize"),
    ],
)
def test_when_homebrew_fails_the_official_release_is_taken(
    tmp_path: Path,
    prefix: Path,
    releases: Releases,
    monkeypatch: pytest.MonkeyPatch,
    brew: str,
    told: str,
) -> None:
    serve(releases, monkeypatch, *WHOLE)
    put(prefix / "ollama", thin(ARM64))
    monkeypatch.setattr(whole, "version", lambda site, program: "0.30.4")
    script(prefix / "bin/brew", brewed(prefix, version="0.30.4") if brew == "without" else brew)
    site = Mac(tmp_path)
    with pytest.raises(ObtainFailed, match=told):
        homebrew.install_ollama(site)
    (prefix / "bin/ollama").unlink(missing_ok=True)
    assert setup.ollama(site) == find.own_ollama(site.environment)


def test_homebrew_for_intel_macs_is_left_alone_on_apple_silicon(
    tmp_path: Path,
    prefix: Path,
    releases: Releases,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve(releases, monkeypatch, *WHOLE)
    script(tmp_path / "usr/local/bin/brew", f"echo '{REFUSED}' >&2; exit 1")
    intel = put(tmp_path / "usr/local/bin/ollama", thin(X86_64))
    with pytest.raises(ObtainFailed, match="is Homebrew for Intel Macs"):
        homebrew.program(Mac(tmp_path))
    site = Mac(tmp_path)
    assert setup.ollama(site) == find.own_ollama(site.environment)
    assert f"{intel} is made for another processor, and would not find the GPU; trying Homebrew" in site.told
    script(prefix / "bin/brew", "true")
    assert homebrew.program(Mac(tmp_path)) == str(prefix / "bin/brew")


def test_an_intel_ollama_is_better_than_none(tmp_path: Path, prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "RELEASES", "http://127.0.0.1:1")
    monkeypatch.setattr(release.download, "__defaults__", ("http://127.0.0.1:1",))
    intel = put(tmp_path / "usr/local/bin/ollama", thin(X86_64))
    site = Mac(tmp_path)
    assert setup.ollama(site) == intel
    assert "so this one has to do" in site.told


@pytest.mark.parametrize(
    ("sysctl", "silicon"), [("echo 1", True), ("echo 0", False), ("echo unknown oid >&2; exit 1", False)]
)
def test_under_rosetta_apple_silicon_is_known_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sysctl: str, silicon: bool
) -> None:
    tool = script(tmp_path / "sysctl", f'[ "$*" = "-n hw.optional.arm64" ] || exit 9; {sysctl}')
    monkeypatch.setattr("controller.obtain.site.SYSCTL", str(tool))
    assert Mac(tmp_path, "x86_64").silicon is silicon
    assert Mac(tmp_path, "arm64").silicon
    assert not Site("linux", "arm64", {}).silicon


@pytest.mark.parametrize("step", ["ollama", "own-ollama"])
def test_on_a_mac_any_ollama_that_is_found_will_do_for_the_tests_too(
    tmp_path: Path, prefix: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    site = Mac(tmp_path)
    monkeypatch.setattr(setup, "Site", lambda: site)
    monkeypatch.setattr(release.download, "__defaults__", ("http://127.0.0.1:1",))
    assert setup.main([step]) == 1
    assert "- Homebrew: Homebrew is not installed" in site.told
    found = put(tmp_path / "path" / "ollama", fat(X86_64, ARM64))
    monkeypatch.setattr(whole, "version", lambda site, program: "0.24.0")
    assert setup.main([step]) == 0
    assert site.told.endswith(f"Ollama: {found}")
