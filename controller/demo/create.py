"""`seadragon demo`: a tiny real language model, made on the spot, so that the first answer needs no download."""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path

import httpx

from controller.demo.speaker import write_speaker
from controller.engines.ollama.blobs import file_name, remove
from controller.engines.ollama.settings import OLLAMA
from controller.errors import SeadragonError, Unreachable
from controller.plain import size_words

NAME = "demo"
ENGINE = OLLAMA  # the child that makes it
TEXT = (
    "Hello! I am the demo model: tiny, made on your own machine a moment ago, and able to say just this. "
    "That you can read it means that Seadragon and Ollama work. Now give me a clever colleague: "
    "Seadragon's first page says how."
)
TEMPLATE = "{{ if .System }}{{ .System }}\n{{ end }}{{ .Prompt }}\n"
ONE_THREAD = {"num_thread": 1}  # so small a model only loses by threads that wait for one another
INCOMPLETE = (
    "Ollama was installed without its llama-quantize, and makes no model of a file. `seadragon doctor` says how to "
    "make it whole; a model that is pulled needs no llama-quantize."
)
PART = re.compile(r"(?m)^FROM (.*sha256-[0-9a-f]{64})$")  # where Ollama has a file that the model is made of
CREATE_LIMIT = 60.0  # seconds; a model of one megabyte takes a tenth of one


def create(url: str, model: str, files: list[Path], **more: object) -> int:
    """Make `model` out of GGUF `files` in the Ollama at `url`; `more` is what /api/create takes beside them.

    Returns how many bytes of uploads Ollama keeps beside the model, since they could not be removed. Raises Unreachable
    when nobody answers there, and SeadragonError with Ollama's own words when it refuses.
    """
    try:
        with httpx.Client(base_url=url, timeout=CREATE_LIMIT, trust_env=False) as ollama:
            digests = {file.name: _send(ollama, file) for file in files}
            _accepted(ollama.post("/api/create", json={"model": model, "files": digests, "stream": False, **more}))
            shown = ollama.post("/api/show", json={"model": model})
            _accepted(shown)
    except httpx.TransportError as error:
        raise Unreachable(f"Ollama at {url} did not answer: {error}.") from error
    parts = [Path(found) for found in PART.findall(str(shown.json().get("modelfile")))]
    folders = [part.parent.parent for part in parts if part.is_file()]  # else they lie on another machine
    names = {part.name for part in parts}
    uploads = {digest: file.stat().st_size for file in files if file_name(digest := digests[file.name]) not in names}
    return sum(size for digest, size in uploads.items() if not (folders and remove(folders[0], digest)))


def _send(ollama: httpx.Client, file: Path) -> str:
    data = file.read_bytes()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    if ollama.head(f"/api/blobs/{digest}").status_code != httpx.codes.OK:
        _accepted(ollama.post(f"/api/blobs/{digest}", content=data))
    return digest


def _accepted(answer: httpx.Response) -> None:
    if not answer.is_error:
        return
    if "llama-quantize binary not found" in answer.text:  # with every place it looked at, some hundred characters each
        raise SeadragonError(INCOMPLETE)
    raise SeadragonError(f"Ollama refused to make the model ({answer.status_code}): {answer.text.strip()}")


def create_demo(url: str) -> int:
    """Make the demo model in the Ollama at `url` (its own address: through the gateway this needs `manage`).

    Returns how many bytes were left over and could not be removed.
    """
    with tempfile.TemporaryDirectory(prefix="seadragon-demo-") as folder:
        path = Path(folder) / f"{NAME}.gguf"
        write_speaker(path, TEXT, name=NAME)
        return create(url, NAME, [path], template=TEMPLATE, parameters=ONE_THREAD)


def left_words(count: int) -> str:
    """What is left over, and when it goes; nothing where nothing is."""
    if not count:
        return ""
    return (
        f"\nOllama also keeps the file it was made from ({size_words(count)}), which could not be removed. It "
        "goes when that Ollama is started by itself: `ollama serve`.\n"
    )


def invitation(url: str) -> str:
    """How to talk to the demo model through the gateway at `url`."""
    return (
        f"The model '{NAME}' is ready. Talk to it:\n\n"
        f"""  curl {url}/api/chat -d '{{"model":"{NAME}","messages":[{{"role":"user","content":"Hello?"}}]}}'\n"""
        f"  OLLAMA_HOST={url} ollama run {NAME} Hello\n"
    )
