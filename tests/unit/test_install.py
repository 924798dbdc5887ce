"""What launchd and systemd are given, without giving it to them."""

from __future__ import annotations

import configparser
import plistlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller import install
from controller.config.schema import Child, Ollama, Server, Tunnel
from controller.errors import SeadragonError
from controller.install import Place, Step, Unit

PLACE = Place(
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


def plist(place: Place) -> dict[str, object]:
    """The rendered property list, read back."""
    read = plistlib.loads(install.render_plist(place).encode())
    assert isinstance(read, dict)
    return read


def unit_file(place: Place) -> configparser.ConfigParser:
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


@pytest.mark.parametrize("place", [PLACE, AWKWARD])
def test_the_plist_says_what_the_place_says_however_awkward_its_names(place: Place) -> None:
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


def test_a_line_break_cannot_smuggle_a_setting_into_the_unit() -> None:
    with pytest.raises(SeadragonError, match="line break"):
        install.render_unit(replace(PLACE, folder=Path("/x\nUser=root")))


def test_stopping_gets_more_time_than_all_that_must_end_takes() -> None:
    server = Server()
    assert install.stop_limit(server) == 240
    assert install.stop_limit(server) > server.drain + server.tunnel.grace + server.ollama.stop_grace
    patient = Server(
        drain=600,
        tunnel=Tunnel(grace=180),
        ollama=Ollama(stop_grace=30),
        children={"x": Child(command=("x",), stop_grace=45)},
    )
    assert install.stop_limit(patient) == 600 + 180 + 45 + 30
    assert plist(replace(PLACE, stop_limit=install.stop_limit(patient)))["ExitTimeOut"] == 855


def test_a_platform_without_either_is_told() -> None:
    assert install.unit_for(PLACE, "darwin") == install.launchd(PLACE)
    assert install.unit_for(PLACE, "linux") == install.systemd(PLACE)
    with pytest.raises(SeadragonError, match="not freebsd14"):
        install.unit_for(PLACE, "freebsd14")


def test_under_sudo_it_runs_as_the_person_not_as_root() -> None:
    assert install.person({"SUDO_USER": "mia"}) == "mia"


def test_a_user_that_is_not_there_is_told() -> None:
    where = Path("/x")
    with pytest.raises(SeadragonError, match="no user 'nobody-at-all'"):
        install.place_of("nobody-at-all", config=where, data=where, logs=where, server=Server())


@dataclass
class Answer:
    """How a pretended command ended."""

    code: int
    err: bytes = b"no such process"


class Orders:
    """Takes the commands instead of launchctl and systemctl; those with a word of `failing` in them fail."""

    def __init__(self, failing: str = "-") -> None:
        self.given: list[str] = []
        self.failing = failing

    async def __call__(self, argv: Sequence[str], *, limit: float) -> Answer:
        self.given.append(" ".join(argv))
        return Answer(1 if self.failing in argv else 0)


def test_without_root_the_command_to_give_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 501)
    with pytest.raises(SeadragonError, match="sudo .*/seadragon install"):
        install._as_root("install")


async def test_a_step_that_may_fail_does_not_stop_the_rest() -> None:
    orders = Orders(failing="bootout")
    await install._walk(install.launchd(PLACE).begin, orders)
    assert [order.split()[1] for order in orders.given] == ["bootout", "enable", "bootstrap"]


async def test_a_step_that_must_not_fail_is_told_in_its_own_words() -> None:
    with pytest.raises(SeadragonError, match="systemctl restart seadragon.service.*exit code 1: no such process"):
        await install._walk(install.systemd(PLACE).begin, Orders(failing="restart"))


def test_leaving_stops_it_before_the_file_goes() -> None:
    unit: Unit = install.systemd(PLACE)
    assert unit.end == (Step(("systemctl", "disable", "--now", install.UNIT), needed=False),)
    assert unit.after == (Step(("systemctl", "daemon-reload")),)
