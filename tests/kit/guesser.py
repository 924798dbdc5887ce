"""Somebody who guesses keys, in a process of its own: `python -m tests.kit.guesser PORT RATE SECONDS`.

Each guess is a key as it should be, of another house. What it was told is printed at the end: a number for each status.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections import Counter

from tests.fakes.rows import key


def guess(port: int, rate: float, seconds: float) -> Counter[int]:
    """Try `rate` keys a second, each at its moment however long the one before took."""
    told: Counter[int] = Counter()
    keys = [key("of another house")[0] for _ in range(round(rate * seconds))]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    begun = time.monotonic()
    for number, text in enumerate(keys):
        time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        connection.request("GET", "/api/version", headers={"X-API-Key": text})
        answer = connection.getresponse()
        answer.read()
        told[answer.status] += 1
    connection.close()
    return told


if __name__ == "__main__":
    print(json.dumps(guess(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))))
