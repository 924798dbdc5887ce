"""A Mac brings GNU make 3.81 and BSD's tools: no shell snippet of ours and no line of the Makefile needs more."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = ROOT / "Makefile"
RECIPE = "\t"


def flag(tool: str, flags: str) -> str:
    """`tool` with one of `flags`, anywhere in one simple command."""
    return rf"(?<![\w./-]){tool}(?: [^|;&\n`]*?)? (?:{flags})"


# of make: what 3.81 does not know, or reads otherwise, each with a line that shows it
MAKE = {
    "assignment by !=": (r"^\s*\w+\s*!=", "NOW != date"),
    "::= and :::=": (r"^\s*\w+\s*:::?=", "NOW ::= 1"),
    "function file, let, intcmp or guile": (r"\$[({](?:file|let|intcmp|guile)\s", "X := $(file <x)"),
    "grouped targets": (r"&\s*::?(?!=)", "a b &: c"),
    "a special target of later versions": (
        r"^\.(?:ONESHELL|RECIPEPREFIX|SHELLFLAGS|EXTRA_PREREQS|WAIT)\b",
        ".ONESHELL:",
    ),
    "undefine, private or load": (r"^\s*(?:undefine|private|-?load)\s", "undefine X"),
    "define with an operator": (r"^\s*(?:override\s+)?define\s+\S+\s*[:+?]?=", "define X ="),
    "a flag of later versions": (
        r"--(?:output-sync|shuffle|trace|no-silent|jobserver-style)\b",
        "MAKEFLAGS += --trace",
    ),
}
# of BSD's tools
TOOLS = {
    "sed: flags of GNU": (flag("sed", r"-[a-zA-Z]*[rzs][a-zA-Z]*\b|--\w+"), "sed -rn p x"),
    "sed: -i wants a suffix": (flag("sed", r"-i(?! ''|\.)"), "sed -i s/a/b/ x"),
    "sed: escapes of GNU": (r"(?<![\w./-])sed [^|;&]*s(?P<by>[/|,!]).*\\[tnswWdb+?|].*(?P=by)", r"sed 's/a/\t/'"),
    "grep -P": (flag("grep", r"-[a-zA-Z]*P\b|--perl-regexp"), "grep -oP x y"),
    "stat: flags of GNU": (flag("stat", r"-[a-zA-Z]*c\b|--format|--printf"), "stat -c %s x"),
    "date: flags of GNU": (flag("date", r"-d\b|--\w+|-I\w*|\+\S*%N"), "date -u -d yesterday"),
    "readlink and realpath": (r"(?<![\w./-])(?:readlink (?:-\w*[fem]|--)|realpath )", "readlink -f x"),
    "mktemp: flags of GNU": (flag("mktemp", r"-p\b|--\w+"), "mktemp -d --suffix=x"),
    "xargs: flags of GNU": (flag("xargs", r"-[a-zA-Z0-9]*[rda]\b|--\w+"), "xargs -0r rm"),
    "cp, mv and ln: flags of GNU": (flag("(?:cp|mv|ln)", r"-[a-zA-Z]*[utTr]\b(?<!-r)|--\w+"), "cp --parents a b"),
    "sort: flags of GNU": (flag("sort", r"-[a-zA-Z]*[VhR]\b|--\w+"), "sort -rV x"),
    "head: all but the last": (flag("head", r"-[nc] ?-\d|--\w+"), "head -n -1 x"),
    "tail: flags of GNU": (flag("tail", r"-[nc] ?-0|--\w+|-[a-zA-Z]*s\b"), "tail --pid=1 x"),
    "find: tests of GNU": (flag("find", r"-(?:printf|regextype|executable|readable|writable)\b"), "find . -printf x"),
    "du and df: flags of GNU": (flag("(?:du|df)", r"-[a-zA-Z]*[bB]\b|--\w+"), "du -sb x"),
    "tar: flags of GNU": (flag("tar", r"--(?:transform|wildcards|sort|owner|absolute-names)"), "tar c --sort=name x"),
    "base64 -w": (flag("base64", r"-w|--\w+"), "base64 -w0 x"),
    "ls: flags of GNU": (flag("ls", r"--\w+"), "ls --color x"),
    "echo -e": (flag("echo", r"-\w*e\w*\b"), "echo -e x"),
    "install -D": (flag("install", r"-[a-zA-Z]*[Dt] /"), "install -D /a /b"),
    "programs a Mac lacks": (
        r"(?:^|[|;&(`] *)(?:timeout \d|nproc\b|tac |shuf |numfmt |setsid |flock |pidof |getent |md5sum|sha\d+sum)",
        "sleep 9 & timeout 5 x",
    ),
}

MENTIONED = re.compile(  # most lines have none of them, and are done with quickly
    "(?:sed|grep|stat|date|readlink|realpath|mktemp|xargs|cp|mv|ln|sort|head|tail|find|du|df|tar|base64|ls|echo|install|"
    "timeout|tac|shuf|numfmt|setsid|flock|pidof|getent) |nproc|md5sum|sha"
)


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines of a Makefile with their numbers, continued ones joined."""
    number, held = 1, ""
    for count, line in enumerate(text.split("\n"), 1):
        held += line
        if line.endswith("\\"):
            held += "\n"
            continue
        yield number, held
        number, held = count + 1, ""


def hash_in_call(line: str) -> bool:
    """Whether a `#` stands inside a make function or variable: before 4.3 it begins a comment there.

    In a recipe make passes it on; `$$` is a dollar of the shell's.
    """
    if line.startswith(RECIPE):
        return False
    text, depth = line.replace("$$", "  "), 0
    for at, sign in enumerate(text):
        if text[at : at + 2] in ("$(", "${"):
            depth += 1
        elif depth and sign in "({" and text[at - 1] != "$":
            depth += 1
        elif depth and sign in ")}":
            depth -= 1
        elif sign == "#":
            return depth > 0
    return False


def in_markdown(text: str) -> Iterator[str]:
    """Its blocks of code, and what stands between backticks."""
    parts = re.split(r"^ *```.*$", text, flags=re.MULTILINE)
    for at, part in enumerate(parts):
        yield from part.splitlines() if at % 2 else re.findall(r"`([^`\n]+)`", part)


def in_python(text: str) -> Iterator[str]:
    """Its texts, and its lists of words, which may be argv."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from node.value.splitlines()
        elif isinstance(node, ast.List | ast.Tuple):
            yield " ".join(
                part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else "x"
                for part in node.elts
            )


def snippets(path: Path) -> Iterator[str]:
    """Every line of a file that a shell might be given."""
    text = path.read_text()
    if path.suffix == ".py":
        return in_python(text)
    return in_markdown(text) if path.suffix == ".md" else iter(text.splitlines())


def ours() -> list[Path]:
    """All files in which a shell snippet may stand."""
    kinds = ("*.py", "*.md", "*.yaml", "*.html", "*.service", "*.plist")
    folders = ("config", "controller", "docs", "launchd", "templates", "tests")
    files = [path for folder in folders for kind in kinds for path in (ROOT / folder).rglob(kind)]
    return [MAKEFILE, *ROOT.glob("*.md"), *(path for path in files if path != Path(__file__))]


def faults_of_make(text: str) -> list[str]:
    """What make 3.81 could not do, by the number of the line."""
    found = []
    for number, line in logical_lines(text):
        found += [
            f"{number}: {name}"
            for name, (pattern, _) in MAKE.items()
            if not line.startswith(RECIPE) and re.search(pattern, line)
        ]
        if hash_in_call(line):
            found.append(f"{number}: # inside a function begins a comment")
    return found


def faults_of_tools(lines: Iterator[str]) -> list[str]:
    """What BSD's tools could not do."""
    shells = (line for line in lines if MENTIONED.search(line))
    return [f"{name}: {line}" for line in shells for name, (pattern, _) in TOOLS.items() if re.search(pattern, line)]


def test_the_makefile_is_plain_enough_for_make_3_81() -> None:
    assert faults_of_make(MAKEFILE.read_text()) == []


def test_no_shell_snippet_needs_gnus_tools() -> None:
    found = {str(path.relative_to(ROOT)): faults for path in ours() if (faults := faults_of_tools(snippets(path)))}
    assert found == {}


@pytest.mark.parametrize(("name", "line"), [(name, line) for name, (_, line) in MAKE.items()])
def test_what_make_3_81_cannot_do_is_found(name: str, line: str) -> None:
    assert faults_of_make(f"all:\n{line}\n") == [f"2: {name}"]


@pytest.mark.parametrize(("name", "line"), [(name, line) for name, (_, line) in TOOLS.items()])
def test_what_bsds_tools_cannot_do_is_found(name: str, line: str) -> None:
    assert f"{name}: {line}" in faults_of_tools(iter([line]))


@pytest.mark.parametrize(
    "line",
    [
        'ROOT := $(shell m=\'$(MAKEFILE_LIST)\'; cd "$$(dirname "$${m# }")" && pwd)',
        "X := $(subst #,x,$(Y))",
        "X := $(shell if true; then \\\n\techo '#'; fi)",
    ],
)
def test_a_hash_inside_a_function_is_found(line: str) -> None:
    assert faults_of_make(line) == ["1: # inside a function begins a comment"]


@pytest.mark.parametrize(
    "line", ["help: $(X) ## show this", "X := $(shell date) # now", "\t@echo $(X) '#'", "# of $(X)", "X := $$(# )"]
)
def test_a_hash_outside_is_left_in_peace(line: str) -> None:
    assert faults_of_make(line) == []


@pytest.mark.parametrize(
    "line",
    [
        "sed -n 's/^\\([a-z]*\\):.*/\\1/p' x",
        "sed -i '' s/a/b/ x",
        "sort -rn x | head -n 1",
        "grep -oE 'x' y | tail -1",
        "readlink x",
        "tail -n +2 -f x",
        "cp -R a b",
        "mktemp -d",
        "xargs -0 -n 1 rm",
        "it is up to date, and stat is a word",
        "date -u +%s",
    ],
)
def test_what_both_can_do_is_left_in_peace(line: str) -> None:
    assert faults_of_tools(iter([line])) == []


def test_snippets_are_found_wherever_they_stand(tmp_path: Path) -> None:
    page, code = tmp_path / "x.md", tmp_path / "x.py"
    page.write_text("Say `stat -c 1`.\n```sh\nsort -V a\n```\nstat -c is prose\n")
    code.write_text('X = ["head", "-n", "-1", name]\nY = f"run: {x} | readlink -f y"\n')
    assert len(faults_of_tools(snippets(page))) == 2
    assert len(faults_of_tools(snippets(code))) == 2
