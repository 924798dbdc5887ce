"""Ollama's own integration tests, run against any address that speaks as Ollama does.

They ask for models by name and look for words in the answers; the kit's library has both. Not in the list: tests that
need a GPU, a download, or a model that really understands.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from controller.obtain import golang
from controller.obtain.cache import cache_folder, once
from controller.obtain.find import OLLAMA_VERSION
from controller.obtain.site import Site

LIMIT = 300.0  # seconds for all of one run; it takes some ten
TESTS = (
    "TestAPIGenerate",
    "TestAPIChat",
    "TestAPIListModels",
    "TestAPIShowModel",
    "TestAPIGenerateLogprobs",
    "TestAPIChatLogprobs",
    "TestBlueSky",
    "TestExtendedUnicodeOutput",
    "TestNumPredict",
    "TestConcurrentChat",
    "TestMultiModelStress",
    "TestLongInputContext",
    "TestContextExhaustion",
    "TestGenerateWithHistory",
    "TestChatWithHistory",
)
# tests that take any one model which can do a thing, by the kit's model that can. TestEmbedTruncation is left out: it
# sends a num_ctx of its own, which the gateway drops and tells, since Ollama would load the model anew for it
TESTS_OF = {
    "thinker": ("TestThinkingEnabled", "TestThinkingSuppressed"),
    "embedder": ("TestEmbedLargeInput", "TestEmbedStatusCode"),
    "caller": ("TestAPIToolCalling",),
}


def program(site: Site | None = None) -> Path:
    """The tests as one program, compiled once. Raises ObtainFailed where Go is missing."""
    site = site or Site()
    target = cache_folder(site.environment) / f"ollama-tests-{OLLAMA_VERSION}"
    with once(target) as folder:
        if folder is not None:
            source = golang.source(site, golang.OLLAMA, f"v{OLLAMA_VERSION}", folder)
            output = str(folder / "integration.test")
            site.say("compiling Ollama's own tests")
            argv = [golang.program(site), "test", "-c", "-tags=integration", "-o", output, "./integration"]
            site.run(argv, telling="compiling Ollama's own tests", folder=source)
    return target / "integration.test"


def run(url: str, names: Sequence[str], model: str | None = None) -> tuple[dict[str, str], str]:
    """Run the tests called `names`; returns each one's verdict (PASS, FAIL, SKIP) and all that was printed."""
    environment = dict(os.environ) | {"OLLAMA_TEST_EXISTING": "1", "OLLAMA_HOST": url}
    if model:
        environment["OLLAMA_TEST_MODEL"] = model
    argv = [str(program()), "-test.v", f"-test.timeout={LIMIT:.0f}s", f"-test.run=^({'|'.join(names)})$"]
    with tempfile.TemporaryDirectory(prefix="seadragon-kit-") as folder:
        ended = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=2 * LIMIT)
    output = ended.stdout + ended.stderr
    return {name: verdict for verdict, name in re.findall(r"^--- (\w+): (\w+)", output, re.MULTILINE)}, output
