"""Orders to a running controller, over a UNIX socket that only its own user may open.

One JSON object a line. The request: `{"v": 1, "verb": …, …}`. The reply: any number of `{"line": …}`, then one
`{"answer": …}` or `{"problem": "words", "kind": …}`. Both sides ignore members they do not know, so that a later
version only has to add.
"""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

Request: TypeAlias = dict[str, object]
Tell: TypeAlias = Callable[[object], Awaitable[None]]
"""Sends one line of a reply that comes in lines."""

VERSION = 1
LONGEST = 64 * 1024  # bytes of a request
