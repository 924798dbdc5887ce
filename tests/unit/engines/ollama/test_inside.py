"""Which table an Ollama is known by, and what its processes hold."""

from __future__ import annotations

import pytest

from controller.engines.ollama.inside import (
    INSIDES,
    LLAMA_SERVER,
    NEWEST,
    OWN_RUNNER,
    Held,
    Inside,
    RunnerKind,
    held_by,
    inside_of,
    numbers_of,
    strange,
)

BLOB = "sha256-" + "a" * 64
BLOBS = f"/Users/ann/.ollama/models/blobs/{BLOB}"


@pytest.mark.parametrize(
    ("version", "inside"),
    [
        ("0.24.0", OWN_RUNNER),
        ("0.29.1", OWN_RUNNER),
        ("0.30.0", LLAMA_SERVER),
        ("0.30.0-rc3", LLAMA_SERVER),
        ("0.32.15", LLAMA_SERVER),
        ("v0.32.0", LLAMA_SERVER),
        ("0.12.3", OWN_RUNNER),  # older than any we know
        ("0.99.0", NEWEST),  # newer
        ("1.0.0", NEWEST),
        ("0.0.0", NEWEST),  # somebody's own build
        ("", NEWEST),
        ("nightly", NEWEST),
    ],
)
def test_a_version_has_the_table_of_its_range(version: str, inside: Inside) -> None:
    assert inside_of(version) is inside


def test_one_that_names_no_version_is_known_by_what_holds_its_models() -> None:
    assert inside_of("0.0.0", {RunnerKind.RUNNER}) is OWN_RUNNER
    assert inside_of("0.0.0", {RunnerKind.LLAMA_SERVER}) is LLAMA_SERVER
    assert inside_of("0.0.0", {RunnerKind.MLX}) is NEWEST
    assert inside_of("0.32.0", {RunnerKind.RUNNER}) is LLAMA_SERVER  # it says so itself


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("0.24.0", None),
        ("0.31.2", None),
        ("0.32.99", None),
        ("0.33.1", "Ollama 0.33.1 is newer than 0.32, the newest that this Seadragon was tried with."),
        ("1.0", "Ollama 1.0 is newer than 0.32, the newest that this Seadragon was tried with."),
        ("0.17.1", "Ollama 0.17.1 is older than 0.24, the oldest that this Seadragon was tried with."),
        ("0.0.0", "This Ollama does not say which version it is (0.0.0): it is taken for a recent one."),
    ],
)
def test_a_version_nobody_tried_is_told(version: str, words: str | None) -> None:
    assert strange(version) == words


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0.32.0", (0, 32, 0)), ("0.33.0-rc2", (0, 33, 0)), ("1.2", (1, 2)), ("0.0.0", None), ("x1.2", None)],
)
def test_numbers_of_a_version(text: str, numbers: tuple[int, ...] | None) -> None:
    assert numbers_of(text) == numbers


def test_ranges_follow_one_another_and_words_are_looked_for_in_lower_case() -> None:
    assert [each.first for each in INSIDES] == sorted(each.first for each in INSIDES)
    for each in INSIDES:
        assert each.first <= each.tried
        for word in (*each.crashed, *each.late, *each.memory):
            assert word == word.lower()


@pytest.mark.parametrize(
    ("argv", "held"),
    [
        (  # 0.24.0, Linux
            ["/opt/ollama", "runner", "--model", BLOBS, "--port", "41927"],
            Held(RunnerKind.RUNNER, BLOB, 41927),
        ),
        (  # 0.24.0, its own engine
            ["/opt/ollama", "runner", "--ollama-engine", "--model", BLOBS, "--port", "41927"],
            Held(RunnerKind.RUNNER, BLOB, 41927),
        ),
        (  # 0.32.0, Linux
            f"/opt/lib/ollama/llama-server --model {BLOBS} --port 40123 --host 127.0.0.1 --no-webui --offline -c 4096 "
            "-np 1 --log-verbosity 4 --no-log-prefix --no-log-timestamps --no-jinja --chat-template chatml --no-mmap "
            "--flash-attn auto -b 512 -ub 512 --context-shift --keep 4".split(),
            Held(RunnerKind.LLAMA_SERVER, BLOB, 40123),
        ),
        (  # a user's model on Apple silicon: its name has a slash
            ["/opt/homebrew/bin/ollama", "runner", "--mlx-engine", "--model", "ann/red:8b", "--port", "50001"],
            Held(RunnerKind.MLX, "ann/red:8b", 50001),
        ),
        (
            ["/opt/ollama", "runner", "--imagegen-engine", "--model", "flux:latest", "--port", "50001"],
            Held(RunnerKind.MLX, "flux:latest", 50001),
        ),
        (["/opt/lib/ollama/llama-server", "--list-devices"], None),  # it looks for GPUs, and holds nothing
        (["/opt/ollama", "runner", "--ollama-engine", "--port", "41927"], None),
        (["/opt/ollama", "serve"], None),
        (["/usr/bin/editor", "--model", BLOBS], None),
        (["llama-server", "--model"], None),
        ([], None),
    ],
)
def test_a_process_says_by_its_start_what_it_holds(argv: list[str], held: Held | None) -> None:
    assert held_by(argv) == held


@pytest.mark.parametrize(("tokens", "batch"), [(0, 512), (4096, 512), (4097, 1024), (32768, 1024), (32769, 2048)])
def test_more_context_is_read_in_larger_batches(tokens: int, batch: int) -> None:
    assert LLAMA_SERVER.batch(tokens) == batch
    assert OWN_RUNNER.batch(tokens) == 512
