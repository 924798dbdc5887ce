"""Tiny real models that speak known words, see a colour, call a tool, think, embed.

`LIBRARY` is what every test finds in a real Ollama. Among it are the names that Ollama's own integration tests ask for,
with words that satisfy them. What is too big for everybody (`SLOW`) is made by the test that needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from controller.demo.create import ONE_THREAD, create
from controller.demo.speaker import write_speaker
from tests.kit import embedder, seer

PLAIN = "{{ if .System }}{{ .System }}\n{{ end }}{{ .Prompt }}\n"
TOOLS = (
    "{{- range $i, $_ := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}{{ .Content }}"
    '{{ if .ToolCalls }}{{ range .ToolCalls }}{"name": "{{ .Function.Name }}", '
    '"parameters": {{ .Function.Arguments }}}{{ end }}{{ end }}\n'
    '{{ if and $last $.Tools (ne .Role "tool") }}{{ "\\t" }}{{ end }}{{ end }}'
)
THINKING = (
    "{{- range .Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}\n"
    '{{ end }}{{ if .Think }}{{ "\\t" }}{{ end }}'
)
ANY_OTHER, TAB = "", "\t"

TOOL_CALL = '{"name": "get_weather", "parameters": {"location": "Paris"}}'
TOOL_ANSWER = "It is sunny in Paris."
THOUGHT, CONCLUSION, UNTHOUGHT = "twelve times fifteen makes 180", "The answer is 180, not Tokyo.", "Tokyo."
TICKS = "tick tock"

# Each of the questions that Ollama's own integration tests ask is content with one of these words.
KNOWS_ALL = (
    "Once upon a sunny day 😀 the sky over Europe was blue: Rayleigh said that nitrogen and oxygen scatter sunlight, "
    "and water droplets make a rainbow. In July came independence, in Austria war, in the soil chemical processes."
)


@dataclass(frozen=True)
class TinyModel:
    """One model of the kit: how its files are written, and what /api/create is told beside them."""

    name: str
    write: Callable[[Path], list[Path]]
    options: Mapping[str, object] = field(default_factory=lambda: {"template": PLAIN, "parameters": ONE_THREAD})

    def create(self, url: str, folder: Path) -> None:
        """Make the model in the Ollama at `url`; `folder` takes its files."""
        create(url, self.name, self.write(folder), **self.options)


def speaker(
    name: str, says: str | Mapping[str, str], template: str = PLAIN, *, loop: bool = False, **shape: int
) -> TinyModel:
    """A model that recites `says` (see `write_speaker`), over and over when told to `loop`."""
    return TinyModel(name, _speaker_file(name, says, loop, **shape), {"template": template, "parameters": ONE_THREAD})


def _speaker_file(
    name: str, says: str | Mapping[str, str], loop: bool = False, **shape: int
) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        path = folder / f"{name.replace(':', '-')}.gguf"
        write_speaker(path, says, name=name, loop=loop, **shape)
        return [path]

    return write


def caller(name: str) -> TinyModel:
    """A model that, given tools, calls `get_weather`; and once it has the tool's answer, speaks."""
    options = {
        "template": TOOLS,
        "license": "Do with it as you like.",
        "parameters": {"temperature": 0.5, **ONE_THREAD},
    }
    return TinyModel(name, _speaker_file(name, {TAB: TOOL_CALL, ANY_OTHER: f"{TOOL_ANSWER} {KNOWS_ALL}"}), options)


def embedding(name: str) -> TinyModel:
    """A model that embeds, and cannot speak."""
    return TinyModel(name, lambda folder: embedder.write(folder / f"{name}.gguf", name), {"parameters": ONE_THREAD})


SEER = TinyModel("seer", seer.write)
SLOW = speaker("slow", KNOWS_ALL, width=1024, feed_forward=8192)  # 100 MB: some tens of tokens a second
LIBRARY = (
    speaker("red", "I am red."),
    speaker("blue", "I am blue."),
    speaker("ticker", TICKS, loop=True, feed_forward=2048),  # some 1,000 tokens a second, for a minute at least
    speaker("thinker", {TAB: f"<think>{THOUGHT}</think> {CONCLUSION}", ANY_OTHER: UNTHOUGHT}, template=THINKING),
    embedding("embedder"),
    SEER,
    caller("caller"),
    caller("llama3.2"),
    embedding("all-minilm"),
    *(
        speaker(name, f"{KNOWS_ALL} So says {name}.")
        for name in ("llama3.2:1b", "qwen3:0.6b", "gemma2:2b", "gemma3:270m", "deepseek-r1:1.5b")
    ),
)
