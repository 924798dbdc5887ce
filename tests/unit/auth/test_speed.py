"""What the door costs a request, and that it tells nobody how close a guess was."""

from __future__ import annotations

from statistics import median
from time import perf_counter_ns

import pytest

from controller.auth.credentials import extract
from controller.auth.keyring import Keyring
from tests.fakes.rows import Rows, key

ADDED = 5.0  # µs
KEYS = [key(str(number)) for number in range(200)]
WRONG = [key("of another house")[0] for _ in KEYS]


def cost(keyring: Keyring, text: str) -> float:
    """Microseconds from the headers to who it is."""
    found = {b"authorization": b"Bearer " + text.encode()}
    begun = perf_counter_ns()
    keyring.at("203.0.113.9", 1.0)
    keyring.look(extract(found), "203.0.113.9", 1.0)
    return (perf_counter_ns() - begun) / 1000


@pytest.mark.proof
def test_a_wrong_key_costs_what_a_right_one_does_and_both_cost_little() -> None:
    keyring = Keyring(Rows(*(row for _, row in KEYS)))
    right, wrong = [], []
    for _ in range(100):
        for (text, _row), guess in zip(KEYS, WRONG, strict=True):
            right.append(cost(keyring, text))
            wrong.append(cost(keyring, guess))
    assert median(wrong) - median(right) <= ADDED
    assert median(right) <= 2 * ADDED, "with room for a busy machine"
