"""Started where and as nobody expects: from a folder with an awkward name, without a home, by a number without a name,
with any umask. It works, and what it writes is nobody else's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.acceptance.conftest import MakeHouse
from tests.kit import web
from tests.kit.house import FakeHouse, fake_house

AWKWARD = 'it\'s 100% $HOME, `a` "b" & co #1 🐉 (c\\d)'
ODD = """
import os, pwd, sys
umask, nameless = int(sys.argv.pop(1)), int(sys.argv.pop(1))
os.umask(umask)
os.environ.pop("HOME", None)
def nobody(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")
if nameless:
    pwd.getpwuid = nobody
from controller.__main__ import main
main()
"""


def chat(house: FakeHouse) -> int:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "stream": False}
    return web.post(f"{house.url}/api/chat", json=body, timeout=30).status_code


def open_to_others(folder: Path) -> list[Path]:
    """What others may read or change, UNIX sockets left out: their folder is shut."""
    return [each for each in (folder, *folder.rglob("*")) if each.lstat().st_mode & 0o077 and not each.is_symlink()]


def test_a_folder_may_be_called_anything(tmp_path: Path) -> None:
    with fake_house(tmp_path / AWKWARD) as house:
        house.up().until_ready()
        assert chat(house) == 200
        for words in (
            ("status",),
            ("config", "check"),
            ("doctor",),
            ("install", "--print"),
            ("backup",),
            ("models",),
            ("restart", "ollama"),
            ("restart",),
            ("logs", "-n", "5"),
        ):
            done = house.run(*words, limit=120)
            assert "Traceback" not in done.stderr + done.stdout, words
            assert done.returncode == 0 or words == ("doctor",), (words, done.stderr)
        house.until_ready()
        assert chat(house) == 200
        assert house.down() == 0
        assert not house.processes()


@pytest.mark.parametrize(("umask", "nameless"), [(0o000, True), (0o077, False)])
def test_without_a_home_by_a_number_without_a_name_and_with_any_umask_it_runs_and_keeps_its_things_to_itself(
    make_house: MakeHouse, umask: int, nameless: bool
) -> None:
    house = make_house()
    odd = [sys.executable, "-c", ODD, str(umask), str(int(nameless))]
    environment = {**os.environ, "XDG_CACHE_HOME": str(house.folder / "cache"), **house.environment}
    with (house.logs / "console.txt").open("ab") as console:
        up = [*odd, *house.command("up")[3:]]
        house.process = subprocess.Popen(up, stdout=console, stderr=console, env=environment, start_new_session=True)
    (house.logs / "console.txt").chmod(0o600)
    house.until_ready()
    assert chat(house) == 200
    home = psutil.Process(house.child()["pid"]).environ()["HOME"]
    assert home == (str(house.data) if nameless else os.path.expanduser("~"))
    for words in (("doctor",), ("install", "--print"), ("install",), ("backup",), ("status",), ("config", "check")):
        if words == ("install",) and not nameless:
            continue  # that would do it
        done = subprocess.run(
            [*odd, *house.command(*words)[3:]], env=environment, capture_output=True, text=True, timeout=120
        )
        assert "Traceback" not in done.stderr + done.stdout, (words, done.stderr)
        if words[0] == "install" and nameless:
            assert "has no name on this machine, and a service needs one" in done.stderr
    assert open_to_others(house.data) + open_to_others(house.logs) == []
    assert house.down() == 0
    assert not house.processes()
