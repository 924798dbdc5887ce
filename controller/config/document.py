"""One YAML text into plain data that remembers where each value stood.

PyYAML parses; this module only decides what a value *is*. Every scalar stays the text that was written, and the
schema alone turns it into a number, a switch or a word: `mode: off`, `port: 0123` and `version: 1.10` mean what they
look like. Keys written twice, aliases and tags are refused, because in a short file for people each is a mistake.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from controller.config.problem import Location, Problem, dotted, shown

LONGEST: Final = 2**20  # bytes
_DEEPEST: Final = 20  # levels; the schema needs six
_NULL: Final = "tag:yaml.org,2002:null"

Data = None | str | list["Data"] | dict[str, "Data"]


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a value, or the key in front of it, begins; both count from 1. `raw` is the value as it was written."""

    file: Path
    line: int
    column: int
    raw: object = None


@dataclass(slots=True)
class Document:
    """What one file says. With `problems` the data is what could still be read."""

    file: Path
    data: Data = None
    values: dict[Location, Spot] = field(default_factory=dict)
    keys: dict[Location, Spot] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


# What PyYAML stumbles over, and what a person should do about it. First match wins.
_ADVICE: Final = (
    (r"'\\t'", "spaces for indentation (a tab stands here)"),
    (r"expected ',' or '(\]|\})'", "every [ or { closed with its ] or }"),
    (r"expected <block end>", "lines of one block to begin in the same column"),
    (r"mapping values are not allowed", "one `key: value` a line; text that contains `: ` in quotes"),
    (r"could not find expected ':'", "`key: value`, with a colon after the key"),
    (r"quoted scalar", "every quotation mark closed"),
    (r"single document", "one document a file, without a second `---`"),
    (r"alias|anchor", "text that begins with * or & in quotes; values written out where they are needed"),
    (r"'[@`%|>]'|expected (a comment|chomping)", "text that begins with a sign such as @ % | > in quotes"),
    (r"tag", "plain values without a !tag; text that begins with ! in quotes"),
    (r"nested", f"at most {_DEEPEST} levels"),
    (r"", "YAML, as in the example file beside it"),
)

_OTHER_WORDS: Final = (
    ("mapping values are not allowed here", "a `: ` where no value may stand"),
    ("could not find expected ':'", "a line without `: `"),
    ("<stream end>", "the end of the file"),
    ("unexpected end of stream", "the end of the file"),
    ("character '\\t' that cannot start any token", "a tab"),
)


class _Refusing(yaml.SafeLoader):
    """PyYAML's composer, without the parts of YAML that nobody expects in a settings file."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # types-pyyaml leaves the parser's methods out
        if unwanted := self._unwanted(event):
            raise yaml.composer.ComposerError(None, None, unwanted, event.start_mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def _unwanted(self, event: yaml.NodeEvent) -> str | None:
        if isinstance(event, yaml.AliasEvent):
            return f"an alias (*{event.anchor})"
        if event.anchor is not None:
            return f"an anchor (&{event.anchor})"
        if getattr(event, "tag", None) is not None:
            return "a tag (!)"
        return "values nested too deep" if self._depth >= _DEEPEST else None


def read(raw: bytes, file: Path, root: str) -> Document:
    """What `raw` says. Never raises: whatever is wrong stands in `problems`, with its line and column.

    `root` is the first part of every location, the file's name without `.yaml`.
    """
    document = Document(file)
    try:
        node = _compose(_decode(raw))
    except _Unreadable as mistake:
        document.problems.append(Problem(file, mistake.line, mistake.column, root, mistake.found, mistake.allowed))
    else:
        document.values[(root,)] = Spot(file, 1, 1)
        document.data = None if node is None else _Plain(document).value(node, (root,))
    return document


class _Unreadable(Exception):
    """The text is not YAML at all."""

    def __init__(self, found: str, allowed: str, line: int, column: int) -> None:
        super().__init__(found)
        self.found, self.allowed, self.line, self.column = found, allowed, line, column


def _decode(raw: bytes) -> str:
    if len(raw) > LONGEST:
        raise _Unreadable(f"{len(raw)} bytes", f"at most {LONGEST} bytes", 1, 1)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _at(raw[: error.start].decode("utf-8", "replace"))
        raise _Unreadable(f"the byte 0x{raw[error.start]:02x}", "text saved as UTF-8", line, column) from None


def _compose(text: str) -> yaml.Node | None:
    try:
        loader = _Refusing(text)
    except yaml.reader.ReaderError as error:
        line, column = _at(text[: error.position])
        raise _Unreadable(
            f"the unprintable character U+{ord(text[error.position]):04X}", "printable text", line, column
        ) from None
    try:
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise _stumble(error, loader.get_mark()) from None
    except (ValueError, OverflowError):  # PyYAML on "\UFFFFFFFF" or %YAML with a number of thousands of digits
        mark = loader.get_mark()
        raise _Unreadable("an impossible number", "printable text", mark.line + 1, mark.column + 1) from None
    finally:
        loader.dispose()


def _stumble(error: yaml.MarkedYAMLError, here: yaml.Mark) -> _Unreadable:
    """PyYAML's error in our words: what stands there, and what to do about it."""
    whole = f"{error.context} {error.problem}"
    allowed = next(text for pattern, text in _ADVICE if re.search(pattern, whole))
    found = re.sub(r"^(.*\bbut (found|got) |found )", "", str(error.problem or error.context))
    for theirs, ours in _OTHER_WORDS:
        found = found.replace(theirs, ours)
    starts_it = re.search(r"scanning an (alias|anchor)", whole)  # then the sign itself is the mistake
    mark = (error.context_mark if starts_it else error.problem_mark) or error.context_mark or here
    return _Unreadable(found, allowed, mark.line + 1, mark.column + 1)


def _at(before: str) -> tuple[int, int]:
    """Line and column of the character that follows `before`."""
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


class _Plain:
    """Turns nodes into data and notes into `document` where each stood."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def value(self, node: yaml.Node, location: Location) -> Data:
        value = self._plain(node, location)
        self._document.values[location] = Spot(self._document.file, *_place(node), value)
        return value

    def _plain(self, node: yaml.Node, location: Location) -> Data:
        if isinstance(node, yaml.MappingNode):
            return dict(self._pairs(node, location))
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*location, index)) for index, item in enumerate(node.value)]
        if node.tag == _NULL:  # only an unquoted ~, null or nothing at all gets this tag
            return None
        return self._writable(str(node.value), node, location)

    def _pairs(self, node: yaml.MappingNode, location: Location) -> Iterator[tuple[str, Data]]:
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._complain(key, location, "a key that is a list or a block", "plain words as keys")
                continue
            name = self._writable(key.value, key, location)
            if name in seen:
                first = self._document.keys[(*location, name)].line
                self._complain(
                    key, (*location, name), f"the key a second time (first in line {first})", "each key once"
                )
                continue
            seen.add(name)
            self._document.keys[(*location, name)] = Spot(self._document.file, *_place(key))
            yield name, self.value(value, (*location, name))

    def _writable(self, text: str, node: yaml.Node, location: Location) -> str:
        """Escapes such as "\\ud800" make text that cannot be written to any file, log or page."""
        try:
            text.encode()
        except UnicodeEncodeError:
            self._complain(node, location, shown(text), "characters that exist")
            return text.encode(errors="replace").decode()
        return text

    def _complain(self, node: yaml.Node, location: Location, found: str, allowed: str) -> None:
        line, column = _place(node)
        self._document.problems.append(Problem(self._document.file, line, column, dotted(location), found, allowed))


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1
