"""Every module stands on one floor and leans on its own or lower ones only; and few may start a process."""

from __future__ import annotations

import ast
import re
import textwrap
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

import pytest

CLONE = Path(__file__).parents[2]
PACKAGE = CLONE / "controller"
Node = TypeVar("Node", str, tuple[str, str])
ORDER = ["words", "policy", "hands", "loops", "edges", "roof"]

STARTERS = {
    "supervision/child": "keepers",
    "supervision/tools": "tools that end by themselves, or with us",
    "supervision/keeper": "forks itself into a process of its own, and its child",
    "obtain/fastest": "the Pythons that set-up chooses among",
    "obtain/site": "the compilers and installers of the set-up, before there is anything to supervise",
    "app": "replaces its own process at a restart; that starts none",
}
STARTS = re.compile(
    r"subprocess|os\.(fork|forkpty|posix_spawn|exec|spawn|system|popen)|.*create_subprocess|pty|multiproc"
)
OUTSIDE = {"asyncio", "logging", "os", "socket", "subprocess", "sys", "threading", "time"}


@cache
def tree(module: str) -> ast.Module:
    path = PACKAGE / f"{module}.py"
    return ast.parse((path if path.exists() else PACKAGE / module / "__init__.py").read_text())


@cache
def modules() -> list[str]:
    """As paths without a suffix. A package counts by itself when its `__init__` holds more than words about it."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).with_suffix("").as_posix()
        if path.name != "__init__.py":
            found.append(name)
        elif path.parent != PACKAGE and any(
            not isinstance(each, ast.Expr) for each in ast.parse(path.read_text()).body
        ):
            found.append(path.parent.relative_to(PACKAGE).as_posix())
    return found


@cache
def floors() -> dict[str, str]:
    """What ARCHITECTURE.md says: the floor of each module."""
    text = (CLONE / "ARCHITECTURE.md").read_text()
    rows = re.findall(r"^\| (\w+) \| ([\w/-]+) \| (.+) \|$", text[text.index("## Floors") :], re.MULTILINE)
    assert list(dict.fromkeys(floor for floor, *_ in rows if floor != "floor")) == ORDER
    named = [
        (each.strip(" `") if package == "-" else f"{package}/{each.strip(' `')}", floor)
        for floor, package, cell in rows
        if floor != "floor"
        for each in cell.split(",")
    ]
    twice = [module for module, count in Counter(module for module, _ in named).items() if count > 1]
    assert not twice, f"on more than one floor: {twice}"
    table = {module: floor for module, floor in named if not module.endswith("/*")}
    rest = {module.removesuffix("/*"): floor for module, floor in named if module.endswith("/*")}
    for module in modules():
        if module not in table and (floor := rest.get(module.partition("/")[0])):
            table[module] = floor
    return table


def imported(module: str) -> set[str]:
    """The modules of ours that it imports, wherever in it, also for types alone."""
    found = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "controller":
            assert node.module
            found |= {_module_of(node.module, alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            ours = [alias.name for alias in node.names if alias.name.split(".")[0] == "controller"]
            assert not ours, f"{module}: write `from … import …`"
    return found - {""}


def _module_of(where: str, name: str) -> str:
    parent = "/".join(where.split(".")[1:])
    child = f"{parent}/{name}".lstrip("/")
    return child if (PACKAGE / f"{child}.py").exists() else parent


def starts_processes(module: str) -> bool:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import) and any(STARTS.match(alias.name) for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and STARTS.match(node.module or ""):
            return True
        if isinstance(node, ast.ImportFrom) and any(STARTS.match(f"{node.module}.{each.name}") for each in node.names):
            return True
        if isinstance(node, ast.Attribute) and STARTS.match(ast.unparse(node)):
            return True
    return False


def test_every_module_stands_on_one_floor() -> None:
    assert sorted(floors()) == modules()


@pytest.mark.parametrize("module", modules())
def test_a_module_leans_on_its_own_floor_or_lower_ones(module: str) -> None:
    floor = floors()
    too_high = {each for each in imported(module) if ORDER.index(floor[each]) > ORDER.index(floor[module])}
    assert not too_high, f"{module} ({floor[module]}) imports {', '.join(f'{one} ({floor[one]})' for one in too_high)}"


@pytest.mark.parametrize("module", [module for module, floor in floors().items() if floor == "policy"])
def test_policy_neither_awaits_nor_looks_outside(module: str) -> None:
    for node in ast.walk(tree(module)):
        assert not isinstance(node, ast.Await | ast.AsyncFunctionDef), f"{module} awaits"
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not OUTSIDE & {name.split(".")[0] for name in names}, f"{module} imports {names}"


def imports() -> dict[str, set[str]]:
    """The modules of ours that each one imports, itself left out."""
    everything = set(modules())
    return {module: (imported(module) & everything) - {module} for module in everything}


def rooms() -> dict[tuple[str, str], set[tuple[str, str]]]:
    """The rooms, each a package on one floor (or a module that stands in none), and the rooms that each leans on."""
    floor = floors()
    room = {module: (floor[module], module.partition("/")[0]) for module in modules()}
    leans: dict[tuple[str, str], set[tuple[str, str]]] = {each: set() for each in room.values()}
    for module, others in imports().items():
        leans[room[module]] |= {room[other] for other in others} - {room[module]}
    return leans


def circles(leans: Mapping[Node, set[Node]]) -> dict[Node, set[Node]]:
    """Who leans on each other: what is left when whoever leans on nobody, or is leant on by nobody, is taken away,
    again and again.
    """
    left = {each: set(others) for each, others in leans.items()}
    while True:
        leant_on = {other for others in left.values() for other in others}
        kept = {
            each: others & left.keys() for each, others in left.items() if each in leant_on and others & left.keys()
        }
        if kept == left:
            return left
        left = kept


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert not circles(imports())


def test_no_rooms_lean_on_each_other_in_a_circle() -> None:
    assert not circles(rooms())


def picture() -> str:
    """The house, roof to ground. Within a floor whoever stands further left leans on somebody further right."""
    leans, lines = rooms(), []
    for floor in reversed(ORDER):
        left = {
            room: {other for other in others if other[0] == floor} for room, others in leans.items() if room[0] == floor
        }
        steps: list[str] = []
        while free := {room for room, others in left.items() if not others & left.keys()}:
            steps.append(" ".join(sorted(name for _, name in free)))
            left = {room: others for room, others in left.items() if room not in free}
        lines += textwrap.wrap(f"{floor:<8}" + " → ".join(reversed(steps)), 110, subsequent_indent=" " * 8)
    return "\n".join(lines)


def test_the_picture_of_the_house_is_the_code() -> None:
    text = (CLONE / "ARCHITECTURE.md").read_text()
    assert f"```\n{picture()}\n```" in text, f"the picture in ARCHITECTURE.md is to be:\n{picture()}"


def test_only_those_who_must_start_processes() -> None:
    assert {module for module in modules() if starts_processes(module)} == set(STARTERS)
