"""Names of the Mac's kernel, and what it answers."""

from __future__ import annotations

import sys

import pytest

from controller.machine import sysctl
from tests.fakes.mac import Kernel


@pytest.fixture(autouse=True)
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {
        "kern.bootsessionuuid": b"0F3F2A9C\0",
        "kern.maxfilesperproc": (61440).to_bytes(4, sys.byteorder),
        "hw.memsize": (68719476736).to_bytes(8, sys.byteorder),
        "some.signed": (-1).to_bytes(4, sys.byteorder, signed=True),
    }
    monkeypatch.setattr(sysctl, "SYSTEM", Kernel(names=names))


def test_a_text_ends_where_its_zero_is() -> None:
    assert sysctl.text("kern.bootsessionuuid") == "0F3F2A9C"


@pytest.mark.parametrize(
    ("name", "value"), [("kern.maxfilesperproc", 61440), ("hw.memsize", 68719476736), ("some.signed", -1)]
)
def test_a_number_is_read_at_the_width_it_has(name: str, value: int) -> None:
    assert sysctl.number(name) == value


def test_what_the_kernel_does_not_know_is_none() -> None:
    assert sysctl.text("kern.nothing") is None
    assert sysctl.number("kern.nothing") is None
