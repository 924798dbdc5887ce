"""Who may do what: the one table. Code asks it, tests hold it against the routes, the docs are written from it.

A route without a row here is not served at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Right(StrEnum):
    """What a principal needs."""

    ANYONE = "anyone"
    INFER = "infer"
    MANAGE = "manage"
    NOBODY = "nobody"  # switched off


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    needs: Right
    note: str = ""
    tunnel: bool = False  # answers on the tunnel's listener even while that is closed


POLICY: Mapping[str, Row] = {
    "/healthz": Row(Right.ANYONE, "a word, nothing more", tunnel=True),
    "/readyz": Row(Right.ANYONE, "a word, nothing more"),
    "/": Row(Right.INFER, "HEAD answers anyone, with an empty body"),
    "pages": Row(Right.INFER, "everything that is not the API"),
    "/api/version": Row(Right.INFER),
    "/api/tags": Row(Right.INFER),
    "/api/ps": Row(Right.INFER),
    "/api/show": Row(Right.INFER),
    "/api/generate": Row(Right.INFER, "an empty one with keep_alive 0 unloads: manage"),
    "/api/chat": Row(Right.INFER, "an empty one with keep_alive 0 unloads: manage"),
    "/api/embed": Row(Right.INFER),
    "/api/embeddings": Row(Right.INFER),
    "/api/pull": Row(Right.MANAGE),
    "/api/create": Row(Right.MANAGE),
    "/api/copy": Row(Right.MANAGE),
    "/api/delete": Row(Right.MANAGE),
    "/api/blobs/{digest}": Row(Right.MANAGE),
    "/api/push": Row(Right.NOBODY, "would publish the owner's models"),
    "/api/signout": Row(Right.NOBODY, "the owner's ollama.com account"),
    "/api/user/keys/{key}": Row(Right.NOBODY, "the owner's ollama.com account"),
    "/api/me": Row(Right.INFER, "a fixed answer: would name the owner's ollama.com account"),
    "/api/status": Row(Right.INFER, "a fixed answer"),
    "/api/experimental/model-recommendations": Row(Right.INFER, "a fixed answer"),
    "/api/experimental/web_search": Row(Right.INFER, "a fixed answer: would spend the owner's account"),
    "/api/experimental/web_fetch": Row(Right.INFER, "a fixed answer: would spend the owner's account"),
    "/v1/models": Row(Right.INFER),
    "/v1/models/{model}": Row(Right.INFER),
    "/v1/chat/completions": Row(Right.INFER),
    "/v1/completions": Row(Right.INFER),
    "/v1/embeddings": Row(Right.INFER),
    "/v1/responses": Row(Right.INFER),
    "/v1/messages": Row(Right.INFER),
    "/v1/messages/count_tokens": Row(Right.INFER, "an estimate of our own"),
    "/v1/audio/transcriptions": Row(Right.INFER),
    "/v1/images/generations": Row(Right.INFER),
    "/v1/images/edits": Row(Right.INFER),
    "/api/v1/models": Row(Right.INFER),
    "/api/v1/models/load": Row(Right.MANAGE),
    "/api/v1/models/unload": Row(Right.MANAGE),
    "/api/v1/models/switch": Row(Right.MANAGE),
    "/api/v1/models/pin": Row(Right.MANAGE),
    "/api/v1/queue": Row(Right.INFER),
    "/api/v1/queue/pause": Row(Right.MANAGE),
    "/api/v1/queue/resume": Row(Right.MANAGE),
    "/api/v1/memory": Row(Right.INFER),
    "/api/v1/models/{name}": Row(Right.INFER),
    "/api/v1/jobs/{id}": Row(Right.MANAGE),
    "/api/v1/openapi.json": Row(Right.INFER),
}
