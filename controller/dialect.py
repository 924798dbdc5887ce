"""The three ways of speaking that clients know, and how a streamed answer of each ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

Headers = list[tuple[bytes, bytes]]


class Dialect(StrEnum):
    """Whose shapes a client expects."""

    NATIVE = "ollama"  # what clients speak under /api/*; the value stands in metrics, logs and answers
    OPENAI = "openai"
    ANTHROPIC = "anthropic"


@dataclass(frozen=True, slots=True)
class ClientDialect:
    """A dialect as people who set up a client know it."""

    title: str
    below: str  # where its routes begin, below the server's address
    clients: str  # who speaks it


SPOKEN: Final[Mapping[Dialect, ClientDialect]] = {
    Dialect.NATIVE: ClientDialect("Ollama", "", "Cline, Roo Code, Continue, Open WebUI, the ollama command"),
    Dialect.OPENAI: ClientDialect("OpenAI", "/v1", "the OpenAI libraries, n8n, Flowise"),
    Dialect.ANTHROPIC: ClientDialect("Anthropic", "", "the Anthropic libraries, Claude Code"),
}


class StreamEnding(StrEnum):
    """How a streamed answer of a route ends when all is well."""

    DONE = "done"  # NDJSON, a line with "done": true
    SUCCESS = "success"  # NDJSON, a line with "status": "success"
    SENTINEL = "[DONE]"  # SSE, data: [DONE]
    MESSAGE_STOP = "message_stop"  # SSE, an event of that name
    RESPONSE = "response.completed"  # SSE, an event of that name (or one that says it failed)
