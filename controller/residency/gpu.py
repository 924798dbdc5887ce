"""How busy the GPU is, where the system tells."""

from __future__ import annotations

import sys

from controller.errors import SpawnFailed
from controller.residency.metal import DOUBTED, IOREG, Metal, metal
from controller.supervision.tools import run_tool

LIMIT = 10.0  # seconds for the system's tool


async def gpu_now() -> Metal | None:
    """What a Mac's GPU is at: a long prompt there leaves the processor idle. None elsewhere, where the processor tells:
    CUDA keeps one of them waiting at full speed.
    """
    if sys.platform != "darwin":
        return None
    try:
        said = await run_tool(IOREG, limit=LIMIT)
    except (SpawnFailed, OSError):
        return DOUBTED
    gpu = metal(said.out)
    return gpu if gpu.share is not None else DOUBTED
