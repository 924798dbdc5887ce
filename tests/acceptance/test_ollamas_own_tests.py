"""Ollama's own integration tests, against the gateway and directly: the same verdicts, and they pass."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit import conformance, real
from tests.kit.house import House, fake_house


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("own-tests")
    with fake_house(folder) as house:
        house.configure(ollama={"binary": str(real.program())})
        house.write("models", {"folder": str(real.copy_library(folder / "models"))})
        yield house.up().until_ready()


@pytest.mark.timeout(900)
def test_ollamas_own_tests_say_the_same_of_the_gateway_as_of_ollama(gateway: House) -> None:
    through, told = conformance.run(gateway.url, conformance.TESTS)
    direct, _ = conformance.run(gateway.child()["url"], conformance.TESTS)
    assert through == direct, told[-4000:]
    assert through == dict.fromkeys(conformance.TESTS, "PASS"), told[-4000:]


@pytest.mark.parametrize(("model", "names"), conformance.TESTS_OF.items())
def test_thinking_embedding_and_tools_pass_ollamas_own_tests_through_the_gateway(
    gateway: House, model: str, names: tuple[str, ...]
) -> None:
    verdicts, told = conformance.run(gateway.url, names, model)
    assert verdicts == dict.fromkeys(names, "PASS"), told[-4000:]
