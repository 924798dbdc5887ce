"""What a browser is called on the page of one's devices: from what it says of itself, which may be anything. Pure."""

from __future__ import annotations

from typing import Final

_SYSTEMS: Final = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "Chromebook"),
    ("Windows", "Windows"),
    ("Macintosh", "Mac"),
    ("Linux", "Linux"),
)
_BROWSERS: Final = (  # each says that it is like the ones below it
    ("Edg/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("EdgA/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)


def device_words(agent: str) -> str:
    """`Firefox on Windows`; for a program its own first word; "a browser" for what says nothing."""
    system = next((word for mark, word in _SYSTEMS if mark in agent), "")
    browser = next((word for mark, word in _BROWSERS if mark in agent), "")
    if browser:
        return f"{browser} on {system}" if system else browser
    first = "".join(letter for letter in agent.split("/")[0][:40] if letter.isprintable()).strip()
    return first or "a browser"
