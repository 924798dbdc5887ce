"""Who looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from controller.auth.access import Principal


class Onlooker(Protocol):
    """Who is shown something: a Principal, or a Viewer."""

    @property
    def identity(self) -> str: ...
    @property
    def manage(self) -> bool: ...
    @property
    def guest(self) -> bool:
        """Whether the house is not theirs to look into."""
        ...

    def sees(self, model: str) -> bool:
        """Whether `model` exists for them."""
        ...


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks at the pages, or from the terminal."""

    label: str = ""  # what people read
    identity: str = ""  # what counts
    manage: bool = False
    bound: Principal | None = None  # one for whom some models do not exist; None: all do
    guest: bool = False  # the house is not theirs to look into: `auth/access.py: Principal.guest`

    def sees(self, model: str) -> bool:
        """Whether `model` exists for them."""
        return self.bound is None or self.bound.sees(model)


OPERATOR_LOOKS: Final = Viewer("operator", "operator", manage=True)
"""Whoever runs `seadragon` on this machine."""
