"""What Ollama's log says of the GPU. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from controller.engines.engine import Accelerator

_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SEARCH = 'msg="discovering available GPUs'
_FOUND = 'msg="inference compute"'
_PAIR = re.compile(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))')
_SIZE = re.compile(r"([0-9.]+) (B|KiB|MiB|GiB)")


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
