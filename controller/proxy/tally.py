"""What went through, in plain integers: counted on the hot path, turned into metrics only when somebody asks."""

from __future__ import annotations

from collections import defaultdict

import msgspec

from controller.answering.counts import RunCounts
from controller.histogram import Histogram


class AccessRecord(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="access"):
    """One request, for the access log: never a body, a query or a credential."""

    at: float  # seconds since the epoch, when it ended
    id: str
    who: str  # label of the principal; "" for a stranger
    peer: str
    listener: str  # "direct" or "tunnel"
    method: str
    route: str  # a path of the route table, "pages" or "unlisted"
    model: str
    status: int  # 499: the client left before it got one
    reason: str  # a `refusal.Reason`; "" when all went well
    first_byte: float | None  # seconds until the answer began
    total: float  # seconds
    bytes_in: int
    bytes_out: int
    attempts: int  # how often it was sent upstream


class Tally:
    """All counters of requests, which only grow, and those of the runs behind them."""

    def __init__(self) -> None:
        self.requests: defaultdict[tuple[str, str, int], int] = defaultdict(int)  # dialect, route, status
        self.errors: defaultdict[str, int] = defaultdict(int)  # reason
        self.first_byte: defaultdict[str, Histogram] = defaultdict(Histogram)  # dialect
        self.total: defaultdict[str, Histogram] = defaultdict(Histogram)  # dialect
        self.runs = RunCounts()
        self.bytes_in = 0
        self.bytes_out = 0
        self.listed_hits = 0  # answers from the kept lists

    def count(self, dialect: str, record: AccessRecord) -> None:
        """A request ended."""
        self.requests[dialect, record.route, record.status] += 1
        self.bytes_in += record.bytes_in
        self.bytes_out += record.bytes_out
        self.total[dialect].add(record.total)
        if record.first_byte is not None:
            self.first_byte[dialect].add(record.first_byte)
        if record.reason:
            self.errors[record.reason] += 1
