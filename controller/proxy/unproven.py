"""Which models' slots are in doubt. Ollama loses a slot in about one of 25 hang-ups in mid-stream: the runner then sits
idle, and the next request waits for ever. A slot is proven again by the first byte it brings.
"""

from __future__ import annotations


class Unproven:
    """Doubts, by model. After an adoption every model is in doubt: nobody knows what went on before."""

    def __init__(self) -> None:
        self._all = False
        self._doubted: set[str] = set()
        self._proven: set[str] = set()  # since the last `doubt_all`

    def doubt(self, model: str) -> None:
        """A client of this model left in mid-answer."""
        name = full_name(model)
        self._doubted.add(name)
        self._proven.discard(name)

    def doubt_all(self) -> None:
        """An Ollama was adopted that somebody else had been talking to."""
        self._all = True
        self._proven.clear()

    def doubts(self, model: str) -> bool:
        """Whether this model's next answer has to be watched."""
        if not model or not (self._all or self._doubted):
            return False
        name = full_name(model)
        return name in self._doubted or (self._all and name not in self._proven)

    def prove(self, model: str) -> None:
        """It answered, or its runner is a new one."""
        if self._all or self._doubted:
            name = full_name(model)
            self._doubted.discard(name)
            if self._all:
                self._proven.add(name)


def full_name(model: str) -> str:
    """One spelling for `name`, `NAME` and `name:latest`."""
    name = model.strip().lower()
    return name if ":" in name.rpartition("/")[2] else name + ":latest"
