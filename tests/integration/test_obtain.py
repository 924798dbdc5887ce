"""Getting things: over real HTTP, into real folders, with real steps."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import ssl
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zstandard

from controller.errors import ObtainFailed
from controller.obtain import find_program, release
from controller.obtain.cache import once
from controller.obtain.find import own_ollama
from controller.obtain.site import Site
from tests.fakes.releases import Releases, published
from tests.kit import certificates

SITE = Site(machine="x86_64")


def tar(*names: str) -> bytes:
    """A tar archive of small executable files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.mode, member.size = 0o755, 5
            archive.addfile(member, io.BytesIO(b"hello"))
    return buffer.getvalue()


@pytest.fixture
def releases() -> Iterator[Releases]:
    """Where releases are downloaded from."""
    with published() as server:
        yield server


@pytest.mark.parametrize("ending", ["tar.zst", "tgz"])
def test_a_release_of_either_format_is_unpacked(releases: Releases, tmp_path: Path, ending: str) -> None:
    content = tar("bin/ollama", "lib/ollama/libggml.so")
    packed = zstandard.compress(content) if ending == "tar.zst" else gzip.compress(content)
    releases.publish(f"ollama-linux-amd64.{ending}", packed)
    releases.publish("ollama-linux-arm64.tgz", b"another machine's")
    release.download(SITE, "1.2.3", tmp_path, releases.url)
    assert (tmp_path / "bin/ollama").read_bytes() == b"hello"
    assert (tmp_path / "bin/ollama").stat().st_mode & 0o111
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "lib"]


def test_a_release_that_does_not_match_its_checksum_is_not_unpacked(releases: Releases, tmp_path: Path) -> None:
    releases.publish("ollama-linux-amd64.tgz", gzip.compress(tar("bin/ollama")), digest="0" * 64)
    with pytest.raises(ObtainFailed, match="does not match its published checksum"):
        release.download(SITE, "1.2.3", tmp_path, releases.url)
    assert not (tmp_path / "bin").exists()


def test_a_download_that_breaks_off_is_no_download(releases: Releases, tmp_path: Path) -> None:
    releases.publish("ollama-linux-amd64.tgz", gzip.compress(tar("bin/ollama")))
    releases.cut.add("/v1.2.3/ollama-linux-amd64.tgz")
    with pytest.raises(ObtainFailed, match=r"checksum|could not be downloaded"):
        release.download(SITE, "1.2.3", tmp_path, releases.url)


@pytest.mark.parametrize(
    ("machine", "told"),
    [("riscv64", "no release for riscv64"), ("aarch64", r"nothing for .*aarch64"), ("x86_64", "404")],
)
def test_a_release_that_is_not_there_is_told(releases: Releases, tmp_path: Path, machine: str, told: str) -> None:
    if machine == "aarch64":
        releases.publish("ollama-linux-amd64.tgz", b"")
    with pytest.raises(ObtainFailed, match=told):
        release.download(Site(machine=machine), "1.2.3", tmp_path, releases.url)


def test_no_network_is_told(tmp_path: Path, releases: Releases) -> None:
    with pytest.raises(ObtainFailed, match="could not be downloaded"):
        release.download(SITE, "1.2.3", tmp_path, "http://127.0.0.1:1")


def test_a_python_that_brings_no_authorities_trusts_those_of_the_mac(
    releases: Releases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Python of python.org, before its "Install Certificates.command" was run."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.house(tmp_path))
    releases.socket = context.wrap_socket(releases.socket, server_side=True)
    releases.publish("ollama-linux-amd64.tgz", gzip.compress(tar("bin/ollama")))
    url = releases.url.replace("http:", "https:")
    with pytest.raises(ObtainFailed, match="CERTIFICATE_VERIFY_FAILED"):
        release.download(SITE, "1.2.3", tmp_path, url)
    monkeypatch.setattr(release, "AUTHORITIES", tmp_path / "house.pem")
    release.download(SITE, "1.2.3", tmp_path, url)
    assert (tmp_path / "bin/ollama").exists()


def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    if not hasattr(tarfile, "data_filter"):
        pytest.skip("Python before 3.11.4 has no such filter")
    archive = tmp_path / "evil.tgz"
    archive.write_bytes(gzip.compress(tar("../outside")))
    (tmp_path / "in").mkdir()
    with pytest.raises(tarfile.OutsideDestinationError):
        release.unpack(archive, tmp_path / "in")


def test_an_archive_that_cannot_be_unpacked_is_no_release(releases: Releases, tmp_path: Path) -> None:
    releases.publish("ollama-linux-amd64.tgz", gzip.compress(b"no archive at all, whatever its sum says" * 99))
    with pytest.raises(ObtainFailed, match="ollama-linux-amd64.tgz could not be unpacked"):
        release.download(SITE, "1.2.3", tmp_path, releases.url)


def test_two_set_ups_at_once_do_the_work_once(tmp_path: Path) -> None:
    target, turns = tmp_path / "thing-1", []
    together = threading.Barrier(4)

    def set_up() -> bytes:
        together.wait(60)
        with once(target) as folder:
            if folder is not None:
                turns.append(folder)
                (folder / "made").write_bytes(b"whole")
        return (target / "made").read_bytes()

    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(set_up) for _ in range(4)]
    assert [each.result() for each in made] == [b"whole"] * 4
    assert len(turns) == 1


def test_what_a_failed_attempt_left_is_never_used(tmp_path: Path) -> None:
    target = tmp_path / "thing-1"

    def break_off() -> None:
        with once(target) as folder:
            assert folder is not None
            (folder / "made").write_bytes(b"half")
            raise ObtainFailed("half way")

    with pytest.raises(ObtainFailed, match="half"):
        break_off()
    assert not target.exists()
    with once(target) as folder:
        assert folder is not None
        assert list(folder.iterdir()) == []


def test_of_what_set_up_built_the_newest_that_runs_is_found(tmp_path: Path) -> None:
    environment = {"SEADRAGON_CACHE": str(tmp_path), "PATH": ""}
    for version, mode in (("0.9.0", 0o755), ("0.24.0", 0o755), ("0.99.0", 0o644)):
        program = tmp_path / f"ollama-{version}" / "bin" / "ollama"
        program.parent.mkdir(parents=True)
        program.touch(mode)
    assert find_program("ollama", None, environment, "linux") == tmp_path / "ollama-0.24.0/bin/ollama"
    assert find_program("cloudflared", None, environment, "linux") is None


def test_what_the_tests_built_is_not_run_where_the_known_version_is(tmp_path: Path) -> None:
    environment = {"SEADRAGON_CACHE": str(tmp_path), "PATH": ""}
    known = own_ollama(environment)
    for program in (known, tmp_path / "ollama-999.0" / "bin" / "ollama"):
        program.parent.mkdir(parents=True)
        program.touch(0o755)
    assert find_program("ollama", None, environment, "linux") == known


def test_folders_we_may_not_look_into_are_passed_over(tmp_path: Path) -> None:
    shut = tmp_path / "shut"
    program = shut / "ollama-0.24.0" / "bin" / "ollama"
    program.parent.mkdir(parents=True)
    program.touch(0o755)
    shut.chmod(0)
    with without_roots_rights():
        assert find_program("ollama", None, {"SEADRAGON_CACHE": str(shut), "PATH": str(shut / "bin")}, "linux") is None
    shut.chmod(0o700)


@contextlib.contextmanager
def without_roots_rights() -> Iterator[None]:
    """As somebody whom permissions bind."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(me)


def test_a_step_that_fails_is_told_with_its_last_words() -> None:
    with pytest.raises(ObtainFailed, match="(?s)`sh -c .*` left with exit code 3:\nno such luck"):
        SITE.run(["sh", "-c", "echo no such luck; exit 3"])
    with pytest.raises(ObtainFailed, match="/not/there could not be run"):
        SITE.run(["/not/there"])


def test_a_step_has_what_it_was_given_and_no_terminal() -> None:
    assert SITE.run(["sh", "-c", "echo $WORD; cat"], WORD="hello") == "hello\n"
