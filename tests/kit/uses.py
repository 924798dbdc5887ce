"""Requests that were made, for tests of what is kept of them."""

from __future__ import annotations

from typing import Any

from controller.usage import Use


def a_use(**changes: Any) -> Use:
    """One answered in full, unless said otherwise."""
    ordinary: dict[str, Any] = {
        "at": 1_700_000_000.0,
        "request": "r-1",
        "kind": "address",
        "caller": "anna",
        "key_id": "",
        "user_id": "",
        "model": "tiny",
        "dialect": "ollama",
        "route": "/api/chat",
        "lane": 1.0,
        "waited": 0.5,
        "loaded": 0.25,
        "first_byte": 0.75,
        "seconds": 2.0,
        "prompt_tokens": 12,
        "answer_tokens": 34,
        "estimated": False,
        "bytes_in": 100,
        "bytes_out": 2000,
        "outcome": "done",
    }
    named = {**ordinary, **changes}
    return Use(**{"caller_id": f"{named['kind']}:{named['caller']}", **named})
