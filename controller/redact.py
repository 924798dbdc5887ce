"""Secrets never reach a log: whatever looks like one is replaced before it is written. Pure.

The shapes: our own keys and one-time tokens, passwords as bcrypt keeps them, bearer and basic credentials, JSON web
tokens (a tunnel's token has that shape too), cookies, secrets in a query string, and `password: …` in any spelling that
occurs in practice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

HIDDEN = "[hidden]"

_NAMES = r"password|passwd|secret|api[_-]?key|access[_-]?token|token|invite"
_RULES = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"(?<![a-z0-9])(sd[ira]?_)[\w-]{4,}", rf"\1{HIDDEN}"),
        (r"\$2[abxy]\$\d\d\$[./a-z0-9]{20,}", HIDDEN),
        (r"(?<![a-z0-9])(sk-)[\w-]{12,}", rf"\1{HIDDEN}"),
        (r"\b(bearer)[\s:]+[\w.~+/=-]+", rf"\1 {HIDDEN}"),
        (r"(authorization[\"']?\s*[:=]\s*[\"']?\w+\s+)[^\s\"',]+", rf"\1{HIDDEN}"),
        (r"eyJ[\w=.-]{8,}", HIDDEN),
        (r"(cookie[\"']?\s*[:=]\s*)[^\r\n]+", rf"\1{HIDDEN}"),
        (rf"([?&;](?:ts|key|code|{_NAMES})=)[^&\s\"'#;]+", rf"\1{HIDDEN}"),
        (rf"((?:{_NAMES})[\"']?\s*[:=]\s*[\"']?)[^\s\"',;&]+", rf"\1{HIDDEN}"),
    )
)
_SECRET_FIELDS = re.compile(rf"(?:.*[_-])?(?:{_NAMES}|authorization|cookie)", re.IGNORECASE)
_HINTS = "sd_ sdi_ sdr_ sda_ $2 sk- bearer authorization eyj cookie ts= key code= passw secret token invite".split()


def redact(text: str) -> str:
    """`text` with every secret in it hidden. Some 20 µs where a hint is found, one where none is."""
    if not may_hold_secret(text):
        return text
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def redact_all(value: object, field: str = "") -> object:
    """The same for all texts inside mappings and lists; what is kept under the name of a secret is hidden whole."""
    if isinstance(value, str):
        return HIDDEN if value and _SECRET_FIELDS.fullmatch(field) else redact(value)
    if isinstance(value, Mapping):
        return {redact(str(key)): redact_all(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_all(item, field) for item in value]
    return value


def may_hold_secret(text: str) -> bool:
    """A quick look (about a microsecond) that errs on the side of yes: lets most access lines skip the rules."""
    folded = text.casefold()  # as the rules compare: `paſſword` is one, too
    for hint in _HINTS:  # not any(): its generator would cost as much again
        if hint in folded:
            return True
    return False
