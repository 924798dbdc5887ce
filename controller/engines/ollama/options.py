"""Ollama's parameters, and what kind of value each takes (api/types.go Options and Runner)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Kind = Literal["whole", "number", "switch", "texts"]
Value = bool | int | float | str | list[str]

OPTIONS: Final[Mapping[str, Kind]] = {
    "num_ctx": "whole",
    "num_batch": "whole",
    "num_gpu": "whole",
    "main_gpu": "whole",
    "num_thread": "whole",
    "use_mmap": "switch",
    "draft_num_predict": "whole",
    "num_keep": "whole",
    "num_predict": "whole",
    "seed": "whole",
    "temperature": "number",
    "top_k": "whole",
    "top_p": "number",
    "min_p": "number",
    "typical_p": "number",
    "repeat_last_n": "whole",
    "repeat_penalty": "number",
    "presence_penalty": "number",
    "frequency_penalty": "number",
    "stop": "texts",
}
WORDS: Final[Mapping[Kind, str]] = {
    "whole": "a whole number",
    "number": "a number",
    "switch": "true or false",
    "texts": "a text, or a list of texts",
}
_SWITCHES: Final[Mapping[str, bool]] = {
    "true": True,
    "yes": True,
    "on": True,
    "false": False,
    "no": False,
    "off": False,
}


def read(name: str, value: object) -> object:
    """What the text of the YAML means for this parameter; what means nothing stays as it is, for `fits` to find."""
    if not isinstance(value, str):
        return value
    match OPTIONS.get(name):
        case "switch":
            return _SWITCHES.get(value.lower(), value)
        case "whole":
            return _number(value, int)
        case "number":
            return _number(value, float)
        case _:
            return value


def fits(name: str, value: Value) -> bool:
    """Whether a known parameter can have this value: Ollama itself would find out at the first request only."""
    match OPTIONS[name]:
        case "switch":
            return isinstance(value, bool)
        case "whole":
            return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
        case "texts":
            return isinstance(value, str | list)


def _number(text: str, kind: type[int] | type[float]) -> object:
    try:
        return kind(text)
    except ValueError:
        return text
