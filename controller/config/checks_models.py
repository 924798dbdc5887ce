"""What must fit each other among the settings of models, memory and the line."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Final

from controller.config.finding import Check, Finding
from controller.config.problem import shown
from controller.config.schema import Config
from controller.engines.ollama.options import OPTIONS, WORDS, fits
from controller.residency.meaning import Meanings
from controller.spelling import full_name


def _precision_possible(config: Config) -> Iterator[Finding]:
    models = config.models
    if models.flash_attention is False and models.kv_cache_type in ("q8_0", "q4_0"):
        yield Finding(("models", "kv_cache_type"), models.kv_cache_type, "f16, or flash_attention: true")


def _budget_of_something(config: Config) -> Iterator[Finding]:
    if config.server.memory.budget == 0:
        yield Finding(("server", "memory", "budget"), "0", "auto, or a size above 0: no model could ever be loaded")


def _models_apart(config: Config) -> Iterator[Finding]:
    """Two spellings of one name would be two settings of one model."""
    for block, names in (("models", config.models.models), ("aliases", config.models.aliases)):
        seen: dict[str, str] = {}
        for name in names:
            full, at = full_name(name), ("models", block, name)
            if full is None:
                yield Finding(at, shown(name), "the name of a model on this machine, none of the cloud's", key=True)
            elif full in seen:
                yield Finding(at, f"{name}, which is {seen[full]} in another spelling", "each model once", key=True)
            else:
                seen[full] = name


def _aliases_have_bases(config: Config) -> Iterator[Finding]:
    bases = {full_name(name): full_name(alias.base) for name, alias in config.models.aliases.items()}
    for name, alias in config.models.aliases.items():
        at = ("models", "aliases", name, "base")
        way = [full_name(name)]
        while (base := bases.get(way[-1])) is not None and base not in way:
            way.append(base)
        if full_name(alias.base) is None:
            yield Finding(at, shown(alias.base), "the name of a model on this machine, none of the cloud's")
        elif base == way[0]:
            found = f"{alias.base}, which leads back to {name}" if len(way) > 1 else f"{alias.base}, the alias itself"
            yield Finding(at, found, "a model that is made from something else")


def _alias_options_known(config: Config) -> Iterator[Finding]:
    for name, alias in config.models.aliases.items():
        for option, value in alias.options.items():
            at = ("models", "aliases", name, "options", option)
            if option not in OPTIONS:
                close = difflib.get_close_matches(option, OPTIONS, n=1)
                meant = f"did you mean {close[0]}? " if close else ""
                yield Finding(
                    at, f"{shown(option)}, which Ollama does not know", f"{meant}{', '.join(OPTIONS)}", key=True
                )
            elif not fits(option, value):
                yield Finding(at, shown(value), WORDS[OPTIONS[option]])


def _redirects_apart(config: Config) -> Iterator[Finding]:
    """A name is an alias or means another model: not both."""
    aliases = {full_name(name): name for name in config.models.aliases}
    for pattern in config.models.redirect:
        if "*" not in pattern and (alias := aliases.get(full_name(pattern))):
            allowed = "a name that is not in models.aliases: that alias could never be asked for"
            yield Finding(("models", "redirect", pattern), f"{pattern}, which is the alias {alias}", allowed, key=True)


INSIDE: Final[tuple[Check, ...]] = (
    _precision_possible,
    _budget_of_something,
    _models_apart,
    _aliases_have_bases,
    _alias_options_known,
    _redirects_apart,
)


def warnings(config: Config) -> Iterator[str]:
    """What is allowed and still worth a word."""
    yield from _aliases_shadowed(config)
    yield from _impatient(config)


def _aliases_shadowed(config: Config) -> Iterator[str]:
    for pattern, target in config.models.redirect.items():
        for alias in config.models.aliases:
            if "*" in pattern and Meanings({pattern: target}).redirects(alias):
                yield f"models.redirect: {pattern} also means the alias {alias}, which is never asked for then."


def _impatient(config: Config) -> Iterator[str]:
    """Waits that are over before the rules of the line let anybody through to another model."""
    line = config.server.line
    waits = {"times": line.times.wait} | {
        f"lanes.{lane}": times.wait or line.times.wait for lane, times in line.lanes.items()
    }
    for where, wait in waits.items():
        if wait <= max(line.min_stay, line.patience):
            yield (
                f"server.line.{where}.wait: {wait:g} s is not longer than min_stay and patience, so who needs a model "
                "that is not loaded gives up before it can be."
            )
