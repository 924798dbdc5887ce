"""The first answer without a download."""

from __future__ import annotations

import shlex
from pathlib import Path

import httpx
import pytest

from controller.demo import create
from controller.errors import SeadragonError, Unreachable
from controller.supervision.ports import free_port
from tests.kit.real import RealOllama


def test_the_demo_model_is_made_and_answers(real_ollama: RealOllama) -> None:
    create.create_demo(real_ollama.url)
    create.create_demo(real_ollama.url)  # again does no harm
    body = {"model": create.NAME, "messages": [{"role": "user", "content": "Hello?"}], "stream": False}
    with real_ollama.client() as client:
        answer = client.post("/api/chat", json=body).json()
        client.request("DELETE", "/api/delete", json={"model": create.NAME}).raise_for_status()
    assert answer["message"]["content"] == create.TEXT


def test_what_the_invitation_says_is_what_works(real_ollama: RealOllama) -> None:
    curl = next(line for line in create.invitation(real_ollama.url).splitlines() if "curl" in line)
    _, url, flag, body = shlex.split(curl)
    assert flag == "-d"
    create.create_demo(real_ollama.url)
    with real_ollama.client() as client:
        assert client.post(url, content=body).status_code == httpx.codes.OK
        client.request("DELETE", "/api/delete", json={"model": create.NAME}).raise_for_status()


def test_nobody_there_is_told() -> None:
    with pytest.raises(Unreachable, match="did not answer"):
        create.create_demo(f"http://127.0.0.1:{free_port()}")


def test_a_refusal_is_told_in_ollamas_own_words(real_ollama: RealOllama, tmp_path: Path) -> None:
    (tmp_path / "no.gguf").write_bytes(b"not a model")
    with pytest.raises(SeadragonError, match="Ollama refused to make the model"):
        create.create(real_ollama.url, "no", [tmp_path / "no.gguf"])
