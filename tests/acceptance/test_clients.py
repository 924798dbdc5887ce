"""Real clients, unmodified: the libraries, the `ollama` command, and Ollama's own integration tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import anthropic
import ollama
import openai
import pytest

from tests.kit import real
from tests.kit.house import House, fake_house
from tests.kit.models import TOOL_ANSWER


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A Seadragon that runs a real Ollama of its own on the kit's models."""
    folder = tmp_path_factory.mktemp("clients")
    with fake_house(folder) as house:
        house.configure(ollama={"binary": str(real.program())})
        house.write("models", {"folder": str(real.copy_library(folder / "models"))})
        yield house.up().until_ready()


@pytest.fixture(scope="module")
def managed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The same, where this computer may manage models."""
    folder = tmp_path_factory.mktemp("managed")
    with fake_house(folder) as house:
        house.configure(ollama={"binary": str(real.program())})
        house.write("models", {"folder": str(real.copy_library(folder / "models"))})
        house.write("access", {"allow": [{"label": "me", "addresses": ["127.0.0.1"], "manage": True}]})
        yield house.up().until_ready()


def test_ollama_python_speaks_streams_lists_and_embeds(gateway: House) -> None:
    with ollama.Client(host=gateway.url) as client:
        said = client.chat("red", messages=[{"role": "user", "content": "hi"}])
        assert said.message.content is not None
        assert said.message.content.strip() == "I am red."
        parts = [part.response or "" for part in client.generate("blue", "hi", stream=True)]
        assert "".join(parts).strip() == "I am blue."
        assert len(parts) > 2
        assert "red:latest" in {model.model for model in client.list().models}
        assert client.show("red").details is not None
        assert len(client.embed("embedder", ["a", "b"]).embeddings) == 2
        with pytest.raises(ollama.ResponseError, match="not found"):
            client.chat("nobody", messages=[{"role": "user", "content": "hi"}])


def test_openai_speaks_streams_calls_tools_and_embeds(gateway: House) -> None:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="not-needed", max_retries=0) as client:
        said = client.chat.completions.create(model="red", messages=[{"role": "user", "content": "hi"}])
        assert (said.choices[0].message.content or "").strip() == "I am red."
        talk = client.chat.completions.create(model="blue", messages=[{"role": "user", "content": "hi"}], stream=True)
        with talk as stream:
            said_so_far = "".join(part.choices[0].delta.content or "" for part in stream if part.choices)
        assert said_so_far.strip() == "I am blue."
        assert client.responses.create(model="red", input="hi").output_text.strip() == "I am red."
        assert len(client.embeddings.create(model="embedder", input="a").data[0].embedding) > 10
        assert "red" in {model.id.removesuffix(":latest") for model in client.models.list()}
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="nobody", messages=[{"role": "user", "content": "hi"}])


def test_anthropic_speaks_and_streams(gateway: House) -> None:
    with anthropic.Anthropic(base_url=gateway.url, api_key="not-needed", max_retries=0) as client:
        said = client.messages.create(model="red", max_tokens=50, messages=[{"role": "user", "content": "hi"}])
        assert said.content[0].type == "text"
        assert said.content[0].text.strip() == "I am red."
        with client.messages.stream(
            model="blue", max_tokens=50, messages=[{"role": "user", "content": "hi"}]
        ) as stream:
            assert "".join(stream.text_stream).strip() == "I am blue."
        counted = client.messages.count_tokens(model="red", messages=[{"role": "user", "content": "hello there"}])
        assert counted.input_tokens > 0


def command(house: House, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The real `ollama` command, pointed at the gateway."""
    environment = {**os.environ, "OLLAMA_HOST": house.url, "HOME": str(house.folder)}
    return subprocess.run(
        [str(real.program()), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
        stdin=subprocess.DEVNULL,
        cwd=folder,
    )


def test_the_ollama_command_lists_shows_runs_and_tells_what_is_loaded(gateway: House) -> None:
    assert "red:latest" in command(gateway, "list").stdout
    assert "llama" in command(gateway, "show", "red").stdout
    assert "I am red." in command(gateway, "run", "red", "hi").stdout
    assert "red" in command(gateway, "ps").stdout


@pytest.mark.parametrize("arguments", [("cp", "red", "copied"), ("rm", "red"), ("stop", "red"), ("pull", "red")])
def test_the_ollama_command_may_not_manage_and_is_told_why(gateway: House, arguments: tuple[str, ...]) -> None:
    command(gateway, "run", "red", "hi")
    done = command(gateway, *arguments)
    assert done.returncode != 0
    assert "manage" in done.stderr + done.stdout
    assert "access.yaml" in done.stderr + done.stdout
    assert "red:latest" in command(gateway, "list").stdout


def test_the_ollama_command_manages_where_it_may(managed: House, tmp_path: Path) -> None:
    assert command(managed, "cp", "red", "crimson").returncode == 0
    (tmp_path / "Modelfile").write_text("FROM blue\nSYSTEM You are navy.\n")
    made = command(managed, "create", "navy", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    listed = command(managed, "list").stdout
    assert "crimson" in listed
    assert "navy" in listed
    assert "I am blue." in command(managed, "run", "navy", "hi").stdout
    assert "navy" in command(managed, "ps").stdout
    assert command(managed, "stop", "navy").returncode == 0
    assert command(managed, "rm", "navy", "crimson").returncode == 0
    assert "navy" not in command(managed, "list").stdout


def test_a_tool_is_called_and_its_answer_heard(gateway: House) -> None:
    with ollama.Client(host=gateway.url) as client:
        weather = {
            "type": "function",
            "function": {"name": "get_weather", "description": "-", "parameters": {"type": "object", "properties": {}}},
        }
        talk: list[dict[str, object]] = [{"role": "user", "content": "weather in Paris?"}]
        first = client.chat("caller", messages=talk, tools=[weather])
        assert first.message.tool_calls
        assert first.message.tool_calls[0].function.name == "get_weather"
        talk += [first.message.model_dump(), {"role": "tool", "content": "sunny", "tool_name": "get_weather"}]
        second = client.chat("caller", messages=talk, tools=[weather])
        assert TOOL_ANSWER.split()[0] in (second.message.content or "")
