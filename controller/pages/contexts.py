"""What each template is given, and nothing else. Every field says in its `help` what it is for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Mood = Literal["happy", "waiting", "oops"]
Tone = Literal["ok", "wait", "trouble", "off"]
PartKind = Literal["model", "coming", "free"]


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
class OrderButton:
    """One thing a person who may manage can order."""

    name: str = said("Which order: the name of the form's field.")
    value: str = said("What it is about: a model, a request's number, or nothing.")
    label: str = said("The verb on the button.")
    about: str = said("What a screen reader says after the verb.")


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model that is installed."""

    name: str = said("The name to ask for.")
    anchor: str = said("What keeps its row the same row when the list is rendered again.")
    tone: Tone = said("Colour of its state; the word says the same.")
    word: str = said("Its state in a word or two.")
    facts: tuple[str, ...] = said("Size, memory, speed, load time: what is known of it.")
    error: str = said("Why it could not be loaded the last time; empty when all is well.")
    buttons: tuple[OrderButton, ...] = said("What may be ordered; none for who may not manage.")


@dataclass(frozen=True, slots=True)
class TicketRow:
    """One request in the line."""

    number: int = said("Its number, which no other ever has.")
    place: str = said("Its place in the line, or that it is being answered.")
    runs: bool = said("It is being answered.")
    who: str = said("Who asks.")
    lane: str = said("Its lane.")
    model: str = said("The model it asks for.")
    waited: str = said("How long it has been here.")
    estimate: str = said("About how long it will still wait; empty when nobody knows.")
    why: str = said("Why it waits, or why it was let through.")
    cancel: OrderButton | None = said("Ends it; none for who may not manage.")


@dataclass(frozen=True, slots=True)
class LineCard:
    """The line, as the person who looks may see it."""

    waiting: int = said("How many wait.")
    rows: tuple[TicketRow, ...] = said("Those that are shown, the ones being answered first.")
    more: str = said("How many there are beside the rows, in words; empty when these are all.")
    paused: tuple[str, ...] = said("What is paused, in words.")
    buttons: tuple[OrderButton, ...] = said("Pause and resume; none for who may not manage.")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the bar that memory is drawn as."""

    kind: PartKind = said("A loaded model, room that is promised to one, or room for more.")
    start: str = said("Where it begins, in percent of the bar.")
    width: str = said("How wide it is, in percent of the bar.")
    label: str = said("What it is, with its size.")


@dataclass(frozen=True, slots=True)
class MemoryCard:
    """Memory."""

    parts: tuple[Part, ...] = said("What the budget holds; together the whole bar.")
    words: str = said("The same in words.")
    trouble: str = said("What the matter is and what follows from it; empty when nothing is.")


@dataclass(frozen=True, slots=True)
class OrderNotice:
    """The order this person gave last."""

    tone: Tone = said("How it goes.")
    word: str = said("How it goes, in a word.")
    text: str = said("How far it is or how it ended, one sentence.")


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
    children: tuple[ChildCard, ...] = said("Every child, engines first.")
    streams: int = said("Answers being written at this moment.")
    held: int = said("Requests that wait for their engine to come back.")
    line: LineCard = said("Who waits.")
    memory: MemoryCard | None = said("Memory; None as long as nobody has measured it.")
    order: OrderNotice | None = said("The order this person gave last; None when there is none.")
    guest: bool = said("How the house is run is not for this person to see.")
    may_manage: bool = said("Whether this person may give orders.")
    models: tuple[ModelCard, ...] | None = said("What is installed; None while no engine can be asked.")
    pull: str = said("The command, on this computer, that fetches a real model; empty when there is one.")
    events: tuple[EventLine, ...] = said("What happened last, newest first.")


@dataclass(frozen=True, slots=True)
class ClientAddress:
    """A base URL for one kind of client."""

    label: str = said("The kind of client.")
    url: str = said("What to enter as its base URL.")
    hint: str = said("Which programs that is.")


@dataclass(frozen=True, slots=True)
class Nav:
    """The bar on top of every page."""

    person: str = said("Who is signed in; empty for nobody.")
    admin: bool = said("Whether they look after people.")
    here: str = said("The path of this page, so that its link is marked.")
    lapsed: bool = said("They are an admin who has to give the password again before doing anything as one.")
    form: str = said("What proves that a form comes from this page.")


@dataclass(frozen=True, slots=True)
class HomePage:
    """The first page."""

    now: Now = said("The live part, as it is when the page is made.")
    nav: Nav | None = said("The bar; None where nobody can sign in.")
    addresses: tuple[ClientAddress, ...] = said("Base URLs to copy, made from the name this page was asked by.")
    also: tuple[str, ...] = said("Further addresses that answer the same.")
    token: str = said("What proves that an order comes from this page; empty for who may not manage.")
    stream: str = said("Where the live part comes from.")
    version: str = said("Seadragon's version.")
    data: str = said("The data folder; empty for guests.")


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """A page that says no."""

    status: int = said("The HTTP status.")
    mood: Mood = said("The seadragon's face.")
    headline: str = said("What is the matter, in a few words.")
    story: str = said("Why, and what to do.")
    alone: bool = said("This browser would be refused every further file, so the style sheet comes inside.")
