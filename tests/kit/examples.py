"""How hard Hypothesis tries: as each test says in every run, twenty times as hard under `make proof`."""

from __future__ import annotations

import os

from hypothesis import settings

USUAL = 100  # examples of a test that says nothing
THOROUGH = 20 if os.environ.get("SEADRAGON_THOROUGH") else 1


def load_profile() -> None:
    """For tests that say nothing. No deadlines: a loaded machine is not a mistake."""
    settings.register_profile("seadragon", max_examples=USUAL * THOROUGH, deadline=None)
    settings.load_profile("seadragon")


def examples(count: int) -> settings:
    """Decorates a test that wants more or fewer."""
    return settings(max_examples=count * THOROUGH)
