"""Streams go on record by record, so that whatever dies upstream, what the client has read parses.

Bytes are never changed; a record (an NDJSON line, an SSE event) that is not whole yet waits for its rest. Engines write
one record at a time, so next to nothing ever waits. A stream without its terminal record ends with an error record.
"""

from __future__ import annotations

import msgspec

from controller.dialect import StreamEnding
from controller.proxy.dialects import error_record

LONGEST_RECORD = 16 * 2**20  # bytes


class _Line(msgspec.Struct):
    """What tells the last line of an NDJSON stream."""

    done: bool = False
    status: str = ""
    error: object = None


_LINE = msgspec.json.Decoder(_Line)
_SSE = (StreamEnding.SENTINEL, StreamEnding.MESSAGE_STOP, StreamEnding.RESPONSE)
_LAST_EVENTS = {
    StreamEnding.MESSAGE_STOP: (b"event: message_stop", b"event: error"),
    StreamEnding.RESPONSE: (
        b"event: response.completed",
        b"event: response.incomplete",
        b"event: response.failed",
        b"event: error",
    ),
    StreamEnding.SENTINEL: (b"data: [DONE]", b'data: {"error"'),
}


class Framing:
    """One stream, from its first byte to its end."""

    __slots__ = ("_edge", "_held", "_last", "_size", "_stop", "cut", "ending")

    def __init__(self, ending: StreamEnding) -> None:
        self.ending = ending
        self.cut = False  # after `close`: whether the terminal record never came
        self._stop = b"\n\n" if ending in _SSE else b"\n"
        self._held: list[bytes] = []  # the beginning of a record that is not whole
        self._edge = b""  # its last bytes, where a separator may have begun
        self._size = 0
        self._last = b""  # the newest whole records

    def feed(self, data: bytes) -> bytes:
        """The whole records that `data` completes, in the bytes they came in."""
        if not self._held and data.endswith(self._stop):
            self._last = data
            return data
        return self._assemble(data)

    @property
    def overlong(self) -> bool:
        """A record has grown beyond `LONGEST_RECORD`: nothing of this kind is an answer."""
        return self._size > LONGEST_RECORD

    @property
    def over(self) -> bool:
        """Whether the terminal record has come: nothing may follow it."""
        last = _last_record(self._last, self._stop)
        return bool(last) and is_last(self.ending, last)

    def close(self, text: str, *, whole: bool, status: int = 500) -> bytes:
        """What is still to be sent at the end of upstream's body: nothing, when its terminal record has come.

        `whole`: upstream ended the body properly. `text` is what the client is told when the answer is cut short, and
        `status` what it would have been told it with.
        """
        rest = b"".join(self._held) if whole else b""
        self._held = []
        if rest and is_last(self.ending, rest):
            return rest
        if self.over:
            return b""
        self.cut = True
        return error_record(self.ending, text, _last_record(self._last, self._stop), status)

    def _assemble(self, data: bytes) -> bytes:
        probe = self._edge + data
        cut = probe.rfind(self._stop)
        if cut < 0:
            self._held.append(data)
            self._size += len(data)
            self._edge = probe[len(probe) - len(self._stop) + 1 :]
            return b""
        cut += len(self._stop) - len(self._edge)
        self._last = b"".join([*self._held, data[:cut]])
        rest = data[cut:]
        self._held, self._size = [rest] if rest else [], len(rest)
        self._edge = rest[max(0, len(rest) - len(self._stop) + 1) :]
        return self._last


def is_last(ending: StreamEnding, record: bytes) -> bool:
    """Whether `record` is one that ends a stream: the terminal record, or upstream's own error."""
    if ending in _SSE:
        return any(line.startswith(_LAST_EVENTS[ending]) for line in record.splitlines())
    try:
        line = _LINE.decode(record)
    except msgspec.MsgspecError:
        return False
    return line.error is not None or (line.done if ending is StreamEnding.DONE else line.status == "success")


def _last_record(records: bytes, stop: bytes) -> bytes:
    body = records.rstrip(b"\n")
    return body[body.rfind(stop) + len(stop) :] if stop in body else body
