"""Certificates on disk: what will not do is told before it is used, with its place."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.config.load import ConfigInvalid, load
from controller.tls import CertificateFault, ServedCertificate, check
from tests.kit import certificates

Break = Callable[[Path, Path], object]


def cut(cert: Path, key: Path) -> None:
    cert.write_bytes(cert.read_bytes()[:200] + b"\n-----END CERTIFICATE-----\n")


def encrypted(cert: Path, key: Path) -> None:
    key.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")


TROUBLE: list[tuple[Break, str, str]] = [
    (lambda cert, key: cert.unlink(), "cert", "no file that we can read"),
    (lambda cert, key: cert.write_bytes(b"\xff"), "cert", "no PEM text"),
    (lambda cert, key: cert.write_text("hello"), "cert", "no certificate in it"),
    (cut, "cert", "cannot be read"),
    (lambda cert, key: certificates.put(cert.parent, "old"), "cert", "ended on 01 January 2021"),
    (lambda cert, key: key.unlink(), "key", "no such file"),
    (lambda cert, key: key.chmod(0o644), "key", "others may read"),
    (lambda cert, key: key.write_bytes((certificates.HERE / "old.key").read_bytes()), "key", "of another certificate"),
    (encrypted, "key", "no unencrypted private key"),
]


@pytest.mark.parametrize(("break_it", "part", "words"), TROUBLE)
def test_files_that_will_not_do_are_told_at_load_with_their_place(
    tmp_path: Path, break_it: Break, part: str, words: str
) -> None:
    certificates.house(tmp_path)
    (tmp_path / "server.yaml").write_text(
        "listeners:\n- address: 127.0.0.1:8443\n  tls:\n    cert: house.pem\n    key: house.key\n"
    )
    assert load(tmp_path, {}).config.server.listeners[0].tls.key == tmp_path / "house.key"
    break_it(tmp_path / "house.pem", tmp_path / "house.key")
    with pytest.raises(ConfigInvalid) as invalid:
        load(tmp_path, {})
    (found,) = invalid.value.problems
    assert (found.field, found.line) == (f"server.listeners[0].tls.{part}", {"cert": 4, "key": 5}[part])
    assert words in found.found


def test_a_certificate_of_tomorrow_speaks_for_a_wrong_clock(tmp_path: Path) -> None:
    with pytest.raises(CertificateFault, match="begins on 01 January 2020 .is the clock right"):
        check(*certificates.house(tmp_path), now=1_000_000_000.0)


def test_files_that_stay_as_they_are_are_not_read_again(tmp_path: Path) -> None:
    shown = ServedCertificate(*certificates.house(tmp_path))
    assert not shown.renew()
    certificates.put(tmp_path, "renewed")
    assert shown.renew()
    assert not shown.renew()


def test_a_renewal_that_will_not_do_is_told_once_and_the_old_one_stays(tmp_path: Path) -> None:
    shown = ServedCertificate(*certificates.house(tmp_path))
    before = shown.certificate
    certificates.put(tmp_path, "old")
    with pytest.raises(CertificateFault, match="ended on"):
        shown.renew()
    assert shown.certificate == before
    assert before.ends > time.time()
    assert not shown.renew()
