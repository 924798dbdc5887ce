"""Where an ollama is looked for, and what is told when none can be had."""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.errors import ObtainFailed
from controller.obtain import __main__ as setup
from controller.obtain import debian, find_program, golang, homebrew
from controller.obtain.cache import cache_folder
from controller.obtain.find import OLLAMA_VERSION, own_ollama, places
from controller.obtain.site import Site
from controller.paths import CLONE

HOME = {"HOME": "/home/mia", "PATH": "/opt/bin:/usr/bin"}
OWN = Path(f"/home/mia/.cache/seadragon/ollama-{OLLAMA_VERSION}/bin/ollama")


def test_the_cache_is_where_the_platform_keeps_caches() -> None:
    assert cache_folder(HOME, "linux") == Path("/home/mia/.cache/seadragon")
    assert cache_folder(HOME, "darwin") == Path("/home/mia/Library/Caches/seadragon")
    assert cache_folder(HOME | {"XDG_CACHE_HOME": "/fast"}, "linux") == Path("/fast/seadragon")
    assert cache_folder(HOME | {"SEADRAGON_CACHE": "/mine"}, "darwin") == Path("/mine")


def test_the_cache_of_a_number_without_a_name_or_a_home_is_kept_with_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder({}, "linux") == Path(pwd.getpwuid(os.geteuid()).pw_dir, ".cache/seadragon")

    def nobody(number: int) -> pwd.struct_passwd:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert cache_folder({}, "linux") == CLONE / "data/.cache/seadragon"
    assert find_program("no-such-program", None, {"HOME": "", "PATH": "/nowhere"}) is None


def test_path_comes_before_what_a_mac_has_elsewhere() -> None:
    on_path = [Path("/opt/bin/ollama"), Path("/usr/bin/ollama")]
    assert list(places("ollama", HOME, "linux")) == on_path
    assert list(places("ollama", HOME, "darwin")) == [
        *on_path,
        Path("/Applications/Ollama.app/Contents/Resources/ollama"),
        Path("/opt/homebrew/bin/ollama"),
        Path("/usr/local/bin/ollama"),
    ]


def test_the_first_that_runs_is_found() -> None:
    there = {Path("/usr/bin/ollama"), Path("/opt/homebrew/bin/ollama")}
    assert find_program("ollama", None, HOME, "linux", there.__contains__) == Path("/usr/bin/ollama")
    assert find_program("ollama", None, HOME, "darwin", {OWN, Path("/usr/local/bin/ollama")}.__contains__) == Path(
        "/usr/local/bin/ollama"
    )
    assert find_program("ollama", None, HOME, "linux", set().__contains__) is None


def test_a_configured_one_is_the_only_one_looked_at() -> None:
    mine, other = Path("/mine/ollama"), Path("/usr/bin/ollama")
    assert find_program("ollama", mine, HOME, "linux", {mine, other}.__contains__) == mine
    assert find_program("ollama", mine, HOME, "linux", {other}.__contains__) is None


def test_set_up_puts_its_own_into_the_cache_by_version() -> None:
    assert own_ollama(HOME) == OWN


def test_an_empty_entry_of_path_is_not_the_current_folder() -> None:
    assert list(places("ollama", {"PATH": ":/usr/bin:"}, "linux")) == [Path("/usr/bin/ollama")]


@dataclass(frozen=True)
class Bare(Site):
    """A machine on which only `installed` programs are there, and every step but those in `working` fails."""

    installed: tuple[str, ...] = ()
    working: tuple[str, ...] = ()

    def which(self, program: str) -> str | None:
        return f"/bin/{program}" if program in self.installed else None

    def say(self, line: str) -> None:
        """Silent."""

    def run(self, argv: Sequence[str], *, telling: str = "", folder: Path | None = None, **more: str) -> str:
        if argv[0].rpartition("/")[2] not in self.working:
            raise ObtainFailed(f"{argv[0]} failed")
        return "go version go1.19.8 linux/amd64"


def bare(platform: str, installed: tuple[str, ...] = (), working: tuple[str, ...] = ()) -> Bare:
    """Such a machine."""
    return Bare(platform, "x86_64", {"HOME": "/nowhere", "PATH": ""}, installed, working)


def unreachable(*_: object) -> None:
    raise ObtainFailed("the release could not be downloaded: no network")


def test_a_mac_without_homebrew_and_network_is_told_what_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "find_ollama", lambda *_: None)
    monkeypatch.setattr(homebrew, "HOMEBREW", ())
    monkeypatch.setattr(setup, "_into_cache", unreachable)
    with pytest.raises(ObtainFailed) as failure:
        setup.ollama(bare("darwin"))
    assert "- Homebrew: Homebrew is not installed (https://brew.sh)" in str(failure.value)
    assert "- the official release: the release could not be downloaded" in str(failure.value)
    assert "https://ollama.com/download" in str(failure.value)


def test_every_way_that_was_tried_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "find_ollama", lambda *_: None)
    monkeypatch.setitem(setup.WAYS, "linux", {"a wish": golang.program, "a prayer": golang.program})
    monkeypatch.setattr(golang, "PLACES", "")
    with pytest.raises(ObtainFailed, match="(?s)- a wish: Go is missing.*- a prayer: Go is missing.*Or install it"):
        setup.ollama(bare("linux"))


@pytest.mark.parametrize("found", [Path("/usr/bin/ollama"), own_ollama({"HOME": "/nowhere"})])
def test_what_is_found_is_not_got_again(monkeypatch: pytest.MonkeyPatch, found: Path) -> None:
    monkeypatch.setattr(setup, "find_ollama", lambda *_: found)
    monkeypatch.setattr(setup, "built", lambda *_: [found])
    assert setup.ollama(bare("linux")) == found


def test_what_an_older_set_up_made_is_replaced_where_that_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    older = Path("/nowhere/.cache/seadragon/ollama-0.1.0/bin/ollama")
    monkeypatch.setattr(setup, "find_ollama", lambda *_: older)
    monkeypatch.setattr(setup, "built", lambda *_: [older])
    monkeypatch.setattr(golang, "PLACES", "")
    monkeypatch.setitem(setup.WAYS, "linux", {"a wish": golang.program})
    assert setup.ollama(bare("linux")) == older
    monkeypatch.setitem(setup.WAYS, "linux", {"a wish": golang.program, "a prayer": lambda site: OWN})
    assert setup.ollama(bare("linux")) == OWN


def test_go_that_is_missing_or_old_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golang, "PLACES", "")
    with pytest.raises(ObtainFailed, match="Go is missing. Install Go 1.26"):
        golang.program(bare("linux"))
    with pytest.raises(ObtainFailed, match="/bin/go is older than 1.21. Install Go 1.26"):
        golang.program(bare("linux", installed=("go",), working=("go",)))


def test_without_apt_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "SIGNS", {"chromium": "chromium", "wrk": "wrk"})
    monkeypatch.setattr(debian, "SYSTEM_PLACES", ())
    with pytest.raises(ObtainFailed, match="missing: chromium. These are the names of Debian's packages"):
        debian.ensure(bare("darwin", installed=("wrk",)), ["chromium", "wrk"])


def test_without_the_right_the_command_to_give_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(debian, "SYSTEM_PLACES", ())
    with pytest.raises(ObtainFailed, match="Install with: sudo apt-get install nginx wrk"):
        debian.ensure(bare("linux", installed=("apt-get",)), ["nginx", "wrk"])


def test_an_installation_that_brought_nothing_is_not_taken_for_one_that_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(debian, "SYSTEM_PLACES", ())
    with pytest.raises(ObtainFailed, match="installed, and yet not found: wrk"):
        debian.ensure(bare("linux", installed=("apt-get",), working=("apt-get",)), ["wrk"])
