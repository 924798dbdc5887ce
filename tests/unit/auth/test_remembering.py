"""What is remembered of texts that strangers choose has a bound in bytes, not in entries alone."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from controller.auth.access import plain_address
from controller.auth.gate import Gate
from controller.auth.policy import page_row
from controller.auth.visitor import spelled
from controller.residency.meaning import Meanings
from controller.spelling import parse

LONG = "a" * 30_000  # as long as a head may be
_GATE, _MEANINGS = Gate(("localhost",), ()), Meanings({"gpt*": "red"})
REMEMBERING: dict[str, Callable[[str], object]] = {
    "the address of a hop": spelled,
    "the address of a peer": plain_address,
    "the path of a page": lambda text: page_row("/account/" + text),
    "the name of a server": lambda text: _GATE.knows_host(text.encode(), "127.0.0.1"),
    "the name of a model": parse,
    "the meaning of a name": _MEANINGS.of,
}


@pytest.mark.parametrize("what", REMEMBERING)
def test_long_texts_of_strangers_are_not_kept(what: str) -> None:
    tracemalloc.start()
    try:
        for number in range(5000):
            REMEMBERING[what](f"{number}{LONG}")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2**20
