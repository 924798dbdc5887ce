"""Ollama's own integration tests, against the gateway and directly: the same verdicts, and those we can satisfy pass.

They are Go code in Ollama's module, built once for its version and kept beside the other things set-up builds. The
kit's models bear the names they ask for.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller import cache, obtain
from tests.kit import real
from tests.kit.house import House, fake_house

MODULE = f"github.com/ollama/ollama@v{obtain.OLLAMA_VERSION}"
TESTS = (
    "TestAPIGenerate", "TestAPIChat", "TestAPIListModels", "TestAPIGenerateLogprobs", "TestAPIChatLogprobs",
    "TestAPIShowModel", "TestBlueSky", "TestConcurrentChat", "TestLongInputContext", "TestGenerateWithHistory",
    "TestChatWithHistory", "TestNumPredict", "TestExtendedUnicodeOutput", "TestMultiModelStress",
)  # fmt: skip


def source() -> Path:
    """The folder of the tests in Go's module cache."""
    subprocess.run(["go", "mod", "download", MODULE], check=True, cwd="/", capture_output=True, timeout=600)
    found = subprocess.run(["go", "env", "GOMODCACHE"], check=True, capture_output=True, text=True, timeout=60)
    return Path(found.stdout.strip()) / MODULE


@pytest.fixture(scope="module")
def program() -> Path:
    """The compiled tests."""
    target = cache.cache_folder(os.environ) / f"ollama-tests-{obtain.OLLAMA_VERSION}"
    with cache.once(target) as folder:
        if folder is not None:
            build = ["go", "test", "-c", "-tags=integration", "-o", str(folder / "integration"), "./integration"]
            subprocess.run(build, check=True, cwd=source(), timeout=1200)
    return target / "integration"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("own-tests")
    with fake_house(folder) as house:
        house.configure(ollama={"binary": str(real.program())})
        house.write("models", {"folder": str(real.copy_library(folder / "models"))})
        yield house.up().until_ready()


def verdicts(program: Path, url: str, home: Path) -> dict[str, str]:
    """What each of the tests said of the server at `url`."""
    done = subprocess.run(
        [str(program), "-test.v", "-test.count=1", "-test.timeout=8m", f"-test.run=^({'|'.join(TESTS)})$"],
        env={**os.environ, "OLLAMA_TEST_EXISTING": "1", "OLLAMA_HOST": url, "HOME": str(home)},
        cwd=source() / "integration", capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    found = {name: verdict for verdict, name in re.findall(r"^--- (\w+): (\w+) ", done.stdout, re.MULTILINE)}
    assert found, done.stdout[-3000:] + done.stderr[-3000:]
    return found


@pytest.mark.timeout(1500)
def test_ollama_s_own_tests_say_the_same_of_the_gateway_as_of_ollama(
    program: Path, gateway: House, tmp_path: Path
) -> None:
    through = verdicts(program, gateway.url, tmp_path)
    direct = verdicts(program, gateway.child()["url"], tmp_path)
    assert through == direct
    assert through == dict.fromkeys(TESTS, "PASS")
