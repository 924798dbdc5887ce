"""Which folders a command works on."""

from __future__ import annotations

from pathlib import Path

from controller.paths import CLONE, Paths


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
