"""docs/configuration.md, written from the schema: `python -m controller.config.reference > docs/configuration.md`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from pydantic import BaseModel

from controller.config.schema import Config
from controller.config.tree import ANY, Leaf, Way, below, leaves
from controller.settings.impact import OWN, Impact

_INTRODUCTION: Final = """\
# Configuration

Three files in `config/`: `server.yaml`, `models.yaml` and `access.yaml`. Set-up copies each from its
`*.example.yaml`, which explains every setting at length; this page is the short list, written from the schema.

- What is left out has its default. A file that is missing at a start means its defaults, with a warning.
- A save takes effect by itself. `seadragon reload` does it now, `seadragon config check` only looks.
- A mistake is told with file, line and column, all of them at once, and nothing that runs changes.
- Paths are relative to the folder of the files; `~` is the home folder.
- Durations: `500ms`, `90s`, `1m30s`, `2h`. Sizes: `512KiB`, `32MiB`, `4GB`.
- A variable in an `environment` is a plain value, `{file: path}` (a file only its owner may read: `chmod 600`) or
  `{from: NAME}` (from the environment Seadragon was started with). Such values are never shown.

When a change takes effect:

- **at once**: the next request, or the next tick, sees it.
- **drains** a child: answers in flight finish, requests that arrive are held, then the child restarts.
- **restarts** a child: it is stopped and started.
- **listener**: that listener is drained, closed and opened again; the others go on.
"""


def page() -> str:
    """The whole page, Markdown."""
    return "\n".join([_INTRODUCTION, *_sections()])


def _sections() -> Iterator[str]:
    for way, group in groupby(leaves(), key=lambda leaf: leaf.path[:-1]):
        yield f"## {_title(way)}\n\n{_about(way)}\n"
        yield from _table(group)
        yield ""


def _title(way: Way) -> str:
    file, *rest = way
    return f"`{file}.yaml`" + (f" › `{'.'.join(rest)}`" if rest else "")


def _about(way: Way) -> str:
    """What the schema says of a branch; the first lines are enough."""
    branch: type[BaseModel] = Config
    for part in way:
        if part != ANY:
            inner = below(branch.model_fields[part])
            assert inner is not None  # a way of a leaf leads through branches only
            branch = inner[0]
    return inspect.cleandoc(branch.__doc__ or "")


def _table(group: Iterable[Leaf]) -> Iterator[str]:
    yield "| setting | default | allowed | takes effect | meaning |"
    yield "|---|---|---|---|---|"
    for leaf in group:
        cells = (f"`{leaf.path[-1]}`", _default(leaf), leaf.allowed, effect(leaf.impact), leaf.field.description or "")
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(leaf: Leaf) -> str:
    if leaf.required:
        return "needed"
    return "empty" if leaf.private else leaf.write(leaf.field.get_default(call_default_factory=True, validated_data={}))


def effect(impact: Impact) -> str:
    """When a change takes effect, in a word or two."""
    target = "that child" if impact.target == OWN else impact.target
    return f"{impact.kind} {target}".strip().replace("at_once", "at once")


if __name__ == "__main__":
    print(page(), end="")
