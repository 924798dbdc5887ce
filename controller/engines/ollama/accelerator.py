"""What Ollama and the system's own tools say of the GPU, as text. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SEARCH = 'msg="discovering available GPUs'
_FOUND = 'msg="inference compute"'
_PAIR = re.compile(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))')
_SIZE = re.compile(r"([0-9.]+) (B|KiB|MiB|GiB)")


@dataclass(frozen=True, slots=True)
class Accelerator:
    """What Ollama works with: all its devices together."""

    library: str  # Metal, CUDA, ROCm, Vulkan; cpu: it found no GPU
    name: str = ""
    total: int = 0  # bytes; on Metal the measured working set, for cpu the RAM
    available: int = 0  # bytes, when Ollama started
    unified: bool = False  # its memory is the machine's own

    @property
    def limit(self) -> int | None:
        """Bytes that models may take at most; None without a GPU, or when it does not say."""
        return None if self.library == "cpu" else self.total or None


def accelerator_limit(log_text: str) -> Accelerator | None:
    """What the last start in Ollama's log says it found (discover/types.go, v0.24.0); None while it does not say.

    A library of cpu where there should be a GPU means that it got lost.
    """
    since = log_text.rpartition(_SEARCH)[2]
    found = [dict(_pairs(line.partition(_FOUND)[2])) for line in since.splitlines() if _FOUND in line]
    devices = [device for device in found if "library" in device]
    if not devices:
        return None
    library = devices[0]["library"]
    return Accelerator(
        library="Metal" if library.lower() == "metal" else library,
        name=", ".join(device.get("description") or device.get("name", "") for device in devices),
        total=sum(_bytes(device.get("total", "")) for device in devices),
        available=sum(_bytes(device.get("available", "")) for device in devices),
        unified=library.lower() == "metal" or all(device.get("type") == "iGPU" for device in devices),
    )


def gpu_lost(found: Accelerator | None, wanted: Literal["auto", "required", "any"], *, silicon: bool) -> bool:
    """Whether Ollama has to do without the GPU it must have. `wanted` is `models.gpu`; `silicon`: a Mac with one."""
    required = wanted == "required" or (wanted == "auto" and silicon)
    return required and found is not None and found.library == "cpu"


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    for key, quoted, bare in _PAIR.findall(line):
        yield key, quoted or bare


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text)
    return round(float(match[1]) * _UNITS[match[2]]) if match else 0


NVIDIA = ("nvidia-smi", "--query-gpu=memory.total,memory.used", "--format=csv,noheader,nounits")
NVIDIA_PROCESSES = ("nvidia-smi", "--query-compute-apps=pid,used_gpu_memory", "--format=csv,noheader,nounits")


def nvidia_memory(text: str) -> tuple[int, int] | None:
    """Bytes in all and in use, of all cards together, from the output of `NVIDIA`; None when it has no figures."""
    rows = _mebibytes(text)
    return (sum(total for total, _ in rows) * 2**20, sum(used for _, used in rows) * 2**20) if rows else None


def nvidia_processes(text: str) -> dict[int, int]:
    """Bytes on the cards by process id, from the output of `NVIDIA_PROCESSES`."""
    held: dict[int, int] = {}
    for pid, used in _mebibytes(text):
        held[pid] = held.get(pid, 0) + used * 2**20
    return held


def _mebibytes(text: str) -> list[tuple[int, int]]:
    rows = [[cell.strip() for cell in line.split(",")] for line in text.splitlines()]
    return [(int(row[0]), int(row[1])) for row in rows if len(row) == 2 and all(cell.isdecimal() for cell in row)]
