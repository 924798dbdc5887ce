"""What a browser is called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.pages.devices import device_words

SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Mobile Safari/604.1"
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (SAFARI, "Safari on iPhone"),
        (CHROME, "Chrome on Linux"),
        (CHROME.replace("X11; Linux x86_64", "Linux; Android 15; K"), "Chrome on Android"),
        (CHROME.replace("X11; Linux x86_64", "Windows NT 10.0") + " Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Mac"),
        ("python-httpx/0.28.1", "python-httpx"),
        ("", "a browser"),
        ("\x1b[31m", "[31m"),
    ],
)
def test_it_is_named_as_people_know_it(agent: str, words: str) -> None:
    assert device_words(agent) == words


@given(st.text())
def test_whatever_it_says_of_itself_the_name_is_short_and_can_be_shown(agent: str) -> None:
    assert 1 <= len(device_words(agent)) <= 40
    assert device_words(agent).isprintable()
