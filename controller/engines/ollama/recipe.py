"""What Ollama would load for a name, read off /api/show: weights, adapters, projectors, and the options fixed at load.

Two names with equal recipes share a runner. Two that differ would make Ollama reload at every change between them
(server/sched.go needsReload); a draft model makes no difference to that.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.engines.ollama.inside import Inside

KEY_LENGTH: Final = 16  # hexadecimal digits
LEAST_CONTEXT: Final = 4
LEAST_CONTEXT_SEEING: Final = 2048  # of models that take pictures

_LINE: Final = re.compile(r"(FROM|ADAPTER|DRAFT) (.+)")


@dataclass(frozen=True, slots=True)
class Recipe:
    """`blob` and the others are file names of blobs; of an MLX model, which has no one file, `blob` is its name."""

    blob: str
    adapters: tuple[str, ...] = ()
    projectors: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()  # sorted; only what differs from Ollama's own defaults

    @property
    def pinned_context(self) -> int | None:
        """Tokens that the model itself asks for; None: it takes the server's."""
        return self._asked("num_ctx")

    @property
    def batch(self) -> int | None:
        """Tokens that the model itself asks to be read at a time; None: as many as Ollama likes."""
        return self._asked("num_batch")

    def _asked(self, option: str) -> int | None:
        text = dict(self.options).get(option, "")
        return int(text) if text.isdecimal() else None

    def context(self, usual: int, *, sees: bool) -> int:
        """Tokens Ollama asks a runner for, before it clips them to what the model was made for."""
        asked = self.pinned_context or usual
        return max(asked, LEAST_CONTEXT_SEEING if sees else LEAST_CONTEXT)


def recipe_of(show: Mapping[str, Any], inside: Inside) -> Recipe | None:
    """Read an answer of /api/show, by an Ollama as `inside` says. None for a model that lives elsewhere, or that has no
    weights.
    """
    if show.get("remote_host") or show.get("remote_model"):
        return None
    lines = list(_head(str(show.get("modelfile", ""))))
    models = [_file(value) for word, value in lines if word == "FROM"]
    if not models:
        return None
    adapters = tuple(_file(value) for word, value in lines if word == "ADAPTER")
    options = tuple(sorted(_fixed(str(show.get("parameters", "")), inside.fixed)))
    return Recipe(models[0], adapters, tuple(models[1:]), options)


def key_of(recipe: Recipe, *, context: int, slots: int, precision: str) -> str:
    """Short, and the same at every start: of all that makes one loaded runner differ from another.

    `context` is what is asked for, `precision` that of the context memory, by which Ollama. They stand in the key
    although Ollama would reload for a new server-wide value anyway: what was learned with another one is not true any
    more.
    """
    options = [pair for pair in recipe.options if pair[0] != "num_ctx"]
    facts = [recipe.blob, recipe.adapters, recipe.projectors, options, context, slots, precision]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:KEY_LENGTH]


def _head(modelfile: str) -> Iterator[tuple[str, str]]:
    """The lines before the first text: a template may have lines that look like these (server/images.go String)."""
    begun = False
    for line in modelfile.splitlines():
        match = _LINE.fullmatch(line.rstrip())
        if match:
            begun = True
            yield match[1], match[2].strip('" ')
        elif begun:
            return


def _file(path: str) -> str:
    """The file name of a blob, on whatever system it lies; any other text as it is."""
    name = re.split(r"[/\\]", path)[-1]
    return name if name.startswith("sha256") else path


def _fixed(parameters: str, usual: Mapping[str, str | None]) -> Iterator[tuple[str, str]]:
    """Of the lines `name    value`, those that are fixed at load and not as usual."""
    for line in parameters.splitlines():
        name, _, value = line.strip().partition(" ")
        if name in usual and (plain := _plain(value.strip())) != _usual(name, plain, usual):
            yield name, plain


def _usual(name: str, value: str, usual: Mapping[str, str | None]) -> str | None:
    """Any negative number of GPU layers means: as many as fit."""
    return value if name == "num_gpu" and value.startswith("-") else usual[name]


def _plain(value: str) -> str:
    """One spelling for a number: Go writes 1048576 as 1.048576e+06."""
    try:
        return str(int(float(value)))
    except (ValueError, OverflowError):
        return value
