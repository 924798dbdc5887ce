"""A socket's path is always one that the kernel takes."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from controller.machine.socketpath import socket_path
from controller.settings.addresses import LONGEST_SOCKET_PATH as LONGEST

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=60).filter(
    lambda name: name not in (".", "..")
)


def test_a_short_path_stays_where_it_is() -> None:
    assert socket_path(Path("/srv/seadragon/data/control.sock")) == Path("/srv/seadragon/data/control.sock")


def test_96_bytes_are_short_and_97_are_not() -> None:
    fits = Path("/" + "d" * (LONGEST - len("/control.sock") - 1)) / "control.sock"
    assert len(os.fsencode(fits)) == LONGEST
    assert socket_path(fits) == fits
    assert socket_path(Path(f"/d{fits}")) != Path(f"/d{fits}")


@given(folders=st.lists(NAMES, min_size=1, max_size=12))
def test_the_answer_always_fits_and_keeps_the_name(folders: list[str]) -> None:
    found = socket_path(Path("/", *folders, "keeper.sock"), uid=501)
    assert len(os.fsencode(found)) <= LONGEST
    assert found.name == "keeper.sock"


def test_bytes_count_not_letters() -> None:
    assert socket_path(Path("/" + "ü" * 45 + "/c.sock"), uid=0).parts[1] == "tmp"


def test_two_folders_and_two_users_never_meet() -> None:
    one, other = Path("/" + "a" * 120 + "/control.sock"), Path("/" + "b" * 120 + "/control.sock")
    assert len({socket_path(one, uid=1), socket_path(other, uid=1), socket_path(one, uid=2)}) == 3
