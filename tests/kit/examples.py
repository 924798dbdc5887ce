"""How hard Hypothesis tries: half of what a test says in every run, since that is to be soon over, and twenty times as
much under `make proof`.
"""

from __future__ import annotations

import os

from hypothesis import settings

USUAL = 100  # examples of a test that says nothing
TIMES = 20.0 if os.environ.get("SEADRAGON_THOROUGH") else 0.5


def load_profile() -> None:
    """For tests that say nothing. No deadlines: a loaded machine is not a mistake."""
    settings.register_profile("seadragon", max_examples=round(USUAL * TIMES), deadline=None)
    settings.load_profile("seadragon")


def examples(count: int) -> settings:
    """Decorates a test that wants more or fewer."""
    return settings(max_examples=round(count * TIMES))
