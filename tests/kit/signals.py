"""Signals as a process inherits them: the tests themselves may have been started with some of them ignored."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


@contextmanager
def ignored(numbers: Iterable[int]) -> Iterator[None]:
    """What is started in the block inherits these as ignored."""
    with _set(numbers, signal.SIG_IGN):
        yield


@contextmanager
def as_in_a_terminal() -> Iterator[None]:
    """What is started in the block hears Ctrl-C, and is told when its terminal closes."""
    with _set((signal.SIGINT, signal.SIGQUIT, signal.SIGHUP), signal.SIG_DFL):
        yield


@contextmanager
def _set(numbers: Iterable[int], handler: signal.Handlers) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
