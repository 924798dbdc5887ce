"""What NVIDIA's tool says of its cards, as text. Pure."""

from __future__ import annotations

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
