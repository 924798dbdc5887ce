"""What the YAML says of Ollama: its section in server.yaml, and its part of models.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BeforeValidator, Field

from controller.engines.ollama import options
from controller.settings.impact import AT_ONCE, drains
from controller.settings.section import EngineSection
from controller.settings.units import Bytes, Says, Seconds
from controller.settings.values import DAY, Branch, ModelName, Url, Variables, empty_is_default

OLLAMA: Final = "ollama"
"""Its name as an engine, and among the children."""
USUAL_PORT: Final = 11434
USUAL_URL: Final = f"http://127.0.0.1:{USUAL_PORT}"
"""Where an Ollama that somebody else started usually is."""
_OLLAMA = drains(OLLAMA)


def _typed(value: object) -> object:
    """The YAML brings text: what it means depends on the parameter."""
    given = empty_is_default(value)
    return {name: options.read(name, each) for name, each in given.items()} if isinstance(given, dict) else given


Options = Annotated[
    dict[str, options.Value],
    BeforeValidator(_typed),
    Says("lines of the form parameter: value, such as num_ctx: 16384"),
]


class OllamaSettings(EngineSection):
    """The upstream."""

    title: ClassVar[str] = "Ollama"
    usual_port: ClassVar[int] = USUAL_PORT

    @staticmethod
    def fetching(model: str, url: str | None = None) -> str:
        return f"{'' if url is None else f'OLLAMA_HOST={url} '}ollama pull {model}"

    mode: Annotated[Literal["spawn", "adopt", "external"], _OLLAMA] = Field(
        "spawn",
        description="spawn: ours, started and stopped by us. adopt: use the one already running on this machine, start "
        "ours only if there is none. external: an Ollama elsewhere, only asked how it is.",
    )
    url: Annotated[Url | None, _OLLAMA] = Field(
        None, description="Where it is. external: needed. adopt: empty means http://127.0.0.1:11434."
    )
    binary: Annotated[Path | None, _OLLAMA] = Field(None, description="The ollama program; empty: it is looked for.")
    port: Annotated[int | None, _OLLAMA] = Field(
        None, ge=1024, le=65535, description="Its private port on 127.0.0.1; empty: a free one is picked at start."
    )
    renew: Annotated[Literal["when_idle", "never"], AT_ONCE] = Field(
        "when_idle",
        description="When its program on the disk is another one (an upgrade). when_idle: that one is tried, and takes "
        "over once nothing was asked for a minute. never: you are told.",
    )
    environment: Annotated[Variables, _OLLAMA] = Field(
        {}, repr=False, description="Further environment variables. What Seadragon sets itself is refused here."
    )


class Alias(Branch):
    """A name of yours for a model with options of its own: made as a model of that name in Ollama."""

    base: Annotated[ModelName, AT_ONCE] = Field(description="The model it is made from.")
    options: Annotated[Options, AT_ONCE] = Field(
        {}, description="Ollama's parameters, such as num_ctx, temperature or stop."
    )
    system: Annotated[str | None, AT_ONCE] = Field(None, description="A system prompt of its own.")


class OllamaModels(Branch):
    """What of models.yaml is handed to Ollama."""

    folder: Annotated[Path | None, _OLLAMA] = Field(
        None, description="Where models are stored; empty: OLLAMA_MODELS of the environment, else ~/.ollama/models."
    )
    context_length: Annotated[int, _OLLAMA] = Field(
        8192,
        ge=256,
        le=4_194_304,
        description="Tokens a model sees at once. Never left to Ollama: it takes 262144 on a 64 GB Mac.",
    )
    parallel: Annotated[int, _OLLAMA] = Field(1, ge=1, le=256, description="Answers one model writes at a time.")
    load_timeout: Annotated[Seconds, _OLLAMA] = Field(300, gt=0, le=DAY, description="Longest a load may take.")
    flash_attention: Annotated[bool | None, _OLLAMA] = Field(None, description="Empty: Ollama decides.")
    kv_cache_type: Annotated[Literal["f16", "q8_0", "q4_0"] | None, _OLLAMA] = Field(
        None, description="Precision of the context memory; q8_0 halves it. Needs flash attention."
    )
    prompt_cache: Annotated[Literal["auto"] | Bytes, _OLLAMA] = Field(
        "auto",
        description="Conversations each model in memory keeps in RAM, so as not to read them again; 0: none. auto: "
        "2 GiB, none where there is less than 20 in all. Ollama before 0.30 keeps none, an MLX model up to 8 always.",
    )
    no_cloud: Annotated[bool, _OLLAMA] = Field(True, description="Nothing is ever forwarded to ollama.com.")
    gpu: Annotated[Literal["auto", "required", "any"], AT_ONCE] = Field(
        "auto",
        description="required: nothing is asked of an Ollama that found no GPU. any: it may work on the processor. "
        "auto: required on a Mac with Apple silicon.",
    )
    aliases: Annotated[dict[ModelName, Alias], BeforeValidator(empty_is_default)] = Field(
        {}, description="Names of yours, each a model with options of its own."
    )
