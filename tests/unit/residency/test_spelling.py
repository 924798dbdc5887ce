"""Cases of types/model/name_test.go and internal/modelref/modelref_test.go of v0.24.0, and what follows from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.residency.spelling import full_name

WORD = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,20}", fullmatch=True)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("red", "red:latest"),
        ("RED", "red:latest"),
        (" red\n", "red:latest"),
        ("red:Latest", "red:latest"),
        ("library/red", "red:latest"),
        ("registry.ollama.ai/library/red:8b", "red:8b"),
        ("https://Registry.Ollama.ai/Library/Red", "red:latest"),
        ("Ann/Red", "ann/red:latest"),
        ("hf.co/ann/red-GGUF:Q4_K_M", "hf.co/ann/red-gguf:q4_k_m"),
        ("localhost:5000/ann/red", "localhost:5000/ann/red:latest"),
        ("llama3.2:1b", "llama3.2:1b"),
        ("red:local", "red:latest"),
        ("red:8b:local", "red:8b"),
        ("cloud", "cloud:latest"),
        ("host:80/ann/red-cloud", "host:80/ann/red-cloud:latest"),
    ],
)
def test_every_spelling_of_a_name_is_the_same_model(written: str, meant: str) -> None:
    assert full_name(written) == meant


@pytest.mark.parametrize(
    "written",
    [
        "", " ", ":", "/", "red:", ":8b", "red/", "/red", "a//red", "-red", ".red", "red:-8b", "re d", "réd", "red\0",
        "a.b/red", "x/a/b/red", "red@sha256:0", "r" * 81, "red:" + "8" * 81, "http://ann/red",
        "red:cloud", "red:8b:Cloud", "gpt-oss:20b-cloud", "red:cloud:local", "red:local:cloud", "\u212aong",
    ],
)  # fmt: skip
def test_what_no_model_on_this_machine_is_called_is_nothing(written: str) -> None:
    assert full_name(written) is None


@given(WORD, WORD, WORD)
def test_a_full_name_means_itself_and_case_and_defaults_mean_nothing(namespace: str, model: str, tag: str) -> None:
    full = full_name(f"{namespace}/{model}:{tag}")
    if full is not None:
        assert full_name(full) == full_name(full.upper()) == full
        assert full_name(f"registry.ollama.ai/{namespace}/{model}:{tag}") == full


@given(st.text(alphabet="ab/:.-_@ \tKéCLOUDlocal", max_size=40))
def test_whatever_is_written_it_is_a_name_or_nothing(text: str) -> None:
    full = full_name(text)
    assert full is None or full_name(full) == full
