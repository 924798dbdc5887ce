"""How the doctor looks at each engine. A row for each."""

from __future__ import annotations

from typing import Final

from controller.engines.ollama.look import look as look_at_ollama

LOOKS: Final = (look_at_ollama,)
