"""What Ollama's words for a failure mean, and what people are told of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.engines.engine import LoadFault
from controller.engines.ollama.failures import LONGEST, brief, fault_of, runner_died, words_of
from controller.engines.ollama.inside import INSIDES, LLAMA_SERVER, OWN_RUNNER, Inside

ALIKE = [
    (500, "model requires more system memory (48.2 GiB) than is available (31.0 GiB)", LoadFault.MEMORY),
    (500, "insufficient memory - required allocations: …", LoadFault.MEMORY),
    (500, "unable to load full model on GPU", LoadFault.MEMORY),
    (500, "unable to allocate CUDA0 buffer", LoadFault.MEMORY),
    (500, "mlx runner failed: mlx: exception (exit: exit status 1)", LoadFault.CRASH),
    (500, "mlx runner exited unexpectedly: signal: killed", LoadFault.CRASH),
    (500, "failed to start mlx runner: fork/exec: no such file", LoadFault.CRASH),
    (500, "timeout waiting for mlx runner to start", LoadFault.LATE),
    (404, "model 'red' not found", LoadFault.MISSING),
    (400, '"red" does not support generate', LoadFault.OTHER),
    (500, "", LoadFault.OTHER),
]
OLD = [
    (500, "llama runner process has terminated: cudaMalloc failed: out of memory", LoadFault.MEMORY),
    (500, "llama runner process has terminated: error: kIOGPUCommandBufferCallbackErrorOutOfMemory", LoadFault.MEMORY),
    (500, "llama runner process has terminated: signal: killed", LoadFault.CRASH),
    (500, "llama runner process no longer running: 2 error loading model", LoadFault.CRASH),
    (500, "timed out waiting for llama runner to start - progress 0.31 - ", LoadFault.LATE),
]
NEW = [
    (500, "llama-server process has terminated: signal: killed", LoadFault.CRASH),
    (
        500,
        "llama-server process has terminated: exit status 1: error loading model: unknown architecture",
        LoadFault.CRASH,
    ),
    (500, "llama-server process no longer running: -1 ", LoadFault.CRASH),
    (500, "error starting llama-server: fork/exec /opt/lib/ollama/llama-server: exec format error ", LoadFault.CRASH),
    (500, "timed out waiting for llama-server to start - ", LoadFault.LATE),
    (500, "llama-server process has terminated: exit status 1: cudaMalloc failed: out of memory", LoadFault.MEMORY),
    (500, "llama-server reported out-of-memory during startup: …", LoadFault.MEMORY),
    (500, "llama-server process has terminated: vk::Device::allocateMemory: ErrorOutOfDeviceMemory", LoadFault.CRASH),
    (500, "ggml_vulkan: vk_error_out_of_device_memory", LoadFault.MEMORY),
    (500, "model requires 20.1 GB but only 10.2 GB are available (after 512 MB overhead)", LoadFault.MEMORY),
]


@pytest.mark.parametrize(
    ("inside", "status", "words", "fault"),
    [(inside, *each) for inside in INSIDES for each in ALIKE]
    + [(OWN_RUNNER, *each) for each in OLD]
    + [(LLAMA_SERVER, *each) for each in NEW],
)
def test_each_of_its_sentences_is_understood(inside: Inside, status: int, words: str, fault: LoadFault) -> None:
    assert fault_of(status, words, inside) is fault


@pytest.mark.parametrize(
    ("words", "died"),
    [
        ("llama-server process has terminated: signal: killed", True),
        ("model runner has unexpectedly stopped, this may be due to resource limitations", True),
        ("an error was encountered while running the model: unexpected EOF", True),
        ('Post "http://127.0.0.1:41207/tokenize": dial tcp 127.0.0.1:41207: connect: connection refused', True),
        ("do embedding request: Post …: EOF", True),
        ("error reading llama-server response: read tcp: connection reset by peer", True),
        ("mlx runner failed: mlx: exception", True),
        ("This server does not support embeddings. Start it with `--embeddings`", False),
        ("the prompt is longer than the context length currently available to the model", False),
        ("timed out waiting for llama-server to start - ", False),
        ("", False),
    ],
)
def test_only_a_runner_that_did_not_live_to_answer_is_asked_again(words: str, died: bool) -> None:
    assert runner_died(words, LLAMA_SERVER) is died


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"error":"model \'x\' not found"}', "model 'x' not found"),
        (b'{"error":{"message":"no such model","type":"not_found_error"}}', "no such model"),
        (b'{"type":"error","error":{"type":"api_error","message":"it died"}}', "it died"),
        (
            json.dumps({"error": '{"error":{"code":400,"message":"failed to parse grammar","type":"x"}}'}).encode(),
            "failed to parse grammar",
        ),
        (
            json.dumps({"error": '{"error":{"message":"Compute error."}}\nMetal: out of memory'}).encode(),
            "Compute error.\nMetal: out of memory",
        ),
        (json.dumps({"error": "{not JSON"}).encode(), "{not JSON"),
        (json.dumps({"error": '{"status":"x"}'}).encode(), '{"status":"x"}'),
        (json.dumps({"error": "{" + '"a":[' * 20_000}).encode(), "{" + '"a":[' * 20_000),
        (b"404 page not found", ""),
        (b'{"error":7}', ""),
        (b"[]", ""),
        (b"\xff", ""),
        (b"", ""),
    ],
)
def test_an_error_is_found_in_whatever_it_is_wrapped(content: bytes, words: str) -> None:
    assert words_of(content) == words


def test_people_are_told_one_line_and_the_one_about_memory() -> None:
    first = "llama-server process has terminated: exit status 1: error: loading failed"
    last = "ggml_backend_alloc: failed to allocate MTL0 buffer of size 42."
    assert brief(f"{first}\n\nmore\n{last}\nerror: out of memory", LLAMA_SERVER) == f"{first}: {last[:-1]}"
    assert brief(f"{last}\nout of memory", LLAMA_SERVER) == last[:-1]
    assert brief("it died.", LLAMA_SERVER) == "it died"
    assert brief(" \n", LLAMA_SERVER) == ""


@given(st.text(max_size=9000), st.sampled_from(INSIDES))
def test_what_people_are_told_is_short_and_one_line(words: str, inside: Inside) -> None:
    told = brief(words, inside)
    assert len(told) <= LONGEST + len(": ")
    assert len(told.splitlines()) <= 1
