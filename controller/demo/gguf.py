"""Writing a GGUF file: the container Ollama's models come in.

Only what a tiny hand-made model needs: 32-bit floats and mostly-zero tensors. Zeros are holes in the file, so a model
of 100 MB is written as fast as one of 1 MB. Format: the GGUF specification, version 3, little endian.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

MAGIC = b"GGUF"
VERSION = 3
ALIGNMENT = 32
FLOAT32 = 0  # the tensor type, and what `general.file_type` says of the whole file


Cells = dict[tuple[int, ...], float]


@dataclass(frozen=True, slots=True)
class Tensor:
    """An array of 32-bit floats. `shape` is rows first; `cells` holds what differs from `fill`."""

    shape: tuple[int, ...]
    fill: float = 0.0
    cells: Cells = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return 4 * math.prod(self.shape)

    def offset(self, index: tuple[int, ...]) -> int:
        """Byte at which the cell `index` stands, counted from the tensor's start."""
        position = 0
        for step, length in zip(index, self.shape, strict=True):
            position = position * length + step
        return 4 * position


@dataclass(frozen=True, slots=True)
class ValueType:
    """How GGUF types a value: Ollama's reader insists on the exact one."""

    code: int
    layout: str


U32, I32, F32, BOOL = ValueType(4, "<I"), ValueType(5, "<i"), ValueType(6, "<f"), ValueType(7, "<?")
STRING, ARRAY = 8, 9

Field = str | tuple[ValueType, int | float | bool] | tuple[ValueType, list[int] | list[float]] | list[str]


def write(path: Path, fields: Mapping[str, Field], tensors: Mapping[str, Tensor]) -> None:
    """Write a model (or a projector) to `path`. A bare `str` is typed as a string, a `list[str]` as an array."""
    with path.open("wb") as file:
        file.write(MAGIC + struct.pack("<IQQ", VERSION, len(tensors), len(fields)))
        for name, value in fields.items():
            file.write(_string(name) + _value(value))
        offset = 0
        for name, tensor in tensors.items():
            shape = tensor.shape[::-1]  # the file counts the fastest dimension first
            file.write(_string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, FLOAT32, offset))
            offset += _aligned(tensor.size)
        start = _aligned(file.tell())
        for tensor in tensors.values():
            _write_tensor(file, start, tensor)
            start += _aligned(tensor.size)
        file.truncate(start)


def _write_tensor(file: BinaryIO, start: int, tensor: Tensor) -> None:
    if tensor.fill:
        file.seek(start)
        file.write(struct.pack("<f", tensor.fill) * math.prod(tensor.shape))
    for index, value in tensor.cells.items():
        file.seek(start + tensor.offset(index))
        file.write(struct.pack("<f", value))


def _value(value: Field) -> bytes:
    match value:
        case str():
            return struct.pack("<I", STRING) + _string(value)
        case (ValueType() as kind, list() as items):
            packed = b"".join(struct.pack(kind.layout, item) for item in items)
            return struct.pack("<IIQ", ARRAY, kind.code, len(items)) + packed
        case (ValueType() as kind, number):
            return struct.pack("<I", kind.code) + struct.pack(kind.layout, number)
        case strings:
            return struct.pack("<IIQ", ARRAY, STRING, len(strings)) + b"".join(map(_string, strings))


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
