"""What Ollama's words for a failed load mean."""

from __future__ import annotations

import pytest

from controller.residency.failures import Fault, fault_of


@pytest.mark.parametrize(
    ("status", "words", "fault"),
    [
        (500, "model requires more system memory (48.2 GiB) than is available (31.0 GiB)", Fault.MEMORY),
        (500, "llama runner process has terminated: cudaMalloc failed: out of memory", Fault.MEMORY),
        (500, "llama runner process has terminated: error: kIOGPUCommandBufferCallbackErrorOutOfMemory", Fault.MEMORY),
        (500, "insufficient memory - required allocations: …", Fault.MEMORY),
        (500, "unable to load full model on GPU", Fault.MEMORY),
        (500, "unable to allocate CUDA0 buffer", Fault.MEMORY),
        (500, "llama runner process has terminated: signal: killed", Fault.CRASH),
        (500, "llama runner process no longer running: 2 error loading model", Fault.CRASH),
        (404, "model 'red' not found", Fault.MISSING),
        (400, '"red" does not support generate', Fault.OTHER),
        (500, "", Fault.OTHER),
    ],
)
def test_each_of_its_sentences_is_understood(status: int, words: str, fault: Fault) -> None:
    assert fault_of(status, words) is fault
