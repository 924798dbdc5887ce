"""What launchd and systemd are given, without giving it to them."""

from __future__ import annotations

import configparser
import grp
import os
import plistlib
import pwd
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller import install
from controller.config.listening import LimitSettings
from controller.config.processes import ChildSettings, TunnelSettings
from controller.config.schema import Server
from controller.engines.ollama.settings import OllamaSettings
from controller.errors import SeadragonError
from controller.install import Installation, Unit
from controller.steps import Step, walk
from controller.supervision.tools import ToolResult
from tests.fakes.clock import WoundClock

PLACE = Installation(
    user="mia",
    group="staff",
    home=Path("/Users/mia"),
    folder=Path("/Users/mia/seadragon"),
    python=Path("/Users/mia/seadragon/.venv/bin/python"),
    config=Path("/Users/mia/seadragon/config"),
    data=Path("/Users/mia/seadragon/data"),
    logs=Path("/Users/mia/seadragon/logs"),
)
AWKWARD = replace(PLACE, folder=Path('/Users/M & "M" <$HOME> 100%/sea dragon'), logs=Path("/tmp/a b/100%"))
AGENT = replace(PLACE, agent_of=501)
PLIST_TYPES = {
    "Label": str,
    "ProgramArguments": list,
    "UserName": str,
    "GroupName": str,
    "WorkingDirectory": str,
    "EnvironmentVariables": dict,
    "Umask": int,
    "RunAtLoad": bool,
    "KeepAlive": bool,
    "ExitTimeOut": int,
    "ProcessType": str,
    "SoftResourceLimits": dict,
    "HardResourceLimits": dict,
    "StandardOutPath": str,
    "StandardErrorPath": str,
}


def plist(place: Installation) -> dict[str, object]:
    """The rendered property list, read back."""
    read = plistlib.loads(install.render_plist(place).encode())
    assert isinstance(read, dict)
    return read


def unit_file(place: Installation) -> configparser.ConfigParser:
    """The rendered unit, read back; `Environment` may stand there several times, the last is kept."""
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters=["="])
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # documented way to keep the case of keys
    parser.read_string(install.render_unit(place))
    return parser


def test_the_plist_has_just_the_keys_we_know_each_of_its_type() -> None:
    assert {key: type(value) for key, value in plist(PLACE).items()} == PLIST_TYPES


def test_the_plist_keeps_it_running_unthrottled_with_files_enough() -> None:
    read = plist(PLACE)
    assert read["KeepAlive"] is True
    assert read["RunAtLoad"] is True
    assert read["ProcessType"] == "Interactive"
    assert read["SoftResourceLimits"] == read["HardResourceLimits"] == {"NumberOfFiles": 65536}
    assert read["Umask"] == 0o077


def test_the_label_is_the_files_name() -> None:
    unit = install.launchd(PLACE)
    assert unit.file.name == f"{plist(PLACE)['Label']}.plist"
    assert unit.file.parent == Path("/Library/LaunchDaemons")


def test_an_agent_runs_in_its_owners_session_and_as_nobody_else() -> None:
    assert set(PLIST_TYPES) - set(plist(AGENT)) == {"UserName", "GroupName"}
    assert plist(AGENT)["LimitLoadToSessionType"] == "Aqua"
    unit = install.launchd(AGENT)
    assert unit.file == Path("/Users/mia/Library/LaunchAgents/local.seadragon.plist")
    assert not unit.by_root
    orders = [" ".join(step.argv) for step in (*unit.begin, *unit.end, *unit.halt)]
    assert all("gui/501" in order and "system" not in order for order in orders)
    assert f"launchctl bootstrap gui/501 {unit.file}" in orders


def test_an_agent_is_for_macs() -> None:
    with pytest.raises(SeadragonError, match="--agent is for macOS"):
        install.unit_for(AGENT, "linux")


@pytest.mark.parametrize("place", [PLACE, AWKWARD])
def test_the_plist_says_what_the_place_says_however_awkward_its_names(place: Installation) -> None:
    read = plist(place)
    assert read["ProgramArguments"] == list(place.arguments)
    assert read["WorkingDirectory"] == str(place.folder)
    assert read["EnvironmentVariables"] == place.environment
    assert read["StandardOutPath"] == read["StandardErrorPath"] == str(place.boot_log)
    assert (read["UserName"], read["GroupName"]) == (place.user, place.group)


def test_every_path_is_absolute_and_nothing_goes_through_a_shell() -> None:
    program, *rest = PLACE.arguments
    assert Path(program).is_absolute()
    assert rest[:4] == ["-m", "controller", "up", "--service"]
    assert all(Path(value).is_absolute() for value in rest[5::2])
    assert all(Path(entry).is_absolute() for entry in PLACE.environment["PATH"].split(":"))


def test_no_secret_can_come_in_from_the_environment_of_who_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNNEL_TOKEN", "s3cret")
    assert set(PLACE.environment) == {"HOME", "LANG", "PATH"}
    assert "s3cret" not in install.render_plist(PLACE) + install.render_unit(PLACE)


def test_the_unit_is_what_keepers_and_big_models_need() -> None:
    unit = unit_file(PLACE)
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert {key: unit["Service"][key] for key in ("User", "KillMode", "OOMPolicy", "Restart", "TimeoutStopSec")} == {
        "User": "mia",
        "KillMode": "process",
        "OOMPolicy": "continue",
        "Restart": "always",
        "TimeoutStopSec": "240",
    }
    assert unit["Service"]["LimitNOFILE"] == "65536"
    assert unit["Install"]["WantedBy"] == "multi-user.target"


@pytest.mark.parametrize("breaker", ["PrivateTmp", "PrivateDevices", "MemoryDenyWriteExecute", "ProtectHome"])
def test_the_units_hardening_leaves_us_sockets_graphics_and_models(breaker: str) -> None:
    assert breaker not in unit_file(PLACE)["Service"]


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1))
def test_any_name_of_a_folder_reaches_systemd_as_one_word(name: str) -> None:
    place = replace(PLACE, config=Path("/x") / name)
    command = next(line for line in install.render_unit(place).split("\n") if line.startswith("ExecStart="))
    # What systemd undoes: %% and $$; and quotes, which a POSIX shell reads alike (it would expand neither here).
    words = shlex.split(command.removeprefix("ExecStart=").replace("%%", "%").replace("$$", "$"))
    assert words == list(place.arguments)


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1))
def test_what_is_installed_for_a_folder_is_found_again_whatever_its_name(name: str) -> None:
    mine, another = (replace(PLACE, data=Path("/x", f"a{name}", each)) for each in ("data", "data2"))
    for plan in (install.launchd, install.systemd):
        assert plan(mine).works_on in plan(mine).text
        assert plan(mine).works_on not in plan(another).text


def test_a_line_break_cannot_smuggle_a_setting_into_the_unit() -> None:
    with pytest.raises(SeadragonError, match="line break"):
        install.render_unit(replace(PLACE, folder=Path("/x\nUser=root")))


def test_stopping_gets_more_time_than_all_that_must_end_takes() -> None:
    server = Server()
    assert install.stop_limit(server) == 240
    assert install.stop_limit(server) > server.drain + server.tunnel.grace + server.ollama.stop_grace
    patient = Server(
        drain=600,
        tunnel=TunnelSettings(grace=180),
        ollama=OllamaSettings(stop_grace=30),
        children={"x": ChildSettings(command=("x",), stop_grace=45)},
    )
    assert install.stop_limit(patient) == 600 + 180 + 45 + 30
    assert plist(replace(PLACE, stop_limit=install.stop_limit(patient)))["ExitTimeOut"] == 855


def test_whoever_wants_more_connections_than_usual_may_have_the_files_for_them() -> None:
    where, server = Path("/x"), Server(limits=LimitSettings(connections=20_000))
    place = install.place_of(install.person({}), config=where, data=where, logs=where, server=server)
    assert place.files == server.files_needed > 65536
    assert plist(place)["SoftResourceLimits"] == plist(place)["HardResourceLimits"] == {"NumberOfFiles": place.files}
    assert unit_file(place)["Service"]["LimitNOFILE"] == str(place.files)


def test_a_platform_without_either_is_told() -> None:
    assert install.unit_for(PLACE, "darwin") == install.launchd(PLACE)
    assert install.unit_for(PLACE, "linux") == install.systemd(PLACE)
    with pytest.raises(SeadragonError, match="not freebsd14"):
        install.unit_for(PLACE, "freebsd14")


def test_under_sudo_it_runs_as_the_person_not_as_root() -> None:
    assert install.person({"SUDO_USER": "mia"}) == "mia"


def test_a_number_without_a_name_is_told_that_a_service_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(number: int) -> pwd.struct_passwd:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(SeadragonError, match=rf"User {os.geteuid()}, .* has no name .* seadragon up --service"):
        install.person({})


def test_a_group_without_a_name_goes_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(number: int) -> grp.struct_group:
        raise KeyError(number)

    monkeypatch.setattr(grp, "getgrgid", nobody)
    me, where = pwd.getpwuid(os.geteuid()), Path("/x")
    place = install.place_of(me.pw_name, config=where, data=where, logs=where, server=Server())
    assert place.group == str(me.pw_gid)


def test_a_user_that_is_not_there_is_told() -> None:
    where = Path("/x")
    with pytest.raises(SeadragonError, match="no user 'nobody-at-all'"):
        install.place_of("nobody-at-all", config=where, data=where, logs=where, server=Server())


def ended(code: int, err: bytes = b"no such process") -> ToolResult:
    """How a pretended command ended."""
    return ToolResult(code, b"", err)


class Orders:
    """Takes the commands instead of launchctl and systemctl; those with a word of `failing` in them fail."""

    def __init__(self, failing: str = "-") -> None:
        self.given: list[str] = []
        self.failing = failing
        self.clock = Hasty()
        self.told: list[str] = []

    async def __call__(self, argv: Sequence[str], *, limit: float) -> ToolResult:
        self.given.append(" ".join(argv))
        return self.answer(argv)

    def answer(self, argv: Sequence[str]) -> ToolResult:
        return ended(1 if self.failing in argv else 0)

    async def walk(self, steps: Sequence[Step]) -> None:
        await walk(steps, self, self.told.append, self.clock)

    def verbs(self) -> list[str]:
        """What was asked for, told once where it was asked several times in a row."""
        return [verb for verb, _ in groupby(order.split()[1] for order in self.given)]


class Hasty(WoundClock):
    """A clock by which every pause is over at once."""

    async def sleep(self, seconds: float) -> None:
        self.leap(seconds)


class Launchctl(Orders):
    """As on a Mac: `bootout` returns while the service stops, and what has just been let go cannot come back yet."""

    def __init__(self, *, loaded: bool = True, stops: float = 90.0, settles: float = 5.0) -> None:
        super().__init__()
        self.loaded, self.stops, self.settles = loaded, stops, settles
        self.left: float | None = None  # when it was told to leave

    def answer(self, argv: Sequence[str]) -> ToolResult:
        verbs: dict[str, Callable[[], ToolResult]] = {
            "bootout": self.bootout,
            "print": self.print,
            "enable": lambda: ended(0),
            "bootstrap": self.bootstrap,
        }
        return verbs[argv[1]]()

    def bootout(self) -> ToolResult:
        if not self.loaded:
            return ended(3, b"Boot-out failed: 3: No such process")
        self.left = self.clock.now() if self.left is None else self.left
        return ended(36, b"Boot-out failed: 36: Operation now in progress")

    def print(self) -> ToolResult:
        if self.loaded and self.left is not None and self.clock.now() - self.left >= self.stops:
            self.loaded = False
        if self.loaded:
            return ended(0, b"")
        return ended(113, b'Could not find service "local.seadragon" in domain for system')

    def bootstrap(self) -> ToolResult:
        settled = self.left is None or self.clock.now() - self.left >= self.stops + self.settles
        if self.loaded or not settled:
            return ended(5, b"Bootstrap failed: 5: Input/output error")
        self.loaded = True
        return ended(0, b"")


async def test_an_install_while_the_old_one_drains_waits_until_it_is_gone_and_brings_the_new_one() -> None:
    mac = Launchctl()
    await mac.walk(install.launchd(PLACE).begin)
    assert mac.loaded
    assert mac.verbs() == ["bootout", "print", "enable", "bootstrap"]
    assert mac.told == ["The one that runs finishes its answers first; that may take 4 minutes."]


async def test_an_install_where_none_runs_waits_for_nothing() -> None:
    mac = Launchctl(loaded=False)
    await mac.walk(install.launchd(PLACE).begin)
    assert mac.loaded
    assert (len(mac.given), mac.told) == (4, [])


async def test_a_service_that_never_ends_is_told_and_not_replaced() -> None:
    mac = Launchctl(stops=10_000)
    with pytest.raises(SeadragonError, match=r"did not end within 300 s\. Look at: sudo launchctl print"):
        await mac.walk(install.launchd(PLACE).begin)
    assert "bootstrap" not in mac.verbs()


async def test_what_launchd_will_not_take_is_told_in_its_own_words() -> None:
    mac = Launchctl(settles=10_000)
    with pytest.raises(SeadragonError, match="exit code 5: Bootstrap failed: 5: Input/output error"):
        await mac.walk(install.launchd(PLACE).begin)


async def test_a_launchctl_that_was_killed_for_being_late_does_not_say_that_the_service_is_gone() -> None:
    class Late(Launchctl):
        def print(self) -> ToolResult:
            return ended(-9, b"") if len(self.given) < 10 else super().print()

    mac = Late()
    await mac.walk(install.launchd(PLACE).begin)
    assert mac.loaded
    assert mac.given.count("launchctl bootstrap system /Library/LaunchDaemons/local.seadragon.plist") > 1
    assert len([order for order in mac.given if " print " in order]) > 100


async def test_a_patient_drain_gets_its_time() -> None:
    place = replace(PLACE, stop_limit=3600)
    mac = Launchctl(stops=3500)
    await mac.walk(install.launchd(place).begin)
    assert mac.loaded
    assert all(step.limit > 3600 for step in install.systemd(place).begin if "restart" in step.argv)
    assert all(step.limit > 3600 for step in (*install.systemd(place).end, *install.systemd(place).halt))


@pytest.mark.parametrize("part", ["end", "halt"])
async def test_whoever_takes_it_away_or_stops_it_waits_until_it_is_gone(part: str) -> None:
    mac = Launchctl()
    await mac.walk(getattr(install.launchd(PLACE), part))
    assert not mac.loaded


async def test_what_is_not_loaded_can_be_taken_away_but_not_stopped() -> None:
    await Launchctl(loaded=False).walk(install.launchd(PLACE).end)
    with pytest.raises(SeadragonError, match="No such process"):
        await Launchctl(loaded=False).walk(install.launchd(PLACE).halt)


def test_without_root_the_command_to_give_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 501)
    with pytest.raises(SeadragonError, match="sudo .*/seadragon install"):
        install.check_right(install.launchd(PLACE), "install")
    install.check_right(install.launchd(AGENT), "install")


def test_an_agent_is_not_installed_as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(SeadragonError, match="without sudo: seadragon uninstall"):
        install.check_right(install.launchd(AGENT), "uninstall")
    install.check_right(install.launchd(PLACE), "uninstall")


async def test_a_step_that_may_fail_does_not_stop_the_rest() -> None:
    orders = Orders(failing="bootout")
    await orders.walk((install.launchd(PLACE).begin[0], Step(("launchctl", "enable", "x"))))
    assert orders.verbs() == ["bootout", "enable"]


async def test_a_step_that_must_not_fail_is_told_in_its_own_words() -> None:
    with pytest.raises(SeadragonError, match="systemctl restart seadragon.service.*exit code 1: no such process"):
        await Orders(failing="restart").walk(install.systemd(PLACE).begin)


def test_leaving_stops_it_before_the_file_goes() -> None:
    unit: Unit = install.systemd(PLACE)
    assert [step.argv for step in unit.end] == [("systemctl", "disable", "--now", install.UNIT)]
    assert unit.after == (Step(("systemctl", "daemon-reload")),)
