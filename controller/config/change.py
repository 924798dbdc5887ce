"""What a new configuration changes, and what each change touches: read off the schema's impacts, never off a list."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from controller.config.listening import Listener
from controller.config.problem import Location, dotted
from controller.config.processes import ChildSettings
from controller.config.schema import Config
from controller.config.tree import Leaf, below, leaf_at
from controller.settings.impact import OWN, Impact
from controller.settings.values import Branch


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting whose value differs."""

    location: Location
    leaf: Leaf
    old: object
    new: object
    entry: str = ""  # the child's name or the listener's address that the setting belongs to

    @property
    def field(self) -> str:
        return dotted(self.location)

    @property
    def sentence(self) -> str:
        """`server.hold 60 s → 90 s takes effect at once`. Values that may be secrets are not shown."""
        effect = _effect(self.leaf.impact, self.child)
        if self.leaf.private:
            return f"{self.field} {effect}"
        return f"{self.field} {self.leaf.write(self.old)} → {self.leaf.write(self.new)} {effect}"

    @property
    def child(self) -> str:
        """The child that the change touches; empty for none."""
        return self.entry if self.leaf.impact.target == OWN else self.leaf.impact.target


@dataclass(frozen=True, slots=True)
class Change:
    """From one configuration to the next. False when nothing differs. Fields are dotted, as in the messages.

    `drains` and `restarts` are by child: why it restarts, after the answers in flight have ended or without waiting
    for them. A child under both is drained. A listener is its address.
    """

    at_once: tuple[str, ...] = ()
    drains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    restarts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    children_added: tuple[str, ...] = ()
    children_removed: tuple[str, ...] = ()
    listeners_added: tuple[str, ...] = ()
    listeners_removed: tuple[str, ...] = ()
    listeners_reopened: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.sentences)


def compare(old: Config, new: Config) -> Change:
    """What must happen so that `new` runs instead of `old`."""
    before, after = _addresses(old), _addresses(new)
    found = list(differences(old, new))
    children_added = _only(new.server.children, old.server.children)
    children_removed = _only(old.server.children, new.server.children)
    added, removed = _only(after, before), _only(before, after)
    reopened = _reopened(found, [address for address in after if address in before])
    return Change(
        at_once=tuple(each.field for each in found if each.leaf.impact.kind == "at_once"),
        drains=_by_child(found, "drains"),
        restarts=_by_child(found, "restarts"),
        children_added=children_added,
        children_removed=children_removed,
        listeners_added=added,
        listeners_removed=removed,
        listeners_reopened=reopened,
        sentences=(
            *(each.sentence for each in found),
            *(f"the child {name} is new and is started" for name in children_added),
            *(f"the child {name} is gone and is stopped" for name in children_removed),
            *(f"{address} is a new listener and is opened" for address in added),
            *(f"{address} is no longer a listener: it is drained and closed" for address in removed),
        ),
    )


def differences(old: Config, new: Config) -> Iterator[Difference]:
    """Every setting that differs, in the order of the schema.

    Children are the same by name, listeners by address, other entries of a list by their place. A child or listener
    that only one side has is not taken apart: it comes or goes as a whole.
    """
    yield from _within(old, new, (), "")


def _within(old: Branch, new: Branch, location: Location, entry: str) -> Iterator[Difference]:
    for name, info in type(old).model_fields.items():
        before, after, at = getattr(old, name), getattr(new, name), (*location, name)
        if before == after:
            continue
        inner = below(info)
        if inner is None:
            leaf = leaf_at(at)
            assert leaf is not None  # a field that leads to no branch is a leaf
            yield Difference(at, leaf, before, after, entry)
        elif inner[1]:
            yield from _among(_entries(before), _entries(after), at)
        else:
            yield from _within(before, after, at, entry)


Entries = Mapping[str | int, tuple[str | int, Branch]]


def _entries(many: Mapping[str, Branch] | Iterable[Branch]) -> Entries:
    """Each entry under what makes it the same entry, with its part of a location."""
    if isinstance(many, Mapping):
        return {name: (name, entry) for name, entry in many.items()}
    return {entry.address if isinstance(entry, Listener) else index: (index, entry) for index, entry in enumerate(many)}


def _among(old: Entries, new: Entries, location: Location) -> Iterator[Difference]:
    for key, (part, after) in new.items():
        if key in old:
            yield from _within(old[key][1], after, (*location, part), str(key))
        else:
            yield from _whole(after, (*location, part), added=True)
    for key, (part, before) in old.items():
        if key not in new:
            yield from _whole(before, (*location, part), added=False)


def _whole(entry: Branch, location: Location, *, added: bool) -> Iterator[Difference]:
    """Every setting of an entry that only one side has, but for those that are empty there too."""
    if isinstance(entry, ChildSettings | Listener):
        return
    for name in type(entry).model_fields:
        value, at = getattr(entry, name), (*location, name)
        if isinstance(value, Branch):
            yield from _whole(value, at, added=added)
        elif value is not None:
            leaf = leaf_at(at)
            assert leaf is not None  # as in `_within`
            yield Difference(at, leaf, None if added else value, value if added else None)


def _effect(impact: Impact, child: str) -> str:
    match impact.kind:
        case "at_once":
            return "takes effect at once"
        case "drains":
            return f"restarts {child} when the answers in flight are finished"
        case "restarts":
            return f"restarts {child}"
        case "listener":
            return "drains the listener and opens it again"


def _by_child(found: Iterable[Difference], kind: str) -> Mapping[str, tuple[str, ...]]:
    fields: dict[str, list[str]] = {}
    for each in found:
        if each.leaf.impact.kind == kind:
            fields.setdefault(each.child, []).append(each.field)
    return {child: tuple(names) for child, names in fields.items()}


def _addresses(config: Config) -> dict[str, Listener]:
    return {listener.address: listener for listener in config.server.listeners}


def _reopened(found: Iterable[Difference], kept: list[str]) -> tuple[str, ...]:
    """The listeners a change of kind `listener` touches: its own, or all where it lies outside of them."""
    touched: set[str] = set()
    for each in found:
        if each.leaf.impact.kind == "listener":
            touched |= {each.entry} if each.entry else set(kept)
    return tuple(address for address in kept if address in touched)


def _only(these: Collection[str], others: Collection[str]) -> tuple[str, ...]:
    return tuple(each for each in these if each not in others)
