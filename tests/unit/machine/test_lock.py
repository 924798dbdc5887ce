"""What the lock file promises: everything that running needs is ready-made wherever Seadragon is meant to run."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename

from controller.paths import CLONE

PREFERRED = SpecifierSet((CLONE / ".python-versions").read_text().strip())
PYTHONS = [(3, 11), (3, 12), (3, 13), (3, 14)]  # the last one works too, where somebody has it already
SONOMA = (14, 0)  # the oldest macOS that Ollama takes, and older than any Mac Mini M4
BOOKWORM = ["manylinux_2_36", "manylinux_2_28", "manylinux_2_17", "manylinux2014", "manylinux_2_12", "manylinux_2_5"]
PLACES = {
    "a Mac with Apple silicon": ("darwin", "Darwin", "arm64", list(mac_platforms(SONOMA, "arm64"))),
    "Debian": ("linux", "Linux", "x86_64", [f"{tag}_x86_64" for tag in BOOKWORM]),
}
Package = dict[str, Any]


@functools.cache
def packages() -> dict[str, Package]:
    """Everything in the lock file, by name. uv has locked each in one version only."""
    locked = tomllib.loads((CLONE / "uv.lock").read_text())["package"]
    assert len({package["name"] for package in locked}) == len(locked), "a package stands there in several versions"
    return {package["name"]: package for package in locked}


def needed(environment: dict[str, str]) -> set[str]:
    """What running needs there: our own dependencies, theirs, and so on."""
    seen: set[tuple[str, frozenset[str]]] = set()
    left = [("seadragon", frozenset[str]())]
    while left:
        if (each := left.pop()) not in seen:
            seen.add(each)
            left += _dependencies(*each, environment)
    return {name for name, _ in seen} - {"seadragon"}


def _dependencies(
    name: str, extras: frozenset[str], environment: dict[str, str]
) -> Iterator[tuple[str, frozenset[str]]]:
    package = packages()[name]
    further = package.get("optional-dependencies", {})
    for each in [*package.get("dependencies", []), *(one for extra in extras for one in further.get(extra, []))]:
        if "marker" not in each or Marker(each["marker"]).evaluate(environment):
            yield each["name"], frozenset(each.get("extra", []))


def to_be_compiled(place: str, python: tuple[int, int]) -> set[str]:
    """The packages that have no wheel for that Python there."""
    platform, system, machine, tags_of_platform = PLACES[place]
    version = ".".join(map(str, python))
    environment = {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": system,
        "python_full_version": f"{version}.0",
        "python_version": version,
        "sys_platform": platform,
    }
    fit = {
        *cpython_tags(python, platforms=tags_of_platform),
        *compatible_tags(python, f"cp{python[0]}{python[1]}", tags_of_platform),
    }
    return {name for name in needed(environment) if not any(fit & wheel for wheel in wheels(packages()[name]))}


def wheels(package: Package) -> Iterator[frozenset[Tag]]:
    """The tags of each of its wheels."""
    for wheel in package.get("wheels", []):
        yield parse_wheel_filename(wheel["url"].rpartition("/")[2])[3]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("python", PYTHONS, ids=str)
def test_nothing_has_to_be_compiled(place: str, python: tuple[int, int]) -> None:
    assert to_be_compiled(place, python) == set()


def test_the_preferred_pythons_are_among_those_with_wheels_and_the_newest_is_3_13() -> None:
    preferred = [python for python in [*PYTHONS, (3, 10), (3, 15), (3, 16)] if ".".join(map(str, python)) in PREFERRED]
    assert preferred == [(3, 11), (3, 12), (3, 13)]


def test_a_package_without_a_wheel_would_be_noticed() -> None:
    assert to_be_compiled("a Mac with Apple silicon", (3, 8)) >= {"pyyaml", "uvloop"}
    assert len(needed({"sys_platform": "darwin", "platform_python_implementation": "CPython"})) > 30
