"""Fixtures that every floor of tests may use."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from controller.engines.ollama.inside import inside_of
from tests.kit import beside, inherited, real
from tests.kit.examples import load_profile
from tests.tunnel.local_edge import Edge, edge
from tests.tunnel.outside import Outside, RealOutside, StandIn
from tests.tunnel.programs import Programs, programs

inherited.made_plain()
load_profile()


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # what xdist gives each process that it starts
        beside.begin()


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        beside.over()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """As many as there are cores, as xdist says, for unit tests alone; the others mostly wait."""
    return None if all("unit" in Path(each).parts for each in config.args) else beside.processes()


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outside of everything: no test's time runs while it waits for its place
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with beside.place(alone=item.get_closest_marker("alone") is not None):
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of every file that meets a real Ollama; those that run alone go last."""
    items.sort(key=lambda item: item.get_closest_marker("alone") is not None)
    for item in items:
        names = vars(item.module) if isinstance(item, pytest.Function) else {}
        if any(value is real or getattr(value, "__module__", "") == real.__name__ for value in names.values()):
            item.add_marker("ollama")


@pytest.fixture(scope="session")
def ollama_program() -> Path:
    """The real Ollama's program."""
    return real.program()


@pytest.fixture
def bare_ollama(tmp_path: Path) -> Path:
    """The real Ollama's program with nothing beside it."""
    if not inside_of(real.version()).programs:
        pytest.skip(f"Ollama {real.version()} needs nothing beside it")
    (tmp_path / "bare").mkdir()
    return Path(shutil.copy2(real.program(), tmp_path / "bare" / "ollama"))


@pytest.fixture(scope="session")
def real_ollama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real.RealOllama]:
    """A real Ollama with the kit's library of tiny models, shared by the whole session: leave it as you found it."""
    home = tmp_path_factory.mktemp("real-ollama")
    with real.serve(home, real.copy_library(home / "models")) as ollama:
        yield ollama


@pytest.fixture
def tiny_models(tmp_path: Path) -> Path:
    """A models folder of the test's own with the kit's library in it, for an Ollama that the test starts itself."""
    return real.copy_library(tmp_path / "models")


@pytest.fixture(scope="session")
def tunnel_programs() -> Programs:
    """Real cloudflared and the edge. Skips, and says so, where cloudflared's source could not be had."""
    built = programs()
    if reason := built.missing():
        pytest.skip(f"no real cloudflared: {reason}")
    return built


@pytest.fixture
def local_edge(tunnel_programs: Programs, tmp_path: Path) -> Iterator[Edge]:
    """The stand-in for Cloudflare's edge."""
    with edge(tunnel_programs, tmp_path) as this:
        yield this


@pytest.fixture(params=["real cloudflared", "stand-in"])
def outside(request: pytest.FixtureRequest, tmp_path: Path) -> Outside:
    """The world behind a tunnel, real and pretended."""
    if request.param == "stand-in":
        return StandIn(tmp_path)
    return RealOutside(request.getfixturevalue("tunnel_programs"), request.getfixturevalue("local_edge"), tmp_path)
