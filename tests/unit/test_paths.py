"""Which folders a command works on."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from controller.errors import SeadragonError
from controller.paths import CLONE, Paths, settle_home


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """This user is a number that the system's list of users does not have."""

    def nobody(number: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr(pwd, "getpwuid", nobody)


def test_without_a_word_the_clone_is_used() -> None:
    assert Paths.chosen({}) == Paths(CLONE / "config", CLONE / "data", CLONE / "logs")


def test_the_environment_chooses_each_folder_for_itself() -> None:
    paths = Paths.chosen({"SEADRAGON_DATA": "/srv/data"})
    assert (paths.config, paths.data, paths.logs) == (CLONE / "config", Path("/srv/data"), CLONE / "logs")


def test_the_command_line_beats_the_environment() -> None:
    assert Paths.chosen({"SEADRAGON_LOGS": "/from/env"}, logs="/from/argv").logs == Path("/from/argv")


def test_an_empty_variable_is_no_choice() -> None:
    assert Paths.chosen({"SEADRAGON_CONFIG": ""}).config == CLONE / "config"


def test_a_relative_folder_is_meant_from_here() -> None:
    assert Paths.chosen({}, data="some/data").data == Path.cwd() / "some/data"


def test_a_deep_data_folder_moves_the_socket_and_nothing_else() -> None:
    paths = Paths.chosen({}, data="/" + "deep/" * 30)
    assert paths.socket.parts[1] == "tmp"
    assert paths.run.is_relative_to(paths.data)


def test_a_home_that_is_named_is_left_alone() -> None:
    environment = {"HOME": "/home/mia"}
    settle_home(environment, otherwise=Path("/data"))
    assert environment == {"HOME": "/home/mia"}


@pytest.mark.parametrize("said", [{}, {"HOME": ""}])
def test_a_home_that_nobody_named_is_what_the_system_knows_of_the_user(said: dict[str, str]) -> None:
    settle_home(said, otherwise=Path("/data"))
    assert said == {"HOME": pwd.getpwuid(os.geteuid()).pw_dir}


@pytest.mark.parametrize("said", [{}, {"HOME": ""}])
@pytest.mark.usefixtures("nameless")
def test_a_number_without_a_name_lives_where_its_data_are(said: dict[str, str]) -> None:
    settle_home(said)
    assert said == {}
    settle_home(said, otherwise=Path("/data"))
    assert said == {"HOME": "/data"}


@pytest.mark.usefixtures("nameless")
def test_a_home_that_nobody_knows_is_not_made_into_a_folder_called_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    for text in ("~/data", "~nosuchuser/data"):
        with pytest.raises(SeadragonError, match="Name the folder in full"):
            Paths.chosen({}, data=text)


@pytest.mark.parametrize("name", ["data\n2", "data\x07", os.fsdecode(b"data\xff")])
def test_a_folder_that_nobody_can_write_down_is_refused_in_words(name: str) -> None:
    with pytest.raises(SeadragonError, match="cannot be written down") as refused:
        Paths.chosen({}, data=f"/srv/{name}")
    str(refused.value).encode()


@pytest.mark.parametrize("name", ["it's 100% $HOME", "sea dragon", "🐉👩\u200d💻", '#1; `x` & \\ "q"', "a\u00a0b"])
def test_any_other_name_will_do(name: str) -> None:
    assert Paths.chosen({}, data=f"/srv/{name}").data == Path("/srv", name)


def test_from_a_folder_that_is_gone_only_whole_names_mean_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> str:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "getcwd", gone)
    assert Paths.chosen({}, data="/srv/data").data == Path("/srv/data")
    with pytest.raises(SeadragonError, match="the folder you are in is gone"):
        Paths.chosen({}, data="data")
