"""What is asked of the kernel about a client."""

from __future__ import annotations

import select
from types import SimpleNamespace

from controller.proxy import exchange


def test_a_hang_up_is_asked_for_on_every_system() -> None:
    """Of a socket that is asked nothing about, a Mac's poll(2) tells nothing, a hang-up neither."""
    assert exchange.hang_up_event(SimpleNamespace(POLLRDHUP=0x2000, POLLHUP=0x10)) == 0x2000
    assert exchange.hang_up_event(SimpleNamespace(POLLHUP=0x10)) == select.POLLHUP != 0
