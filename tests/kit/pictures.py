"""Pictures of one colour, as PNG."""

from __future__ import annotations

import struct
import zlib

RED, GREEN, BLUE = (230, 20, 20), (20, 200, 20), (20, 20, 230)


def png(colour: tuple[int, int, int], side: int = 56) -> bytes:
    """A square picture, `side` pixels wide, all of one colour."""
    row = b"\0" + bytes(colour) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(row * side)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
