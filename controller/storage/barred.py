"""The file beside the database that holds who stays out whatever becomes of that: `auth/barred.py`."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from controller.auth import barred
from controller.auth.barred import Barred
from controller.errors import SeadragonError
from controller.machine import durable
from controller.plain import fault_words

NAME: Final = "barred.json"
_LARGEST: Final = 64 * 2**20  # bytes


class BarredFile:
    """Of one data folder. Everything here blocks."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Barred | None:
        """What it says; None when there is none. Raises SeadragonError when it cannot be read, or is not ours alone."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SeadragonError(f"{self.path} cannot be read: {fault_words(error)}.") from error
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
                raise SeadragonError(f"{self.path} must be a file of ours that nobody else can read (chmod 600).")
            try:
                return barred.read(file.read(_LARGEST))
            except OSError as error:
                raise SeadragonError(f"{self.path} cannot be read: {fault_words(error)}.") from error
            except ValueError as error:
                raise SeadragonError(f"{self.path} is damaged: {error}.") from error

    def exists(self) -> bool:
        """Whether there is one."""
        return os.path.lexists(self.path)

    def forget(self) -> None:
        """Begin anew with what the database says. Raises SeadragonError."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise SeadragonError(f"{self.path} cannot be removed: {fault_words(error)}.") from error

    def write(self, what: Barred) -> None:
        """Whole or not at all, and on the disk when this returns. Raises SeadragonError."""
        try:
            durable.write(self.path, barred.written(what))
        except OSError as error:
            raise SeadragonError(f"{self.path} cannot be written: {fault_words(error)}.") from error
