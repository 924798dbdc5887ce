"""What keeper and controller say to each other: one JSON object a line, over a UNIX socket.

The controller asks with {"do": verb, "id": number, …}; the keeper answers with {"say": …, "id": number, …} and tells
news without an id. The protocol only ever grows: an unknown member is ignored, an unknown verb is answered "unknown",
so that a controller can be replaced by a newer or an older one while its children run.

    do     keep (first, over the inherited socket), attach, note, lease, tail, stop, leave
    say    started, failed, attached, stopping, replaced, status, ended, and the answers done, tail, unknown

Stdlib only: the keeper lives on it.
"""

from __future__ import annotations

import json
import selectors
import socket
from collections.abc import Callable

TYPE_CHECKING = False  # `typing` itself would cost the keeper 0.7 MB
if TYPE_CHECKING:
    from typing import Any

    Message = dict[str, Any]
else:
    Message = dict

VERSION = 1
LONGEST_MESSAGE = 4 * 2**20  # bytes; the longest is an "ended" with the child's last words
MOST_UNSENT = 2**20  # bytes of news kept for a controller that does not read; then news are left out


def encode(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


class KeeperSocket:
    """The keeper's end of one connection. Never blocks, never raises: a line that breaks is `gone`."""

    def __init__(
        self,
        sock: socket.socket,
        selector: selectors.BaseSelector,
        hear: Callable[[KeeperSocket, Message], None],
        gone: Callable[[KeeperSocket], None],
    ) -> None:
        sock.setblocking(False)
        self.open = True
        self._socket = sock
        self._selector = selector
        self._hear = hear
        self._gone = gone
        self._inbox = b""
        self._outbox = b""
        selector.register(sock, selectors.EVENT_READ, self._ready)

    def say(self, say: str, **message: object) -> None:
        if not self.open:
            return
        self._outbox += encode({"v": VERSION, "say": say, **message})
        self._flush()

    def tell(self, say: str, **message: object) -> bool:
        """Say something that may be left out when the other side does not read; whether it was said."""
        if len(self._outbox) > MOST_UNSENT:
            return False
        self.say(say, **message)
        return True

    def close(self) -> None:
        """Hang up, once what was said has been sent (as far as that is possible without waiting)."""
        if self.open:
            self.open = False
            self._selector.unregister(self._socket)
            self._socket.close()
            self._gone(self)

    def finish(self, limit: float) -> None:
        """Send what is left, waiting `limit` seconds at most, and hang up."""
        if self.open and self._outbox:
            self._socket.settimeout(limit)
            try:
                self._socket.sendall(self._outbox)
            except OSError:  # nobody listens any more: nothing is owed
                pass
        self.close()

    def _ready(self, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._flush()
        if mask & selectors.EVENT_READ and self.open:
            self._receive()

    def _flush(self) -> None:
        try:
            self._outbox = self._outbox[self._socket.send(self._outbox) :]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outbox else 0)
        self._selector.modify(self._socket, wanted, self._ready)

    def _receive(self) -> None:
        try:
            chunk = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        *lines, self._inbox = (self._inbox + chunk).split(b"\n")
        for line in lines:
            if self.open and (message := decode(line)) is not None:
                self._hear(self, message)
        if not chunk or len(self._inbox) > LONGEST_MESSAGE:
            self.close()


def decode(line: bytes) -> Message | None:
    """The message on a line, or None for what is no message."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None
