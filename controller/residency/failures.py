"""What became of a load that failed, told from Ollama's own words (v0.24.0). Pure.

llm/server.go ("model requires more system memory", "unable to load full model", "failed to allocate memory"),
llm/status.go (what a runner's last words are looked for in), ml/device.go ErrNoMem ("insufficient memory"),
llama.cpp ("cudaMalloc failed: out of memory", "unable to allocate … buffer", "…CallbackErrorOutOfMemory" of Metal).
"""

from __future__ import annotations

from enum import StrEnum

from controller.errors import SeadragonError

_MEMORY = (
    "more system memory",
    "out of memory",
    "outofmemory",
    "insufficient memory",
    "cudamalloc failed",
    "unable to load full model",
    "failed to allocate",
    "unable to allocate",
    "cannot allocate",
)
_CRASH = (
    "llama runner process has terminated",
    "llama runner process no longer running",
    "model runner has unexpectedly stopped",
    "an error was encountered while running the model",
)
NOT_FOUND = 404


class Fault(StrEnum):
    """Of one load."""

    MEMORY = "memory"
    CRASH = "crash"  # its process died, or stood still and was ended
    LATE = "late"  # it took longer than any load may
    MISSING = "missing"  # there is no such model any more
    OTHER = "other"  # Ollama will not, whatever we do


class LoadFailed(SeadragonError):
    """A load that did not come to its end. Its text is the reason, in Ollama's own words where it gave some."""

    def __init__(self, text: str, fault: Fault) -> None:
        super().__init__(text)
        self.fault = fault


def fault_of(status: int, words: str) -> Fault:
    """What an error answer to a load means. Memory goes first: a runner that dies of it says both."""
    said = words.lower()
    if any(each in said for each in _MEMORY):
        return Fault.MEMORY
    if any(each in said for each in _CRASH):
        return Fault.CRASH
    return Fault.MISSING if status == NOT_FOUND else Fault.OTHER
