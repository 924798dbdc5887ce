"""What of a request some engine fixes when it loads a model, so that rules of ours must look at it. A row for each."""

from __future__ import annotations

from typing import Final

from controller.engines.ollama.inside import INSIDES

FIXED_MEMBERS: Final[frozenset[str]] = frozenset().union(*(inside.fixed_members for inside in INSIDES))
"""Members of a request."""
FIXED_OPTIONS: Final[frozenset[str]] = frozenset().union(*(inside.fixed for inside in INSIDES))
"""Those of its `options`."""
