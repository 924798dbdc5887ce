"""Outside `engines/` no engine is named: a second one is a new folder there, and a row in its tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from controller.engines.settings import TITLES

CLONE = Path(__file__).parents[2]
PACKAGE = CLONE / "controller"
SHOWN = sorted(
    each.relative_to(CLONE).as_posix()
    for folder in ("templates", "static")
    for each in (CLONE / folder).rglob("*")
    if each.suffix in (".html", ".js", ".css", ".svg")
)
NAMES = re.compile("|".join({*TITLES, *TITLES.values()}), re.IGNORECASE)

OWN_ROOMS = {
    "engines": "each engine's own folder, and the tables with a row for each",
    "obtain": "gets an engine's program onto this machine",
    "demo": "makes its tiny model in one engine",
}
WIRE = {
    "dialect.py": "the native dialect's name in metrics and logs, and on the page",
    "refusal.py": "reasons that clients know since long",
    "spelling.py": "names of models are written as clients and registries write them",
    "auth/policy.yaml": "routes of the native dialect that speak of an account elsewhere",
    "auth/common_passwords.txt": "what people take for a password",
    "config/schema.py": "a prefix that clients use",
    "settings/addresses.py": "the same, in words",
    "proxy/dialects.py": "how a command of that name reads a line",
    "proxy/fillers.py": "how libraries of that name read a stream",
    "proxy/own.py": "answers that clients know word for word",
    "proxy/routes.py": "the native dialect's routes, after whose source",
}
HANDS = {
    "app.py": "the roof: builds each engine, once",
    "doctor/mac.py": "what is typed by hand on a Mac",
}
ALLOWED = {*WIRE, *HANDS}


def files() -> list[str]:
    found = (file.relative_to(PACKAGE).as_posix() for file in PACKAGE.rglob("*") if file.is_file())
    return sorted(file for file in found if "__pycache__" not in file and file.partition("/")[0] not in OWN_ROOMS)


def naming(file: str, folder: Path = PACKAGE) -> list[str]:
    lines = (folder / file).read_text().splitlines()
    return [f"{number}: {line.strip()}" for number, line in enumerate(lines, 1) if NAMES.search(line)]


@pytest.mark.parametrize("file", [file for file in files() if file not in ALLOWED])
def test_no_engine_is_named_outside_its_own_room(file: str) -> None:
    assert naming(file) == []


@pytest.mark.parametrize("file", SHOWN)
def test_no_template_names_one_either(file: str) -> None:
    assert naming(file, CLONE) == []


@pytest.mark.parametrize("file", sorted(ALLOWED))
def test_where_one_may_be_named_it_is_or_the_list_is_too_long(file: str) -> None:
    assert naming(file)


@pytest.mark.parametrize("file", [file for file in files() if file.endswith(".py") and file not in HANDS])
def test_nothing_but_the_roof_leans_on_one_engine(file: str) -> None:
    engines = "|".join(TITLES)
    assert not re.findall(
        rf"^\s*from controller\.engines\.(?:{engines})\b.*", (PACKAGE / file).read_text(), re.MULTILINE
    )
