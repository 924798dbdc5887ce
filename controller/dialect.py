"""The three ways of speaking that clients know, and how a streamed answer of each ends."""

from __future__ import annotations

from enum import StrEnum

Headers = list[tuple[bytes, bytes]]


class Dialect(StrEnum):
    """Whose shapes a client expects."""

    NATIVE = "ollama"  # what clients speak under /api/*; the value stands in metrics, logs and answers
    OPENAI = "openai"
    ANTHROPIC = "anthropic"


class Ending(StrEnum):
    """How a streamed answer of a route ends when all is well."""

    DONE = "done"  # NDJSON, a line with "done": true
    SUCCESS = "success"  # NDJSON, a line with "status": "success"
    SENTINEL = "[DONE]"  # SSE, data: [DONE]
    MESSAGE_STOP = "message_stop"  # SSE, an event of that name
    RESPONSE = "response.completed"  # SSE, an event of that name (or one that says it failed)
