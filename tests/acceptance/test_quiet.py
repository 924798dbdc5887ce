"""Nothing leaves the house unasked, and nothing comes in: neither Seadragon nor the Ollama it runs looks anything up,
or sends anything, by itself (tried where every packet for anywhere else is seen, and none gets there). And no setting
that happens to stand in the environment reaches a runner.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.kit import real, sealed, web
from tests.kit.below import runners_below
from tests.kit.house import fake_house


def tried(folder: Path, *, no_cloud: bool) -> sealed.Seen:
    if why := sealed.impossible():
        pytest.skip(f"nothing can be sealed off here: {why}")
    real.copy_library(folder / "models")
    argv = [sys.executable, "-m", "tests.kit.quiet_house", str(folder), str(no_cloud).lower()]
    seen = sealed.run(folder / "seen.json", argv, {**os.environ, "no_proxy": "*"})
    assert seen.code == 0, seen.output
    assert not seen.missed
    return seen


def test_with_no_cloud_nothing_is_looked_up_and_nothing_sent(tmp_path: Path) -> None:
    seen = tried(tmp_path, no_cloud=True)
    assert (seen.names, seen.reached) == ((), ())


def test_without_it_ollama_asks_its_maker_and_that_is_seen(tmp_path: Path) -> None:
    assert "ollama.com" in tried(tmp_path, no_cloud=False).names


def test_what_is_set_where_it_is_started_reaches_no_runner_and_what_is_written_down_does(tmp_path: Path) -> None:
    with fake_house(tmp_path / "house") as house:
        house.environment = {"LLAMA_ARG_CTX_SIZE": "1", "LLAMA_ARG_THREADS": "7", "OLLAMA_CONTEXT_LENGTH": "1"}
        written = {"LLAMA_ARG_N_PARALLEL": "1", "OLLAMA_DEBUG": "1"}
        house.configure(ollama={"binary": str(real.program()), "environment": written})
        house.write("models", {"folder": str(real.copy_library(tmp_path / "models"))})
        house.up().until_ready()
        asked = {"model": "red", "prompt": "hi", "stream": False}
        answer = web.post(f"{house.url}/api/generate", json=asked, timeout=60)
        assert answer.json()["response"].strip() == "I am red."
        [runner] = runners_below(house.child()["pid"])
        found = {name: value for name, value in runner.environ().items() if name.startswith(("LLAMA_ARG_", "OLLAMA_"))}
    assert written.items() <= found.items()
    assert found["OLLAMA_CONTEXT_LENGTH"] == "8192"
    assert not {"LLAMA_ARG_CTX_SIZE", "LLAMA_ARG_THREADS"} & found.keys()
