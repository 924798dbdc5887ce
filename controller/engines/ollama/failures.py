"""What Ollama's words for a failure mean, and what of them is worth a person's while. Pure.

A runner's last words come along with an error: up to 8 KiB of them, on many lines (llm/status.go), or as llama-server's
own JSON within Ollama's.
"""

from __future__ import annotations

import json
from typing import Final

from controller.engines.engine import LoadFault
from controller.engines.ollama.inside import Inside

NOT_FOUND: Final = 404
LONGEST: Final = 240  # letters of a reason that people are told
MOST_WRAPPINGS: Final = 3  # an error within an error within …


def fault_of(status: int, words: str, inside: Inside) -> LoadFault:
    """What an error answer to a load means. Memory goes first: a runner that dies of it says both."""
    said = words.lower()
    for fault, known in (
        (LoadFault.MEMORY, inside.memory),
        (LoadFault.LATE, inside.late),
        (LoadFault.CRASH, inside.crashed),
    ):
        if any(each in said for each in known):
            return fault
    return LoadFault.MISSING if status == NOT_FOUND else LoadFault.OTHER


def runner_died(words: str, inside: Inside) -> bool:
    """Whether an error answer to a request means that its runner did not live to answer it."""
    said = words.lower()
    return any(each in said for each in inside.crashed)


def words_of(content: bytes | str) -> str:
    """What an error answer says, in whichever dialect and however often it is wrapped; empty when it says nothing."""
    words: object = _unwrapped(content.decode(errors="replace") if isinstance(content, bytes) else content)
    for _ in range(MOST_WRAPPINGS):
        if not isinstance(words, str) or not words.lstrip().startswith("{"):
            break
        try:
            value, end = json.JSONDecoder().raw_decode(words.lstrip())
        except (ValueError, RecursionError):
            break
        if (inner := _error_in(value)) is None:
            break
        words = inner + words.lstrip()[end:]  # a runner's last words may follow
    return words if isinstance(words, str) else ""


def _unwrapped(text: str) -> str | None:
    """The error of a whole answer."""
    try:
        return _error_in(json.loads(text))
    except (ValueError, RecursionError):
        return None


def _error_in(value: object) -> str | None:
    error = value.get("error") if isinstance(value, dict) else None
    found = error.get("message") if isinstance(error, dict) else error
    return found if isinstance(found, str) else None


def brief(words: str, inside: Inside) -> str:
    """What people are told of it: its first line and, where that does not say so, the one that tells of memory."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    if not lines:
        return ""
    told = [lines[0]]
    if not any(each in lines[0].lower() for each in inside.memory):
        told += [line for line in lines[1:] if any(each in line.lower() for each in inside.memory)][:1]
    each = LONGEST // len(told)
    return ": ".join(_cut(line.rstrip(".:"), each) for line in told)


def _cut(line: str, most: int) -> str:
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
