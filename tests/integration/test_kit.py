"""The tiny models do what they say, in a real Ollama."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from tests.kit import conformance, models, pictures, seer
from tests.kit.models import LIBRARY
from tests.kit.real import RealOllama

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place",
        "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
    },
}


def chat(ollama: RealOllama, model: str, content: str = "Hello?", **more: Any) -> Any:
    """The whole answer to one message, or to `messages`."""
    body = {"model": model, "messages": [{"role": "user", "content": content}], "stream": False} | more
    with ollama.client() as client:
        answer = client.post("/api/chat", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def dot(one: list[float], other: list[float]) -> float:
    """How alike two embeddings are: 1 is the same direction."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_the_library_is_there_under_its_names(real_ollama: RealOllama) -> None:
    with real_ollama.client() as client:
        names = {model["name"] for model in client.get("/api/tags").json()["models"]}
    assert {model.name if ":" in model.name else f"{model.name}:latest" for model in LIBRARY} == names


@pytest.mark.parametrize("colour", ["red", "blue"])
def test_a_speaker_says_who_it_is_under_any_sampling(real_ollama: RealOllama, colour: str) -> None:
    for temperature in (0, 2):
        answer = chat(real_ollama, colour, options={"temperature": temperature})
        assert answer["message"]["content"] == f"I am {colour}."
        assert answer["done_reason"] == "stop"


def test_every_speaker_of_the_library_says_its_words_whole(real_ollama: RealOllama) -> None:
    for name in ("llama3.2:1b", "qwen3:0.6b", "gemma2:2b", "gemma3:270m", "deepseek-r1:1.5b"):
        assert chat(real_ollama, name)["message"]["content"] == f"{models.KNOWS_ALL} So says {name}."


def test_the_ticker_goes_on_until_it_is_told_to_stop(real_ollama: RealOllama) -> None:
    answer = chat(real_ollama, "ticker", options={"num_predict": 500})
    assert answer["done_reason"] == "length"
    assert re.fullmatch("(tick tock ?)+", answer["message"]["content"])


@pytest.mark.parametrize(("colour", "rgb"), [("red", pictures.RED), ("green", pictures.GREEN), ("blue", pictures.BLUE)])
def test_the_seer_sees_a_colour(real_ollama: RealOllama, colour: str, rgb: tuple[int, int, int]) -> None:
    picture = base64.b64encode(pictures.png(rgb)).decode()
    message = {"role": "user", "content": "What do you see? " + "Look well! " * 100, "images": [picture]}
    assert chat(real_ollama, "seer", messages=[message])["message"]["content"] == seer.says(colour)


def test_the_seer_sees_nothing_where_there_is_no_picture(real_ollama: RealOllama) -> None:
    assert chat(real_ollama, "seer")["message"]["content"] == seer.says(seer.NOTHING)


def test_the_caller_calls_a_tool_and_uses_its_answer(real_ollama: RealOllama) -> None:
    asked = {"role": "user", "content": "What is the weather in Paris?"}
    call = chat(real_ollama, "caller", messages=[asked], tools=[WEATHER])["message"]
    assert [(c["function"]["name"], c["function"]["arguments"]) for c in call["tool_calls"]] == [
        ("get_weather", {"location": "Paris"})
    ]
    told = {"role": "tool", "tool_name": "get_weather", "content": "sunny"}
    answer = chat(real_ollama, "caller", messages=[asked, call, told], tools=[WEATHER])["message"]
    assert answer["content"].startswith(models.TOOL_ANSWER)
    assert "tool_calls" not in answer


def test_the_thinker_thinks_unless_it_is_told_not_to(real_ollama: RealOllama) -> None:
    for asked in ({"think": True}, {}):
        thought = chat(real_ollama, "thinker", "12 * 15?", **asked)["message"]
        assert (thought["thinking"].strip(), thought["content"].strip()) == (models.THOUGHT, models.CONCLUSION)
    plain = chat(real_ollama, "thinker", "Capital of Japan?", think=False)["message"]
    assert plain["content"] == models.UNTHOUGHT
    assert "thinking" not in plain


@pytest.mark.parametrize("model", ["embedder", "all-minilm"])
def test_the_embedder_embeds_like_texts_alike(real_ollama: RealOllama, model: str) -> None:
    texts = ["the cat sat", "the cat sits", "0123456789"]
    with real_ollama.client() as client:
        cat, cats, digits = client.post("/api/embed", json={"model": model, "input": texts}).json()["embeddings"]
    assert dot(cat, cat) == pytest.approx(1, abs=1e-3)
    assert dot(cat, cats) > dot(cat, digits)


def test_the_models_can_what_ollama_says_they_can(real_ollama: RealOllama) -> None:
    expected = {
        "red": {"completion"},
        "seer": {"completion", "vision"},
        "caller": {"completion", "tools"},
        "thinker": {"completion", "thinking"},
        "embedder": {"embedding"},
    }
    with real_ollama.client() as client:
        for name, capabilities in expected.items():
            assert set(client.post("/api/show", json={"model": name}).json()["capabilities"]) == capabilities


def test_a_stream_comes_word_by_word(real_ollama: RealOllama) -> None:
    body = {"model": "red", "messages": [{"role": "user", "content": "?"}]}
    with real_ollama.client() as client, client.stream("POST", "/api/chat", json=body) as answer:
        words = [json.loads(line)["message"]["content"] for line in answer.iter_lines()]
    assert [word for word in words if word] == ["I", " am", " red."]


def test_the_library_satisfies_ollamas_own_tests(real_ollama: RealOllama) -> None:
    verdicts, output = conformance.run(real_ollama.url, conformance.TESTS)
    assert verdicts == dict.fromkeys(conformance.TESTS, "PASS"), output[-4000:]


@pytest.mark.parametrize(("model", "names"), conformance.TESTS_OF.items())
def test_one_model_satisfies_the_tests_of_what_it_can(
    real_ollama: RealOllama, model: str, names: tuple[str, ...]
) -> None:
    verdicts, output = conformance.run(real_ollama.url, names, model)
    assert verdicts == dict.fromkeys(names, "PASS"), output[-4000:]
