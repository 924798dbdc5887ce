"""The first answer without a download."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import httpx
import pytest

from controller.demo import create
from controller.engines.ollama.blobs import file_name, left_over, manifests, remove
from controller.engines.ollama.inside import inside_of
from controller.errors import SeadragonError, Unreachable
from tests.kit import real
from tests.kit.ports import free_port
from tests.kit.real import RealOllama


def test_the_demo_model_is_made_and_answers(real_ollama: RealOllama) -> None:
    create.create_demo(real_ollama.url)
    create.create_demo(real_ollama.url)  # again does no harm
    body = {"model": create.NAME, "messages": [{"role": "user", "content": "Hello?"}], "stream": False}
    with real_ollama.client() as client:
        answer = client.post("/api/chat", json=body).json()
        client.request("DELETE", "/api/delete", json={"model": create.NAME}).raise_for_status()
    assert answer["message"]["content"] == create.TEXT


def blobs(models: Path) -> set[str]:
    return {each.name for each in (models / "blobs").iterdir()}


def test_nothing_is_left_over_of_the_file_it_was_made_from(tmp_path: Path) -> None:
    """Since 0.30 Ollama makes a copy of its own, and the upload would stay."""
    with real.serve(tmp_path / "home", tmp_path / "models") as ollama:
        for _ in range(2):
            assert create.create_demo(ollama.url) == 0
            (path, manifest) = next(iter(manifests(ollama.models)))
            assert path.name == "latest"
            parts = {each["digest"].replace(":", "-") for each in (*manifest["layers"], manifest["config"])}
            assert blobs(ollama.models) == parts
        body = {"model": create.NAME, "prompt": "Hello?", "stream": False}
        with ollama.client() as client:
            assert client.post("/api/generate", json=body).json()["response"] == create.TEXT


def test_what_another_model_has_is_not_removed(tmp_path: Path) -> None:
    with real.serve(tmp_path / "home", tmp_path / "models") as ollama:
        create.create_demo(ollama.url)
        there = blobs(ollama.models)
        for name in there:
            assert remove(ollama.models, name.replace("-", ":", 1))
        assert blobs(ollama.models) == there


@pytest.mark.skipif(not inside_of(real.version()).programs, reason="this Ollama makes no copy")
def test_what_cannot_be_removed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(create, "remove", lambda folder, digest: False)
    with real.serve(tmp_path / "home", tmp_path / "models") as ollama:
        left = create.create_demo(ollama.url)
    assert left > 10**6
    assert "also keeps the file it was made from (1.0 MB)" in create.left_words(left)
    assert create.left_words(0) == ""


def test_a_folder_whose_manifests_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    digest = "sha256:" + "a" * 64
    (tmp_path / "blobs").mkdir()
    (tmp_path / "manifests").mkdir()
    part = tmp_path / "blobs" / file_name(digest)
    part.write_bytes(b"x")
    os.utime(part, (0, 0))
    broken = tmp_path / "manifests" / "broken"
    broken.write_text("{")
    assert not remove(tmp_path, digest)
    assert left_over(tmp_path) == ()
    broken.unlink()
    assert left_over(tmp_path) == [part]
    assert remove(tmp_path, digest)
    assert not part.exists()


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
