"""What Seadragon knows of Ollama's inside, one table for each range of its versions. Pure.

Up to 0.29 a model runs in a process of Ollama's own program (`ollama runner`); since 0.30 in llama.cpp's
`llama-server`, or in Ollama's own runner for MLX. Words, options and sizes changed with it. Read in Ollama's code
(llm/, server/sched.go, api/types.go, x/mlxrunner/). Whatever differs between two versions stands here, and nowhere
else; what a client sees of a difference passes as it comes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePath
from typing import Final

from controller.engines.engine import FixedAtLoad

Version = tuple[int, ...]

_MODEL: Final = "--model"
_NUMBERS: Final = re.compile(r"\d+(?:\.\d+)+")
_BLOB: Final = "sha256-"
_BY_NAME: Final = frozenset(("--mlx-engine", "--imagegen-engine"))
MIB: Final = 2**20


class RunnerKind(StrEnum):
    """What holds a model."""

    RUNNER = "ollama runner"
    LLAMA_SERVER = "llama-server"
    MLX = "ollama runner --mlx-engine"


@dataclass(frozen=True, slots=True)
class Inside:
    """Of one range of versions. Words are in lower case, and looked for anywhere in what Ollama says."""

    first: Version  # the range begins here …
    tried: Version  # … and this is the newest of it that was tried; patches of one version behave alike
    kind: RunnerKind  # what holds a GGUF model

    crashed: tuple[str, ...]  # the runner's process has ended, could not be begun, or is not to be reached
    late: tuple[str, ...]  # a load stood still for as long as OLLAMA_LOAD_TIMEOUT lets it
    memory: tuple[str, ...]  # there was not enough

    fixed: Mapping[str, str | None]
    """The options that are fixed when a model is loaded, and what each is when nobody asks for it: another value loads
    the model anew. None: whatever is asked for differs from that.
    """
    fixed_members: frozenset[str]  # members of a native request beside its options that load the model anew
    single: frozenset[str]  # families that are given one slot, whatever OLLAMA_NUM_PARALLEL says
    chats_embed: bool  # a model made for chats gives embeddings, too
    programs: tuple[str, ...] = ()
    """llama.cpp's, which lie beside Ollama's own: what runs every GGUF model, and what is asked about each file that
    one is made from.
    """
    gone: frozenset[str] = field(default_factory=frozenset)  # variables of earlier versions that mean nothing any more

    batches: tuple[tuple[int, int], ...] = ((0, 512),)
    """Tokens that are read at a time unless the model says so itself, by more than how many tokens of context in all
    slots together.
    """
    embedding_batch: int = 512  # the same, of models for embeddings
    surcharges: tuple[tuple[int, int], ...] = ()
    """By how large a batch, asked for by the model, how many bytes are thought to be needed beside weights and context.
    """
    predicts: bool = False  # with a GPU, it makes others leave for what it predicts would take too much of what is free
    mask: int = 6  # bytes for each token of context and each of a batch, where attention is computed in pieces
    untold: int = 0  # bytes of a runner that /api/ps does not count
    always_flash: bool = False  # attention is computed in pieces unless that is switched off, whatever the family
    state_copies: int = 24  # earlier states that some recurrent models keep for each slot, beside the context …
    checkpoints: int = 0  # … and those that any model keeps in RAM whose context forgets, unless it is told otherwise
    prompt_cache: int = 0  # bytes of conversations that each runner keeps in RAM, at most, unless it is told otherwise
    mlx_cache: int = 8192 * MIB  # the same of the MLX runner, beside the model: it cannot be told otherwise

    @property
    def at_load(self) -> FixedAtLoad:
        """What no request may carry."""
        return FixedAtLoad(self.fixed, self.fixed_members)

    def batch(self, tokens: int) -> int:
        """Tokens read at a time, with `tokens` of context in all slots together; Ollama takes less in a tight place."""
        return max(batch for more_than, batch in self.batches if tokens > more_than or not more_than)

    def surcharge(self, batch: int) -> int:
        """Bytes that Ollama thinks a batch needs, when a model asks for one of that size."""
        return max((more for least, more in self.surcharges if batch >= least), default=0)


_MEMORY: Final = (
    "more system memory",
    "out of memory",
    "out-of-memory",
    "outofmemory",
    "out of device memory",
    "out_of_device_memory",
    "insufficient memory",
    "not enough memory",
    "malloc failed",
    "unable to load full model",
    "failed to allocate",
    "unable to allocate",
    "cannot allocate",
    "allocation failed",
)
_CRASHED: Final = (
    "model runner has unexpectedly stopped",
    "an error was encountered while running the model",
    "do embedding request",
    'post "http://127.0.0.1:',  # Go's words when the runner's own port does not answer
    "mlx runner failed",
    "mlx runner exited",
    "failed to start mlx runner",
)
_RECURRENT: Final = frozenset(
    ("nemotron_h", "nemotron_h_moe", "nemotron_h_omni", "qwen35", "qwen35moe", "qwen3next", "lfm2", "lfm2moe")
)
_SINGLE: Final = _RECURRENT | {"mllama", "qwen3vl", "qwen3vlmoe"}

OWN_RUNNER: Final = Inside(
    first=(0, 24),
    tried=(0, 24),
    kind=RunnerKind.RUNNER,
    crashed=(
        "llama runner process has terminated",
        "llama runner process no longer running",
        "error starting runner",
        *_CRASHED,
    ),
    late=("timed out waiting for llama runner to start -", "timeout waiting for mlx runner"),
    memory=_MEMORY,
    fixed={
        "num_ctx": "0",
        "num_batch": "512",
        "num_gpu": "-1",
        "main_gpu": "0",
        "use_mmap": None,
        "num_thread": "0",
    },
    fixed_members=frozenset(),
    single=_SINGLE,
    chats_embed=True,
)
LLAMA_SERVER: Final = Inside(
    first=(0, 30),
    tried=(0, 32),
    kind=RunnerKind.LLAMA_SERVER,
    crashed=(
        "llama-server process has terminated",
        "llama-server process no longer running",
        "llama-server startup failed",
        "error starting llama-server",
        "error reading llama-server",
        "llama-server error:",
        "health resp:",
        "server not responding",
        "connection refused",
        *_CRASHED,
    ),
    late=("timed out waiting for llama-server to start -", "timeout waiting for mlx runner"),
    memory=(*_MEMORY, "are available (after"),  # the MLX runner's: "model requires X but only Y are available (after …"
    fixed={
        "num_ctx": "0",
        "num_batch": None,
        "num_gpu": "-1",
        "main_gpu": None,
        "use_mmap": None,
        "num_thread": "0",
        "draft_num_predict": None,  # 4, or 0 without a draft model
    },
    fixed_members=frozenset(("shift",)),
    single=_SINGLE,
    chats_embed=False,
    programs=("llama-server", "llama-quantize"),
    gone=frozenset(("OLLAMA_MULTIUSER_CACHE", "OLLAMA_NEW_ENGINE")),
    batches=((0, 512), (4096, 1024), (32768, 2048)),
    embedding_batch=2048,
    surcharges=((1024, 768 * MIB), (2048, 2048 * MIB)),
    predicts=True,
    mask=2,
    untold=16 * MIB,
    always_flash=True,
    state_copies=0,
    checkpoints=32,
    prompt_cache=8192 * MIB,
)
INSIDES: Final[Sequence[Inside]] = (OWN_RUNNER, LLAMA_SERVER)
NEWEST: Final = INSIDES[-1]


def numbers_of(version: str) -> Version | None:
    """`0.32.0` and `0.33.0-rc2` as numbers. None for what names no version: a build of one's own says 0.0.0."""
    found = _NUMBERS.match(version.strip().removeprefix("v"))
    numbers = tuple(map(int, found[0].split("."))) if found else ()
    return numbers if any(numbers) else None


def inside_of(version: str, seen: Collection[RunnerKind] = ()) -> Inside:
    """The table for what /api/version said, or for what was `seen` to hold models where that is no version. In doubt
    the newest: an unknown Ollama is most probably a later one.
    """
    numbers = numbers_of(version)
    if numbers is None:
        return OWN_RUNNER if RunnerKind.RUNNER in seen else NEWEST
    return next((each for each in reversed(INSIDES) if numbers[:2] >= each.first), INSIDES[0])


def strange(version: str) -> str | None:
    """A sentence for an Ollama that no table was tried with; None for one that is known."""
    numbers = numbers_of(version)
    if numbers is None:
        return f"This Ollama does not say which version it is ({version or 'nothing'}): it is taken for a recent one."
    oldest, newest = INSIDES[0].first, NEWEST.tried
    if numbers[:2] > newest:
        return f"Ollama {version} is newer than {_dotted(newest)}, the newest that this Seadragon was tried with."
    if numbers[:2] < oldest:
        return f"Ollama {version} is older than {_dotted(oldest)}, the oldest that this Seadragon was tried with."
    return None


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds, as it was told at its start."""

    kind: RunnerKind
    model: str  # the file name of the weights; of a model that has no one file, its name as Ollama writes it
    port: int | None = None  # where it answers Ollama, on this machine


def held_by(argv: Sequence[str]) -> Held | None:
    """What a process of Ollama's holds, by what it was started with; None when it holds no model:

    `ollama runner [--ollama-engine] --model <blob> --port N`, `…/llama-server --model <blob> --port N …`, or `ollama
    runner --mlx-engine --model ann/red:8b --port N`.
    """
    flags = dict(zip(argv, argv[1:], strict=False))
    model = flags.get(_MODEL)
    kind = _kind(argv)
    if model is None or kind is None:
        return None
    port = flags.get("--port", "")
    name = PurePath(model).name
    return Held(kind, name if name.startswith(_BLOB) else model, int(port) if port.isdecimal() else None)


def file_in_place(argv: Sequence[str]) -> str | None:
    """The path of the weights, if a process with these arguments maps them, and no copy is made (llama.cpp's default,
    which Ollama leaves to it where the GPU's memory is the machine's own). None for any other.
    """
    flags = dict(zip(argv, argv[1:], strict=False))
    copies = "--no-mmap" in argv or flags.get("--load-mode", "mmap") != "mmap"
    return None if copies or _kind(argv) is not RunnerKind.LLAMA_SERVER else flags.get(_MODEL)


def _kind(argv: Sequence[str]) -> RunnerKind | None:
    if argv and PurePath(argv[0]).name == "llama-server":
        return RunnerKind.LLAMA_SERVER
    if "runner" not in argv:
        return None
    return RunnerKind.MLX if _BY_NAME.intersection(argv) else RunnerKind.RUNNER


class KnownInside:
    """Which Ollama answers, or did last: told by its supervisor before it is said to be ready."""

    def __init__(self) -> None:
        self.now = NEWEST
        self.changed: list[Callable[[], None]] = []  # called after it has become another

    def learn(self, inside: Inside) -> None:
        """It is this one."""
        if inside is not self.now:
            self.now = inside
            for tell in self.changed:
                tell()
