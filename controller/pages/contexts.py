"""What each template is given, and nothing else. Every field says in its `help` what it is for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Mood = Literal["happy", "waiting", "oops"]
Tone = Literal["ok", "wait", "trouble", "off"]


def said(help: str) -> Any:
    """A field with its help text."""
    return field(metadata={"help": help})


@dataclass(frozen=True, slots=True)
class ChildCard:
    """One child."""

    name: str = said("Its name, as the command line takes it.")
    title: str = said("Its name as people write it.")
    tone: Tone = said("Colour of its dot; the word beside it says the same.")
    word: str = said("Its state in a word or two.")
    span: str = said("How long it has been so; empty when it only just began.")
    reason: str = said("Why it is in this state and what to do, one sentence.")
    facts: tuple[str, ...] = said("Version, process id, restarts, memory: what is known of it.")


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model that is installed."""

    name: str = said("The name to ask for.")
    size: str = said("Its size on disk, in words.")


@dataclass(frozen=True, slots=True)
class EventLine:
    """One thing that happened."""

    at: str = said("Time of day, for people.")
    moment: str = said("The same moment in ISO form, for machines.")
    tone: Tone = said("How bad it is.")
    source: str = said("Who it is about.")
    text: str = said("What happened, one sentence.")


@dataclass(frozen=True, slots=True)
class Now:
    """The live part of the first page: each template in `templates/live/` shows some of it."""

    mood: Mood = said("The seadragon's face.")
    headline: str = said("How things are, in a few words.")
    story: str = said("The same in one sentence: why, and what to do.")
    safe: bool = said("No YAML has ever loaded: only the page, the doctor and the command line work.")
    problems: tuple[str, ...] = said("Why the YAML on disk is not what runs, each with its file and line.")
    children: tuple[ChildCard, ...] = said("Every child, Ollama first.")
    streams: int = said("Answers being written at this moment.")
    held: int = said("Requests that wait for Ollama to come back.")
    models: tuple[ModelCard, ...] | None = said("What is installed; None while Ollama cannot be asked.")
    pull: str = said("The command, on this computer, that fetches a real model; empty when there is one.")
    events: tuple[EventLine, ...] = said("What happened last, newest first.")


@dataclass(frozen=True, slots=True)
class Address:
    """A base URL for one kind of client."""

    label: str = said("The kind of client.")
    url: str = said("What to enter as its base URL.")
    hint: str = said("Which programs that is.")


@dataclass(frozen=True, slots=True)
class HomePage:
    """The first page."""

    now: Now = said("The live part, as it is when the page is made.")
    addresses: tuple[Address, ...] = said("Base URLs to copy, made from the name this page was asked by.")
    also: tuple[str, ...] = said("Further addresses that answer the same.")
    version: str = said("Seadragon's version.")
    data: str = said("The data folder.")


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """A page that says no."""

    status: int = said("The HTTP status.")
    mood: Mood = said("The seadragon's face.")
    headline: str = said("What is the matter, in a few words.")
    story: str = said("Why, and what to do.")
    alone: bool = said("This browser would be refused every further file, so the style sheet comes inside.")
