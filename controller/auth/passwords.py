"""Which passwords may be chosen. Long beats odd: any characters will do, as OWASP's ASVS 5.0 (6.2) has it, but neither
what everybody tries first nor one's own name.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

LEAST = 8  # characters; fifteen are advised
MOST = 72  # bytes: bcrypt looks at no more, and to cut one short silently would make two passwords one

TOO_LONG = (
    f"This password is too long: {MOST} bytes fit, and letters with accents or emoji count two to four. "
    "Please take a shorter one."
)
_TOO_SHORT = f"A password needs {LEAST} characters at least. Three or four words in a row are easy to keep in mind."
_COMMON = "This is one of the passwords that everybody tries first. Please choose another one."
_OWN_NAME = "The password is too much like the name. Please choose another one."
_COMMON_LIST = Path(__file__).with_name("common_passwords.txt")


def plain(password: str) -> str:
    """As it is compared and hashed: the same whichever keyboard wrote its accents (NFC)."""
    return unicodedata.normalize("NFC", password)


def encoded(password: str) -> bytes:
    """What bcrypt is given. Half a character, which JSON can spell, is a character like any other here."""
    return plain(password).encode("utf-8", "surrogatepass")


def too_long(password: str) -> bool:
    """Whether bcrypt would not see all of it. Asked before every hash, at sign-in too."""
    return len(encoded(password)) > MOST


def fault(password: str, name: str) -> str:
    """Why `name` may not choose it, in a sentence that says what to do; "" when they may."""
    text = plain(password)
    if len(text) < LEAST:
        return _TOO_SHORT
    if too_long(text):
        return TOO_LONG
    folded, own = text.casefold(), plain(name).casefold()
    if own and folded.replace(own, "").strip("0123456789 .,;:!?-_@#") == "":
        return _OWN_NAME
    return _COMMON if folded in common() or len(set(folded)) < 3 else ""


@cache
def common() -> frozenset[str]:
    """What everybody tries first, in small letters."""
    lines = _COMMON_LIST.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if not line.startswith("# "))
