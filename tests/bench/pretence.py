"""What both upstreams of the bench say beside answers: that they have one model, called bench, and that it is loaded.

Without that the gateway would not find the model, and its requests would not stand in the line.
"""

from __future__ import annotations

import json

BLOB = "sha256-" + "b" * 64
_DETAILS = {
    "format": "gguf",
    "family": "llama",
    "families": ["llama"],
    "parameter_size": "1M",
    "quantization_level": "F16",
}
_MODEL = {
    "name": "bench:latest",
    "model": "bench:latest",
    "modified_at": "2026-01-01T00:00:00Z",
    "size": 1_000_000,
    "digest": "b" * 64,
    "details": _DETAILS,
}
_SHOW = {
    "modelfile": f"FROM /models/blobs/{BLOB}",  # without its line end: nginx would make one of it, and JSON has none
    "details": _DETAILS,
    "capabilities": ["completion"],
    "model_info": {
        "general.architecture": "llama",
        "llama.block_count": 1,
        "llama.context_length": 8192,
        "llama.embedding_length": 64,
        "llama.attention.head_count": 1,
        "llama.attention.head_count_kv": 1,
    },
}
_LOADED = {**_MODEL, "size_vram": 0, "expires_at": "2318-01-01T00:00:00Z", "context_length": 8192}

ANSWERS = {
    path: json.dumps(answer, separators=(",", ":"))
    for path, answer in {
        "/api/version": {"version": "0.24.0"},
        "/api/tags": {"models": [_MODEL]},
        "/api/ps": {"models": [_LOADED]},
        "/api/show": _SHOW,
        "/api/generate": {"model": "bench", "response": "", "done": True, "done_reason": "load"},
    }.items()
}
"""By path: the document that answers it, whatever it is asked."""
