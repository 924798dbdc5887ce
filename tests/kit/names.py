"""How Ollama reads the names of models: a table of cases, which a real Ollama is asked about too
(`tests/integration/test_one_reading.py`). In its library are `red`, `me/red` and `red:8b` of `house()`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

RED, MINE, TAGGED = "red:latest", "me/red:latest", "red:8b"
SPACES: Final = "\t\n\v\f\r \x85\xa0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000"

SAME: Final[Mapping[str, str]] = {
    # case, and the tag that is meant without one
    "red": RED,
    "RED": RED,
    "Red:Latest": RED,
    "red:LATEST": RED,
    "red:8B": TAGGED,
    # parts that are the default
    "library/red": RED,
    "LIBRARY/red": RED,
    "registry.ollama.ai/library/red": RED,
    "Registry.Ollama.AI/Library/Red:8b": TAGGED,
    "me/red": MINE,
    "registry.ollama.ai/me/red:latest": MINE,
    # schemes, and a host that is empty behind one
    "https://registry.ollama.ai/library/red": RED,
    "http://registry.ollama.ai/me/red": MINE,
    "HTTPS://registry.ollama.ai/library/red": RED,
    "demo://registry.ollama.ai/library/red": RED,
    "demo:///library/red": RED,
    "demo:///me/red:latest": MINE,
    ":///library/red": RED,
    "://registry.ollama.ai/library/red": RED,
    "!!://registry.ollama.ai/library/red": RED,
    "a/b/c:///library/red": RED,
    "é:///library/red": RED,
    # blanks around it, as Go trims them
    " red": RED,
    "red\n": RED,
    f"{SPACES}red{SPACES}": RED,
    # where it says that it is
    "red:local": RED,
    "red:LOCAL": RED,
    "red: Local ": RED,
    "library/red:8b:local": TAGGED,
    "demo:///library/red:local": RED,
}
"""What is written, and the model that it means."""

NEVER: Final = (
    *("", " ", ":", "/", "//", "://", ":///", "red:", ":8b", ":latest", "red/", "/red", "a//red", "//red"),
    *("/library/red", "library//red", "//library/red", "///red", ":///red", "demo:///red", "demo://red"),
    *("https://red", "http://me/red", "-red", ".red", "red:-8b", "red:.", "..", "../red", "me/../red", "me/./red"),
    *("-me/red", "me.x/red", "re d", "red :8b", "red: 8b", "red:8b :local", "re\x00d", "red\x00"),
    *("\u200bred", "red\u200b", "\ufeffred", "réd", "ｒｅｄ", "\u212aed", "red:８b", "réd:latest", "\U0001f600"),
    *("red@sha256:0", "red@sha256-" + "0" * 64, "sha256:" + "0" * 64 + "/", "red?", "red#", "red%20", "re\\d", "red,"),
    *("x/a/b/red", "h/me/red/x", "a.b/red", "r" * 81, "red:" + "8" * 81, "n" * 81 + "/red", "h" * 351 + "/me/red"),
    *("red:8b:9b", "red:8b:latest", "red::8b", "red:local:local", "red:cloud:local", "red:local:cloud"),
    *("red:x-cloud:local", "!MISSING!", "red:!MISSING!"),
)  # fmt: skip
"""What no model can be called."""

ELSEWHERE: Final = ("red:cloud", "red:Cloud", "red: cloud", "red:8b-cloud", "red:8b:cloud", "me/red:cloud")
"""Names that say that they are not on this machine, whatever there is."""

ABSENT: Final = (
    "rad",
    "red:9b",
    "you/red",
    "localhost:5000/library/red",
    "hf.co/me/red",
    "me-cloud/red:x",
    "registry/me/red",
)
"""Names like any other, of which there is no model."""
