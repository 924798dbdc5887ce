"""How Ollama reads a model's name: one spelling for all that mean the same model.

Rules of v0.24.0: types/model/name.go (parts, defaults, what a part may hold), internal/modelref (`:local`, `:cloud`),
server/routes.go getExistingName (the case of a name does not matter).
"""

from __future__ import annotations

import re
from typing import Final

_HOST: Final = "registry.ollama.ai"
_NAMESPACE: Final = "library"
_TAG: Final = "latest"
_WHITE: Final = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a" + (
    "\u2028\u2029\u202f\u205f\u3000"
)
"""What Go trims."""

_GOOD: Final = {
    "host": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}"),
    "namespace": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}"),
    "model": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"),
    "tag": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"),
}


def full_name(text: str) -> str | None:
    """The shortest spelling with a tag, in small letters: `red:latest` for ` Library/RED`.

    None for what no model on this machine can be called: a malformed name, or one that says it is in the cloud.
    """
    base = _local(text.strip(_WHITE))
    parts = _parts(base) if base else None
    if parts is None:
        return None
    host, namespace, model, tag = (part.lower() for part in parts)
    if host != _HOST:
        return f"{host}/{namespace}/{model}:{tag}"
    return f"{model}:{tag}" if namespace == _NAMESPACE else f"{namespace}/{model}:{tag}"


def _local(text: str) -> str | None:
    """The name without `:local`; None when it is one of the cloud."""
    base, source = _source(text)
    if source == "local":
        return None if _source(base)[1] else base
    return None if source else base


def _source(text: str) -> tuple[str, str]:
    before, colon, suffix = text.rpartition(":")
    word = suffix.strip(_WHITE).lower()
    if not colon or not (word in ("cloud", "local") or ("/" not in word and word.endswith("-cloud"))):
        return text, ""
    return before, "local" if word == "local" else "cloud"


def _parts(text: str) -> tuple[str, str, str, str] | None:
    """Host, namespace, model and tag, if each of them is good."""
    host, namespace, tag = _HOST, _NAMESPACE, _TAG
    if text.rfind(":") > text.rfind("/"):
        text, _, tag = text.rpartition(":")
    rest, slash, model = text.rpartition("/")
    if slash:
        rest, further, namespace = rest.rpartition("/")
        if further:
            host = rest.partition("://")[2] if "://" in rest else rest
    good = zip(_GOOD.values(), (host, namespace, model, tag), strict=True)
    return (host, namespace, model, tag) if all(form.fullmatch(part) for form, part in good) else None
