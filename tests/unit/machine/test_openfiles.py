"""How many files may be open: asked of kernels that grant, cap and refuse."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass

import pytest

from controller.config.listening import LimitSettings, Listener
from controller.config.schema import Server
from controller.machine import openfiles, sysctl
from tests.fakes.mac import Kernel

ENDLESS = resource.RLIM_INFINITY


@dataclass
class Machine:
    """Its limits, and the most that it accepts without an error."""

    soft: int
    hard: int
    accepts: int = 10**9
    calls: int = 0

    def getrlimit(self, _: int) -> tuple[int, int]:
        return self.soft, self.hard

    def setrlimit(self, _: int, limits: tuple[int, int]) -> None:
        self.calls += 1
        soft, hard = limits
        assert hard == self.hard, "the hard limit is nobody's to change"
        if soft == ENDLESS or soft > self.accepts or (self.hard != ENDLESS and soft > self.hard):
            raise ValueError("current limit exceeds maximum limit")
        self.soft = soft


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(256, ENDLESS)
    monkeypatch.setattr(resource, "getrlimit", lambda which: made.getrlimit(which))
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: made.setrlimit(which, limits))
    monkeypatch.setattr(sys, "platform", "linux")
    return made


def a_mac(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    names = {"kern.maxfilesperproc": most.to_bytes(4, sys.byteorder)}
    monkeypatch.setattr(sysctl, "SYSTEM", Kernel(names=names))


def test_a_terminals_few_become_what_is_needed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    a_mac(monkeypatch, 122_880)
    openfiles.allow_at_least(openfiles.USUAL)
    assert (machine.soft, openfiles.now()) == (65536, 65536)


def test_a_mac_that_grants_fewer_than_asked_for_is_asked_for_those(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_mac(monkeypatch, 61_440)
    machine.accepts = 61_440
    openfiles.allow_at_least(openfiles.USUAL)
    assert machine.soft == 61_440


def test_a_mac_that_says_nothing_and_refuses_much_still_grants_what_posix_names(machine: Machine) -> None:
    machine.accepts = 10_240
    openfiles.allow_at_least(openfiles.USUAL)
    assert machine.soft == 10_240


def test_what_is_in_force_is_what_the_kernel_caps_it_at_whatever_the_limit_says(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_mac(monkeypatch, 61_440)
    openfiles.allow_at_least(openfiles.USUAL)
    assert openfiles.now() == openfiles.most() == 61_440


def test_a_hard_limit_is_kept_to(machine: Machine) -> None:
    machine.hard = 4096
    openfiles.allow_at_least(openfiles.USUAL)
    assert (machine.soft, openfiles.now(), openfiles.most()) == (4096, 4096, 4096)


@pytest.mark.parametrize("soft", [65536, 100_000, ENDLESS])
def test_who_has_enough_keeps_it(machine: Machine, soft: int) -> None:
    machine.soft = soft
    openfiles.allow_at_least(openfiles.USUAL)
    assert (machine.soft, machine.calls) == (soft, 0)


def test_exactly_so_many_may_also_be_fewer_than_before(machine: Machine) -> None:
    machine.soft = 65536
    openfiles.allow(4096)
    assert machine.soft == 4096


def test_where_nothing_is_granted_it_stays_as_it_was(machine: Machine) -> None:
    machine.accepts = 0
    openfiles.allow_at_least(openfiles.USUAL)
    assert machine.soft == 256


def test_every_connection_needs_two_files_and_the_tunnel_has_its_own_listener() -> None:
    assert Server().files_needed == 2 * 512 * 2 + 512
    many = Server(
        listeners=(Listener(address="a:1"), Listener(address="a:2")), limits=LimitSettings(connections=20_000)
    )
    assert many.files_needed == 2 * 20_000 * 3 + 512
