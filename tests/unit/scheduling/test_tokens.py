"""What speeds an answer's own record tells."""

from __future__ import annotations

import pytest

from controller.scheduling.tokens import Tokens


@pytest.mark.parametrize(
    ("answer", "seconds", "rate"),
    [
        (60, 3.0, 20.0),
        (1, 1e-6, None),  # as Ollama 0.32 tells of a single token: a million tokens a second
        (1, 3.0, None),
        (500, 0.049, None),
        (2, 0.05, 40.0),
        (None, 3.0, None),
        (60, None, None),
        (0, 0.0, None),
    ],
)
def test_only_what_took_its_time_tells_how_fast_it_was_written(
    answer: int | None, seconds: float | None, rate: float | None
) -> None:
    assert Tokens(answer=answer, answer_seconds=seconds).written_rate == rate


@pytest.mark.parametrize(
    ("prompt", "seconds", "rate"),
    [(400, 2.0, 200.0), (49, 2.0, None), (9000, 0.03, None), (400, None, None), (None, 2.0, None)],
)
def test_only_a_long_prompt_that_took_its_time_tells_how_fast_prompts_are_read(
    prompt: int | None, seconds: float | None, rate: float | None
) -> None:
    assert Tokens(prompt=prompt, prompt_seconds=seconds).read_rate == rate
