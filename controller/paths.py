"""The three folders of one Seadragon, and the files in them that more than one part knows. Standard library only."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from controller.errors import SeadragonError
from controller.machine.ownership import uid_of
from controller.machine.socketpath import socket_path

CLONE = Path(__file__).resolve().parent.parent
"""The folder that holds `config/`, `data/`, `logs/`, `templates/` and `static/`."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Where one Seadragon reads its YAML, keeps what must survive, and writes its logs. Absolute."""

    config: Path
    data: Path
    logs: Path

    @classmethod
    def chosen(
        cls,
        environment: Mapping[str, str],
        *,
        config: str | None = None,
        data: str | None = None,
        logs: str | None = None,
    ) -> Paths:
        """What the command line says, else SEADRAGON_CONFIG, _DATA, _LOGS of the environment, else the clone's own.

        Links are followed here, once, so that every part names a folder the same way. Raises SeadragonError for a
        folder that nobody could find or write down.
        """

        def folder(name: str, said: str | None) -> Path:
            text = said or environment.get(f"SEADRAGON_{name.upper()}")
            return _whole(text, f"--{name}") if text else _writable(os.path.realpath(CLONE / name))

        return cls(folder("config", config), folder("data", data), folder("logs", logs))

    @property
    def socket(self) -> Path:
        """Where the running controller takes orders: by whose the data is, whoever asks."""
        return socket_path(self.data / "control.sock", uid=uid_of(self.data))

    @property
    def run(self) -> Path:
        """One folder for each child: its lock, record and keeper's socket."""
        return self.data / "run"

    @property
    def log(self) -> Path:
        """The controller's own log, one JSON object a line."""
        return self.logs / "controller.jsonl"


def settle_home(environment: MutableMapping[str, str], otherwise: Path | None = None) -> None:
    """Have HOME say where whoever runs this keeps what is theirs: who starts us may leave it out, and a child may not
    begin without it. What the system knows of this user counts then, and for a number without a name, as containers
    use them, `otherwise`.
    """
    if environment.get("HOME"):
        return
    try:
        known = pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        known = ""
    home = known or (str(otherwise) if otherwise else "")
    environment.pop("HOME", None)  # an empty one would be the folder that we happen to be in
    if home:
        environment["HOME"] = home


_NO_TEXT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # control characters, and bytes that are no UTF-8


def _whole(text: str, option: str) -> Path:
    """What somebody calls a folder, in full. Raises SeadragonError."""
    named = os.path.expanduser(text)
    if named.startswith("~"):
        raise SeadragonError(f"{option} {text}: there is no such home on this machine. Name the folder in full.")
    try:
        return _writable(os.path.realpath(named))
    except FileNotFoundError as error:  # the folder we are in was taken away
        raise SeadragonError(f"{option} {text}: the folder you are in is gone. Name the other in full.") from error


def _writable(name: str) -> Path:
    """Logs, service files and other programs have to take it as text."""
    if _NO_TEXT.search(name):
        raise SeadragonError(f"{name!r} cannot be written down (control characters, or no UTF-8): rename the folder.")
    return Path(name)
