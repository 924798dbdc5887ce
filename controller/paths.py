"""The three folders of one Seadragon, and the files in them that more than one part knows. Standard library only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from controller.socketpath import socket_path

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

        Links are followed here, once, so that every part names a folder the same way.
        """

        def folder(name: str, said: str | None) -> Path:
            text = said or environment.get(f"SEADRAGON_{name.upper()}")
            return Path(os.path.realpath(Path(text).expanduser() if text else CLONE / name))

        return cls(folder("config", config), folder("data", data), folder("logs", logs))

    @property
    def socket(self) -> Path:
        """Where the running controller takes orders."""
        return socket_path(self.data / "control.sock")

    @property
    def run(self) -> Path:
        """One folder for each child: its lock, record and keeper's socket."""
        return self.data / "run"

    @property
    def log(self) -> Path:
        """The controller's own log, one JSON object a line."""
        return self.logs / "controller.jsonl"
