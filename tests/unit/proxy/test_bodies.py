"""Compressed bodies: read, refused when broken or unknown, and never unfolded beyond the limit."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from controller.proxy.bodies import decoded, packing
from controller.refusal import Refused
from tests.kit.examples import examples

LIMIT = 100_000


def _bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def _brotli(data: bytes) -> bytes:
    return bytes(brotli.compress(data, quality=5))  # by itself it takes its time for the last percent


def _zstd_stream(data: bytes) -> bytes:
    packer = zstandard.ZstdCompressor().compressobj()  # a frame that does not say how long it is
    return packer.compress(data) + packer.flush()


ENCODERS: list[tuple[bytes, Callable[[bytes], bytes]]] = [
    (b"gzip", gzip.compress),
    (b"deflate", zlib.compress),
    (b"deflate", _bare),
    (b"br", _brotli),
    (b"zstd", zstandard.compress),
    (b"zstd", _zstd_stream),
]


@pytest.mark.parametrize(("encoding", "encode"), ENCODERS)
@pytest.mark.parametrize("size", [0, 1, 1000, LIMIT])
async def test_it_comes_out_as_it_went_in(encoding: bytes, encode: Callable[[bytes], bytes], size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert await decoded(encode(data), encoding, LIMIT) == data


@pytest.mark.parametrize(("encoding", "encode"), ENCODERS)
@pytest.mark.parametrize("size", [LIMIT + 1, 50_000_000])
async def test_a_bomb_is_413(encoding: bytes, encode: Callable[[bytes], bytes], size: int) -> None:
    found = await decoded(encode(b"\x00" * size), encoding, LIMIT)
    assert isinstance(found, Refused)
    assert found.status == 413


@pytest.mark.parametrize(("encoding", "encode"), ENCODERS)
async def test_a_body_cut_short_is_400(encoding: bytes, encode: Callable[[bytes], bytes]) -> None:
    for size in (1000, 900_000):  # less than a block, and several
        whole = encode(random.Random(1).randbytes(size))
        for missing in (1, 6, size // 3):
            found = await decoded(whole[: len(whole) - missing], encoding, 2**20)
            assert isinstance(found, Refused), (size, missing)
            assert found.status == 400


async def test_a_long_zstd_frame_is_read() -> None:
    data = random.Random(2).randbytes(12 * 2**20)
    assert await decoded(zstandard.compress(data), b"zstd", 20 * 2**20) == data


async def test_zstd_of_several_frames_is_one_body() -> None:
    frames = zstandard.compress(b"one ") + _zstd_stream(b"two ") + zstandard.compress(b"three")
    assert await decoded(frames, b"zstd", LIMIT) == b"one two three"


async def test_gzip_of_several_members_is_one_body() -> None:
    members = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two" * 10_000)
    assert await decoded(members, b"gzip", LIMIT) == b"one " + b"two" * 10_000


@pytest.mark.parametrize(
    ("encoding", "frame"), [(b"gzip", gzip.compress(b"", mtime=0)), (b"zstd", zstandard.compress(b""))]
)
async def test_a_body_of_a_million_empty_frames_is_refused_at_once(encoding: bytes, frame: bytes) -> None:
    found = await decoded(frame * 1_000_000, encoding, LIMIT)
    assert isinstance(found, Refused)
    assert found.status == 400


@pytest.mark.parametrize("encoding", [b"compress", b"gzip, zstd", b"x"])
def test_an_unknown_encoding_is_415_and_says_which_are_known(encoding: bytes) -> None:
    found = packing(encoding)
    assert isinstance(found, Refused)
    assert found.status == 415
    assert "br, deflate, gzip, zstd" in found.text


@pytest.mark.parametrize(("encoding", "packed"), [(b"", b""), (b" Identity", b""), (b"GZIP ", b"gzip"), (b"br", b"br")])
def test_a_known_encoding_is_known_in_any_case(encoding: bytes, packed: bytes) -> None:
    assert packing(encoding) == packed


@examples(200)
@given(st.sampled_from([b"gzip", b"deflate", b"br", b"zstd"]), st.binary(max_size=300))
async def test_no_bytes_make_it_fail(encoding: bytes, body: bytes) -> None:
    found = await decoded(body, encoding, LIMIT)
    assert isinstance(found, bytes) or found.status in (400, 413)
