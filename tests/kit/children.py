"""Specs and facts for tests that keep real children."""

from __future__ import annotations

import sys
from pathlib import Path

from controller.supervision.identity import ProcessIdentity, identify
from controller.supervision.spec import ChildSpec

UNRULY = Path(__file__).parents[1] / "fakes" / "unruly.py"


def unruly_spec(name: str, place: Path, *program: str, grace: float = 5.0, **changes: object) -> ChildSpec:
    """A child that runs one of `tests/fakes/unruly.py`, logging to `place/logs`."""
    given: dict[str, object] = {
        "argv": (sys.executable, "-I", "-S", str(UNRULY), *program),
        "environment": (("LANG", "C.UTF-8"),),
        "folder": str(place),
        "stop_grace": grace,
        "log_file": str(place / "logs" / f"{name}.log"),
        **changes,
    }
    return ChildSpec(name=name, **given)  # type: ignore[arg-type]  # the values are as given above or by the test


def who(pid: int) -> ProcessIdentity:
    """The identity of a process that must be alive."""
    found = identify(pid)
    assert found is not None, f"pid {pid} is not alive"
    return found
