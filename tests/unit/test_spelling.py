"""The table of cases that a real Ollama is asked about too, and what follows from the rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.spelling import LONGEST, full_name, parse
from tests.kit.names import ABSENT, ELSEWHERE, NEVER, SAME

WORD = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,20}", fullmatch=True)


@pytest.mark.parametrize("written", SAME)
def test_every_spelling_of_a_name_is_the_same_model(written: str) -> None:
    assert full_name(written) == SAME[written]


@pytest.mark.parametrize("written", NEVER)
def test_what_no_model_is_called_is_nothing(written: str) -> None:
    assert parse(written) is None


@pytest.mark.parametrize("written", ELSEWHERE)
def test_what_says_that_it_is_in_the_cloud_is_none_of_this_machine(written: str) -> None:
    name = parse(written)
    assert name is not None
    assert name.cloud
    assert full_name(written) is None


@pytest.mark.parametrize("written", ABSENT)
def test_a_name_is_one_whether_or_not_there_is_such_a_model(written: str) -> None:
    assert full_name(written) is not None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("hf.co/ann/red-GGUF:Q4_K_M", "hf.co/ann/red-gguf:q4_k_m"),
        ("localhost:5000/ann/red", "localhost:5000/ann/red:latest"),
        ("https://localhost:5000/ann/red", "localhost:5000/ann/red:latest"),
        ("llama3.2:1b", "llama3.2:1b"),
        ("cloud", "cloud:latest"),
        ("host:80/ann/red-cloud", "host:80/ann/red-cloud:latest"),
    ],
)
def test_a_name_of_another_registry_keeps_it(written: str, meant: str) -> None:
    assert full_name(written) == meant


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("Library/Red", "Library/Red"),
        ("http://localhost:5000/me/red", "http://localhost:5000/me/red"),
        ("Red:local", "Red:latest"),
        (" Me/Red:8B\n", "Me/Red:8B"),
        ("demo://Host/me/Red", "Host/me/Red:latest"),
        ("https:///me/red", "me/red:latest"),
        ("red:8b:cloud", "red:8b-cloud"),
        ("red:cloud", "red:cloud"),
    ],
)
def test_what_some_part_of_ollama_reads_otherwise_is_sent_in_the_spelling_that_all_read_alike(
    written: str, sent: str
) -> None:
    name = parse(written)
    assert name is not None
    assert name.written == sent


def test_a_name_has_so_many_bytes_and_no_more() -> None:
    longest = "https://" + "h" * 350 + "/" + "n" * 80 + "/" + "m" * 80 + ":" + "t" * 80
    assert full_name(longest) is not None
    assert len(longest) <= LONGEST
    assert parse(" " * (LONGEST - 2) + "red") is None


@given(WORD, WORD, WORD)
def test_a_full_name_means_itself_and_case_and_defaults_mean_nothing(namespace: str, model: str, tag: str) -> None:
    full = full_name(f"{namespace}/{model}:{tag}")
    if full is not None:
        assert full_name(full) == full_name(full.upper()) == full
        assert full_name(f"registry.ollama.ai/{namespace}/{model}:{tag}") == full


@given(st.text(alphabet="ab/:.-_@ \tKéCLOUDlocal", max_size=40))
def test_whatever_is_written_it_is_a_name_or_nothing(text: str) -> None:
    name = parse(text)
    if name is not None:
        for again in (parse(name.full), parse(name.written)):
            assert again is not None
            assert (again.full, again.cloud) == (name.full, name.cloud)
        assert name.written.isascii()
        assert name.written.isprintable()
