"""What llama-server itself says of its slots: whether one works, and how far. Pure.

Its word is better than a look at processor and GPU, which cannot tell its work from another model's. It comes between
two batches, so one that reads a long prompt may say nothing for a while.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from controller.engines.engine import SlotStates


def together(told: Iterable[SlotStates | None]) -> SlotStates | None:
    """Those of several processes. None when there is none, or one of them did not say."""
    known = list(told)
    if not known or None in known:
        return None
    all_of = [each for each in known if each is not None]
    return SlotStates(
        sum(each.working for each in all_of),
        tuple(mark for each in all_of for mark in each.far),
        tuple(works for each in all_of for works in each.works),
    )


def slots_in(body: bytes) -> SlotStates | None:
    """What an answer to `GET /slots` says; None for what is no such answer."""
    try:
        listed = json.loads(body)
        if not isinstance(listed, list):
            return None
        works = tuple(bool(each["is_processing"]) for each in listed)
        return SlotStates(sum(works), tuple(_far(each) for each in listed), works)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _far(slot: dict[str, Any]) -> tuple[int, ...]:
    written = slot.get("next_token") or {}
    of_each = written if isinstance(written, list) else [written]
    decoded = sum(int(each.get("n_decoded", 0)) for each in of_each)
    return int(slot.get("id_task", -1)), int(slot.get("n_prompt_tokens_processed", 0)), decoded
