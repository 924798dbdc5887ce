"""Ollama's own integration tests, run against any address that speaks as Ollama does.

They ask for models by name and look for words in the answers; the kit's library has both. Not in the list: tests that
need a GPU, a download, or a model that really understands.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path

from controller.obtain import golang
from controller.obtain.cache import cache_folder, once
from controller.obtain.site import Site
from tests.kit import real

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
# Later versions keep the same tests as cases of groups: group, case, and the model if the case's name ends with it
SMOL = "llama3.2:1b"
CASES = {
    "TestAPIGenerate": ("TestAPI", "api-generate", SMOL),
    "TestAPIChat": ("TestAPI", "api-chat", SMOL),
    "TestAPIListModels": ("TestAPI", "api-list-models", None),
    "TestAPIShowModel": ("TestAPI", "api-show-model", "llama3.2"),
    "TestAPIGenerateLogprobs": ("TestAPI", "generate-logprobs", SMOL),
    "TestAPIChatLogprobs": ("TestAPI", "chat-logprobs", SMOL),
    "TestBlueSky": ("TestBasic", "blue-sky", SMOL),
    "TestExtendedUnicodeOutput": ("TestBasic", "unicode-output", "gemma2:2b"),
    "TestNumPredict": ("TestBasic", "num-predict", SMOL),
    "TestThinkingEnabled": ("TestBasic", "thinking-enabled", SMOL),
    "TestThinkingSuppressed": ("TestBasic", "thinking-suppressed", SMOL),
    "TestConcurrentChat": ("TestConcurrency", "concurrent-chat", SMOL),
    "TestMultiModelStress": ("TestConcurrency", "scheduler-multimodel", None),
    "TestLongInputContext": ("TestContext", "context-long-input", SMOL),
    "TestContextExhaustion": ("TestContext", "context-exhaustion", SMOL),
    "TestGenerateWithHistory": ("TestContext", "generate-history", SMOL),
    "TestChatWithHistory": ("TestChat", "chat-history", SMOL),
    "TestEmbedLargeInput": ("TestEmbedding", "embed-large-input", None),
    "TestEmbedStatusCode": ("TestEmbedding", "embed-status-code", None),
    "TestAPIToolCalling": ("TestTools", "tools", SMOL),
}


def program(site: Site | None = None) -> Path:
    """That version's tests as one program, compiled once. Raises ObtainFailed where Go is missing."""
    site = site or Site()
    target = cache_folder(site.environment) / f"ollama-tests-{real.version()}"
    with once(target) as folder:
        if folder is not None:
            source = golang.source(site, golang.OLLAMA, f"v{real.version()}", folder)
            output = str(folder / "integration.test")
            site.say("compiling Ollama's own tests")
            argv = [golang.program(site), "test", "-c", "-tags=integration,release", "-o", output, "./integration"]
            site.run(argv, telling="compiling Ollama's own tests", folder=source)
    return target / "integration.test"


def run(url: str, names: Sequence[str], model: str | None = None) -> tuple[dict[str, str], str]:
    """Run the tests called `names`; returns each one's verdict (PASS, FAIL, SKIP) and all that was printed.

    A test that this version does not have, under either name, has no verdict.
    """
    environment = dict(os.environ) | {"OLLAMA_TEST_EXISTING": "1", "OLLAMA_HOST": url}
    if model:
        environment["OLLAMA_TEST_MODEL"] = model
    called = {name: _called(name, model) if _grouped() else name for name in names}
    argv = [str(program()), "-test.v", f"-test.timeout={LIMIT:.0f}s", f"-test.run={_pattern(called.values())}"]
    with tempfile.TemporaryDirectory(prefix="seadragon-kit-") as folder:
        ended = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=2 * LIMIT)
    output = ended.stdout + ended.stderr
    verdicts = {full: verdict for verdict, full in re.findall(r"^ *--- (\w+): (\S+)", output, re.MULTILINE)}
    return {name: verdicts[full] for name, full in called.items() if full in verdicts}, output


@functools.cache
def _grouped() -> bool:
    """Whether this version keeps its tests as cases of groups."""
    listed = subprocess.run([str(program()), "-test.list", "^TestAPI$"], capture_output=True, text=True, check=True)
    return "TestAPI" in listed.stdout.split()


def _called(name: str, model: str | None) -> str:
    group, case, usual = CASES[name]
    return "/".join(filter(None, (group, case, usual and (model or usual))))


def _pattern(names: Iterable[str]) -> str:
    """What `-test.run` matches just these by: one expression for each level of their names."""
    levels = zip_longest(*(name.split("/") for name in names))
    return "/".join(f"^({'|'.join(map(re.escape, sorted(set(filter(None, level)))))})$" for level in levels)
