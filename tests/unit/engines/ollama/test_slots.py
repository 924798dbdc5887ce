"""What llama-server says of its slots."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.engines.engine import SlotStates
from controller.engines.ollama.slots import slots_in, together

AT_WORK = {
    "id": 0,
    "n_ctx": 8192,
    "is_processing": True,
    "id_task": 7,
    "n_prompt_tokens": 1560,
    "n_prompt_tokens_processed": 4,
    "next_token": [{"has_next_token": True, "n_decoded": 1557}],
}
NEVER_USED = {"id": 1, "n_ctx": 8192, "speculative": False, "is_processing": False}


def test_whether_a_slot_works_and_how_far() -> None:
    assert slots_in(json.dumps([AT_WORK, NEVER_USED]).encode()) == SlotStates(
        1, ((7, 4, 1557), (-1, 0, 0)), (True, False)
    )
    once = {**AT_WORK, "next_token": {"n_decoded": 3}, "is_processing": False}  # as other builds write it
    assert slots_in(json.dumps([once]).encode()) == SlotStates(0, ((7, 4, 3),), (False,))


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"7", b"[7]", b"[{}]", b'{"error":{"code":501}}', b'[{"is_processing":true,"id_task":"x"}]']
)
def test_what_is_no_such_answer_says_nothing(body: bytes) -> None:
    assert slots_in(body) is None


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_no_answer_whatever_does_any_harm(said: bytes | str) -> None:
    slots_in(said if isinstance(said, bytes) else said.encode())


def test_of_several_processes_all_have_to_say() -> None:
    one, other = SlotStates(1, ((1, 2, 3),), (True,)), SlotStates(0, ((4, 5, 6),), (False,))
    assert together([one, other]) == SlotStates(1, ((1, 2, 3), (4, 5, 6)), (True, False))
    assert together([one, None]) is None
    assert together([]) is None
