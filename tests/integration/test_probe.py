"""Asking a child over HTTP: what its silence, and what our own shortage, is told as."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from controller.errors import Unreachable
from controller.supervision import ports
from controller.supervision.probe import ask


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    fences = [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]  # so that no hole lies below the limit
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(fences) + 1, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for fence in fences:
            os.close(fence)


async def test_nobody_at_the_port_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="nothing listens"):
        await ask(f"http://127.0.0.1:{ports.free_port()}/", 5)


async def test_our_own_shortage_is_not_the_silence_of_a_child() -> None:  # row 39
    url = f"http://127.0.0.1:{ports.free_port()}/"
    with pytest.raises(Unreachable):
        await ask(url, 5)  # what is imported at first use has been
    with no_descriptor_left():
        with pytest.raises(OSError, match="Too many open files"):
            await ask(url, 5)
        with pytest.raises(OSError, match="Too many open files"):
            await ports.accepts(1)
