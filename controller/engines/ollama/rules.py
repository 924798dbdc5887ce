"""What must hold of the YAML's part about Ollama: values that fit each other, and the files it names."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Final

from controller.config.checks_listeners import clash
from controller.config.checks_models import apart
from controller.config.mistake import Check, Mistake
from controller.config.problem import shown
from controller.config.schema import Config
from controller.engines.ollama.options import OPTIONS, WORDS, fits
from controller.engines.ollama.settings import USUAL_URL
from controller.files import is_folder, program_fault
from controller.residency.meaning import Meanings
from controller.settings.addresses import Place, place
from controller.spelling import full_name

_AT: Final = ("server", "ollama")

VARIABLES: Final[Mapping[str, str]] = {
    "OLLAMA_HOST": "server.ollama.port (its port is private)",
    "OLLAMA_MODELS": "models.folder",
    "OLLAMA_CONTEXT_LENGTH": "models.context_length",
    "OLLAMA_NUM_PARALLEL": "models.parallel",
    "OLLAMA_MAX_LOADED_MODELS": "models.max_loaded",
    "OLLAMA_MAX_QUEUE": "server.line.whole",
    "OLLAMA_KEEP_ALIVE": "models.keep_alive",
    "OLLAMA_LOAD_TIMEOUT": "models.load_timeout",
    "OLLAMA_FLASH_ATTENTION": "models.flash_attention",
    "OLLAMA_KV_CACHE_TYPE": "models.kv_cache_type",
    "LLAMA_ARG_CACHE_RAM": "models.prompt_cache",
    "LLAMA_ARG_CTX_CHECKPOINTS": "models.prompt_cache",
    "OLLAMA_NO_CLOUD": "models.no_cloud",
    "OLLAMA_NOPRUNE": "nothing: Seadragon sets it for a folder that others use too",
    "OLLAMA_ORIGINS": "access.origins",
    "OLLAMA_DEBUG_LOG_REQUESTS": "nothing: it would write what people ask to disk",
}
"""What Seadragon itself sets for Ollama (or never wants set), and where the operator says it instead."""

_LOUDEST_DEBUG: Final = frozenset({"", "0", "1", "false", "true", "f", "t"})  # from 2 on Ollama logs prompts


def _upstream_known(config: Config) -> Iterator[Mistake]:
    ollama, at = config.server.ollama, (*_AT, "url")
    if ollama.mode == "external" and ollama.url is None:
        yield Mistake(at, "nothing", "http://host:port of the other Ollama", (*_AT, "mode"))
    url = ollama.url or USUAL_URL
    where = place(url.removeprefix("http://"))
    if ollama.mode == "adopt" and not where.loopback:
        yield Mistake(at, url, "an address of this machine; for another machine: mode: external")
    if ollama.mode != "spawn" and (mine := _own(config, where)):
        yield Mistake(at, f"{url}, Seadragon's own {mine}", "the address of an Ollama", (*_AT, "mode"))


def _private_port_free(config: Config) -> Iterator[Mistake]:
    ollama = config.server.ollama
    if ollama.port is not None and (mine := _own(config, Place("127.0.0.1", ollama.port))):
        yield Mistake((*_AT, "port"), str(ollama.port), f"a port that no listener has ({mine} does)")


def _own(config: Config, where: Place) -> str | None:
    return next((each.address for each in config.server.listeners if clash(each.place, where)), None)


def _precision_possible(config: Config) -> Iterator[Mistake]:
    models = config.models
    if models.flash_attention is False and models.kv_cache_type in ("q8_0", "q4_0"):
        yield Mistake(("models", "kv_cache_type"), models.kv_cache_type, "f16, or flash_attention: true")


def _aliases_apart(config: Config) -> Iterator[Mistake]:
    yield from apart("aliases", config.models.aliases)


def _aliases_have_bases(config: Config) -> Iterator[Mistake]:
    bases = {full_name(name): full_name(alias.base) for name, alias in config.models.aliases.items()}
    for name, alias in config.models.aliases.items():
        at = ("models", "aliases", name, "base")
        way = [full_name(name)]
        while (base := bases.get(way[-1])) is not None and base not in way:
            way.append(base)
        if full_name(alias.base) is None:
            yield Mistake(at, shown(alias.base), "the name of a model on this machine, none of the cloud's")
        elif base == way[0]:
            found = f"{alias.base}, which leads back to {name}" if len(way) > 1 else f"{alias.base}, the alias itself"
            yield Mistake(at, found, "a model that is made from something else")


def _alias_options_known(config: Config) -> Iterator[Mistake]:
    for name, alias in config.models.aliases.items():
        for option, value in alias.options.items():
            at = ("models", "aliases", name, "options", option)
            if option not in OPTIONS:
                close = difflib.get_close_matches(option, OPTIONS, n=1)
                meant = f"did you mean {close[0]}? " if close else ""
                yield Mistake(
                    at, f"{shown(option)}, which Ollama does not know", f"{meant}{', '.join(OPTIONS)}", key=True
                )
            elif not fits(option, value):
                yield Mistake(at, shown(value), WORDS[OPTIONS[option]])


def _redirects_apart(config: Config) -> Iterator[Mistake]:
    """A name is an alias or means another model: not both."""
    aliases = {full_name(name): name for name in config.models.aliases}
    for pattern in config.models.redirect:
        if "*" not in pattern and (alias := aliases.get(full_name(pattern))):
            allowed = "a name that is not in models.aliases: that alias could never be asked for"
            yield Mistake(("models", "redirect", pattern), f"{pattern}, which is the alias {alias}", allowed, key=True)


INSIDE: Final[tuple[Check, ...]] = (
    _upstream_known,
    _private_port_free,
    _precision_possible,
    _aliases_apart,
    _aliases_have_bases,
    _alias_options_known,
    _redirects_apart,
)


def _program_runs(config: Config) -> Iterator[Mistake]:
    binary = config.server.ollama.binary
    if binary is not None and (found := program_fault(binary)) is not None:
        yield Mistake((*_AT, "binary"), found, "a program that may be executed; empty: ollama is looked for")


OUTSIDE: Final[tuple[Check, ...]] = (_program_runs,)


def taken(name: str, value: str) -> str | None:
    """Where the operator says it instead of by this variable; None: it may be set."""
    if name == "OLLAMA_DEBUG" and value.lower() not in _LOUDEST_DEBUG:
        return "OLLAMA_DEBUG: 1 (from 2 on it writes what people ask into the log)"
    return VARIABLES.get(name)


def warnings(config: Config) -> Iterator[str]:
    """What is allowed and still worth a word."""
    if config.server.ollama.mode == "spawn" and config.server.ollama.url is not None:
        yield "server.ollama.url has no effect with mode: spawn; it is for adopt and external."
    yield from _aliases_shadowed(config)
    folder = config.models.folder
    if folder is not None and config.server.ollama.mode != "external" and not is_folder(folder):
        yield f"models.folder: no folder at {folder}. Is its disk connected? Ollama waits for it."


def _aliases_shadowed(config: Config) -> Iterator[str]:
    for pattern, target in config.models.redirect.items():
        for alias in config.models.aliases:
            if "*" in pattern and Meanings({pattern: target}).redirects(alias):
                yield f"models.redirect: {pattern} also means the alias {alias}, which is never asked for then."
