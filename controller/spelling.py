"""How Ollama reads the name of a model: the one parser of names, for whoever asks, is asked, or keeps one.

Rules of v0.32.0: types/model/name.go (parts, defaults, what a part may hold), internal/modelref (`:local`, `:cloud`),
server/routes.go getExistingName (the case of a name does not matter). `tests/kit/names.py` holds the cases, and asks a
real Ollama about each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

LONGEST: Final = 640  # bytes of a name as it is written: all parts at their longest, with a scheme

_HOST: Final = "registry.ollama.ai"
_NAMESPACE: Final = "library"
_TAG: Final = "latest"
_MISSING: Final = "!MISSING!"  # no part may be that
_WHITE: Final = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a" + (
    "\u2028\u2029\u202f\u205f\u3000"
)
"""What Go trims."""
_SCHEMES: Final = ("", "https", "http")  # of registries; any other means nothing
_KEPT: Final = 1024  # names, of half a kilobyte at most

_GOOD: Final = {
    "host": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}"),
    "namespace": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}"),
    "model": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"),
    "tag": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"),
}


@dataclass(frozen=True, slots=True)
class Name:
    """A name that Ollama takes, read."""

    full: str  # the shortest spelling with a tag, in small letters: `red:latest` for ` Library/RED`
    written: str  # as it is to be sent: every part of Ollama reads this alike
    cloud: bool = False  # it says itself that it is not on this machine


def parse(text: str) -> Name | None:
    """What `text` names; None for what Ollama takes for no name."""
    return _parsed(text) if len(text) <= LONGEST and text else None


def full_name(text: str) -> str | None:
    """The shortest spelling with a tag, in small letters. None for what no model on this machine can be called: no
    name, or one that says it is in the cloud.
    """
    name = parse(text)
    return None if name is None or name.cloud else name.full


@lru_cache(_KEPT)
def _parsed(text: str) -> Name | None:
    trimmed = text.strip(_WHITE)
    base, source = _source(trimmed)
    if source and _source(base)[1]:
        return None
    if source == "cloud":
        base += "-cloud" if base.rfind(":") > base.rfind("/") else ":cloud"
    parts = _parts(base)
    if parts is None:
        return None
    scheme, *four = parts
    plain = text == base and scheme in _SCHEMES and (not scheme or f"{scheme}://{four[0]}/" in text)
    return Name(_short(*(part.lower() for part in four)), text if plain else _short(*four), source == "cloud")


def _short(host: str, namespace: str, model: str, tag: str) -> str:
    if host.lower() != _HOST:
        return f"{host}/{namespace}/{model}:{tag}"
    return f"{model}:{tag}" if namespace.lower() == _NAMESPACE else f"{namespace}/{model}:{tag}"


def _source(text: str) -> tuple[str, str]:
    """The name without what says where it is, and that: local, cloud or nothing."""
    before, colon, suffix = text.rpartition(":")
    trimmed = suffix.strip(_WHITE)
    word = trimmed.lower()
    if colon and word in ("cloud", "local"):
        return before, word
    if colon and "/" not in word and word.endswith("-cloud"):
        return f"{before}:{trimmed[: -len('-cloud')]}", "cloud"
    return text, ""


def _parts(text: str) -> tuple[str, str, str, str, str] | None:
    """Scheme, host, namespace, model and tag, if each of the latter is good. What is empty is the default."""
    scheme = host = namespace = tag = ""
    model = text
    if text.rfind(":") > text.rfind("/"):
        model, tag = _cut(text, ":")
    if "/" in model:
        rest, model = _cut(model, "/")
        namespace = rest
        if "/" in rest:
            rest, namespace = _cut(rest, "/")
            before, mark, after = rest.partition("://")
            scheme, host = (before, after) if mark else ("", before)
    four = (host or _HOST, namespace or _NAMESPACE, model, tag or _TAG)
    good = all(form.fullmatch(part) for form, part in zip(_GOOD.values(), four, strict=True))
    return (scheme, *four) if good else None


def _cut(text: str, mark: str) -> tuple[str, str]:
    """Before and after the last mark; what is empty there is missing, and no default takes its place."""
    before, _, after = text.rpartition(mark)
    return before or _MISSING, after or _MISSING
