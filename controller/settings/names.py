"""Names of models and lanes as the configuration takes them. Each raises ValueError, saying what is allowed."""

from __future__ import annotations

import re

from controller.spelling import parse

MODEL_WORDS = "the name of a model, such as qwen3:32b"
PATTERN_WORDS = "a name of a model in which * stands for anything, such as gpt-4o*"
LANE_WORDS = "the number of a lane from 0 to 1000, such as 3 or 1.5"

HIGHEST_LANE = 1000

_PATTERN = re.compile(r"[A-Za-z0-9_.:/*-]+")
_LANE = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def model_name(text: str) -> str:
    """A model's name, as it is written."""
    name = parse(text)
    if name is None or name.written != text:
        raise ValueError(MODEL_WORDS)
    return text


def model_pattern(text: str) -> str:
    """A pattern for models' names."""
    if len(text) > 200 or not _PATTERN.fullmatch(text):
        raise ValueError(PATTERN_WORDS)
    return text


def lane_name(text: str) -> str:
    """A lane's number as text, `3` or `1.5`: only in one spelling, so that no lane stands there twice."""
    if len(text) > 8 or not _LANE.fullmatch(text) or float(text) > HIGHEST_LANE or f"{float(text):g}" != text:
        raise ValueError(LANE_WORDS)
    return text
