"""One word, one meaning: what ARCHITECTURE.md asks of names, held against the code."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

CLONE = Path(__file__).parents[2]
PACKAGE = CLONE / "controller"

FOG = re.compile(r"(Manager|Service|Helper|Util|Utils|Handler|Common|Misc|Info|Data)$")
"""Endings that say nothing, but where the field says so: a logging.Handler, a service of launchd's."""


def classes() -> dict[str, list[str]]:
    """Where each class of ours is defined, nested ones too."""
    found = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(f"{path.relative_to(CLONE)}:{node.lineno}")
    return found


def test_a_class_name_has_one_meaning() -> None:
    twice = {name: places for name, places in classes().items() if len(places) > 1}
    assert not twice, "\n".join(f"{name}: {', '.join(places)}" for name, places in sorted(twice.items()))


def test_no_class_hides_what_it_is_behind_a_word_that_fits_everything() -> None:
    assert {name for name in classes() if FOG.search(name)} == {"_LibraryHandler", "LaunchdService"}


def test_a_word_of_the_glossary_that_is_a_class_stands_in_the_room_that_it_means() -> None:
    """The glossary says where a word lives; here are those that are classes."""
    home = {"Ticket": "scheduling", "Runner": "engines", "Supervisor": "supervision", "Lifecycle": "supervision"}
    assert {name: places[0].split("/")[1] for name, places in classes().items() if name in home} == home
