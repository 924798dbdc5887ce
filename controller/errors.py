"""Every error Seadragon raises on purpose, in one tree.

SeadragonError
├── ConfigInvalid        one or more located mistakes in the YAML
├── NotApplied           a good configuration could not be put to work; the old one runs on
├── AlreadyRunning       another controller holds this data folder
├── NotRunning           the command needs a running controller and found none
├── SpawnFailed          a process could not be started at all
├── ObtainFailed         a program could not be found, downloaded or built
├── OrderRefused         an order about models, keys or people cannot be carried out
└── Unreachable          upstream could not be reached, or went away before it answered
    └── Declined         it was reached, and answered with an error of its own

What a *client* of the gateway is told is not an exception but a value: see `proxy/dialects.py`.
"""

from __future__ import annotations

from typing import Literal


class SeadragonError(Exception):
    """Base of all; its text is a plain sentence that a person may read."""


class NotApplied(SeadragonError):
    """A good configuration could not be put to work; the old one runs on."""


class AlreadyRunning(SeadragonError):
    """Another controller holds this data folder."""


class NotRunning(SeadragonError):
    """No controller runs on this data folder."""


SpawnFault = Literal["missing", "not_executable", "wrong_kind", "exhausted", "away", "held", "other"]


class SpawnFailed(SeadragonError):
    """A process could not be started at all.

    `kind`: the program is missing, may not be executed, or is not one for this machine; the system has no room for
    another process or open file just now (exhausted); what would keep it cannot be started or written (away); the one
    before it still runs (held).
    """

    def __init__(self, text: str, kind: SpawnFault = "other") -> None:
        super().__init__(text)
        self.kind: SpawnFault = kind


class ObtainFailed(SeadragonError):
    """A program could not be found, downloaded or built."""


OrderFault = Literal["unknown", "conflict", "no_room", "busy", "failed"]


class OrderRefused(SeadragonError):
    """An order about models, keys, people or addresses cannot be carried out.

    `kind`: there is no such thing (unknown); the state of things is not what the order takes for granted (conflict); it
    does not fit (no_room); something else has to end first (busy); it was tried (failed).
    """

    def __init__(self, text: str, kind: OrderFault) -> None:
        super().__init__(text)
        self.kind: OrderFault = kind


class Unreachable(SeadragonError):
    """Upstream could not be reached, or went away before it answered."""


class Declined(Unreachable):
    """An engine was reached, and answered with an error. `words` are its own, empty when it had none."""

    def __init__(self, text: str, status: int, words: str) -> None:
        super().__init__(text)
        self.status = status
        self.words = words
