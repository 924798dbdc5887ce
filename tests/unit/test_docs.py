"""What the documents say is there, is there."""

from __future__ import annotations

import re
import textwrap
import tomllib
from itertools import takewhile

import click
import pytest

from controller.cli import main
from controller.config.load import understand
from controller.config.schema import Config
from controller.config.tree import leaves
from controller.paths import CLONE

DOCUMENTS = (
    *("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md"),
    *("docs/tunnel.md", "docs/security.md", "docs/mac.md"),
)
TARGETS = set(re.findall(r"^([a-z]+):", (CLONE / "Makefile").read_text(), re.MULTILINE))


def text(name: str) -> str:
    return (CLONE / name).read_text(encoding="utf-8")


def typed(name: str) -> list[str]:
    """All that a reader of the document may type: code between backticks, and the lines of its blocks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text(name), re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text(name), flags=re.MULTILINE | re.DOTALL))
    return [line.partition("  # ")[0] for line in [*inline, *"".join(blocks).splitlines()]]


def command(words: list[str]) -> tuple[click.Command, list[str]] | None:
    """The command that `words` name, and the words that are left; None when there is none."""
    found: click.Command = main
    while isinstance(found, click.Group):
        if not words and found.invoke_without_command:
            break
        if not words or words[0] not in found.commands:
            return None
        found, words = found.commands[words[0]], words[1:]
    return found, words


CALLS = sorted(
    {
        (name, called.strip())
        for name in DOCUMENTS
        for line in typed(name)
        for called in re.findall(r"(?:^|\s|/)seadragon((?: [a-z][a-z.-]*| --?[a-z-]+| \|)+)", line)
        if re.search(r"(^|/| )seadragon ", line) and not line.startswith("git clone")
    }
)


@pytest.mark.parametrize(("name", "called"), CALLS)
def test_every_command_in_the_documents_exists(name: str, called: str) -> None:
    for one in called.split(" | "):
        found = command(list(takewhile(lambda word: not word.startswith("-"), one.split())))
        assert found is not None, f"{name}: seadragon {one}"
        known = {option for each in found[0].params for option in each.opts}
        assert {word for word in one.split() if word.startswith("-")} <= known
        assert not found[1] or any(isinstance(each, click.Argument) for each in found[0].params)


def test_the_documents_name_commands_at_all() -> None:
    assert {"demo", "doctor", "install --print"} <= {called for name, called in CALLS if name == "README.md"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_target_in_the_documents_exists(name: str) -> None:
    targets = {found[1] for line in typed(name) if (found := re.match(r"make ([a-z]+)", line))}
    assert targets <= TARGETS


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_in_the_documents_leads_somewhere(name: str) -> None:
    linked = set(re.findall(r"\]\((?!https?://|#)([^)#]+)", text(name)))
    assert {each for each in linked if not ((CLONE / name).parent / each).exists()} == set()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_file_the_documents_name_exists(name: str) -> None:
    named = {each for each in typed(name) if re.fullmatch(r"(controller|tests|docs|config|launchd)/[\w./-]+", each)}
    made_by_set_up = {f"config/{each}.yaml" for each in ("server", "models", "access")}
    assert {each for each in named - made_by_set_up if not (CLONE / each).exists()} == set()


def test_every_target_of_make_is_explained_by_make_help() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", text("Makefile"), re.MULTILINE)
    assert phony is not None
    steps = set(text("Makefile").partition("steps of the above")[2].split("\n"))
    inner = {found[1] for line in steps if (found := re.match(r"([a-z]+):", line))}
    explained = set(re.findall(r"^([a-z]+):.*## ", text("Makefile"), re.MULTILINE))
    assert explained == set(phony[1].split()) - inner


def test_every_setting_is_in_the_list_of_settings() -> None:
    page = text("docs/configuration.md")
    for leaf in leaves(Config):
        assert f"`{leaf.path[-1]}`" in page, leaf.path


def test_the_changelog_knows_this_version() -> None:
    version = tomllib.loads(text("pyproject.toml"))["project"]["version"]
    assert f"## [{version}]" in text("CHANGELOG.md")


PROMISES = [
    [cell.strip() for cell in row.split("|")[1:-1]]
    for row in text("ARCHITECTURE.md").splitlines()
    if re.match(r"\|\s*\d+\s*\|", row)
]


@pytest.mark.parametrize("row", PROMISES, ids=lambda row: f"promise {row[0]}")
def test_every_promise_is_held_by_tests_that_exist(row: list[str]) -> None:
    proof = row[-1]
    if not proof.startswith("later"):
        assert "::test_" in proof
    for file, test in re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", proof):
        assert (CLONE / file).is_file(), file
        assert not test or re.search(rf"^(async )?def {test}\(", text(file), re.MULTILINE), test


MEASURES = re.findall(r"^\| (.+?) \| `(tests/[\w/]+\.py)::(\w+)` \|$", text("docs/security.md"), re.MULTILINE)


@pytest.mark.parametrize(("measure", "file", "test"), MEASURES)
def test_every_measure_is_held_by_a_test_that_exists(measure: str, file: str, test: str) -> None:
    assert measure.endswith(".")
    assert (CLONE / file).is_file(), file
    assert re.search(rf"^(async )?def {test}\(", text(file), re.MULTILINE), test


def test_every_row_of_the_measures_names_its_test() -> None:
    rows = text("docs/security.md").partition("## Measures")[2].partition("\nBeside")[0]
    assert len(MEASURES) == sum(1 for line in rows.splitlines() if line.startswith("| ")) - 1
    assert len(MEASURES) > 30


YAML_BLOCKS = [
    (found[1] if (found := re.match(r"# config/(\w+\.yaml)\n", block)) else "server.yaml", block)
    for name in ("docs/tunnel.md", "docs/mac.md")
    for block in map(textwrap.dedent, re.findall(r"^ *```yaml\n(.*?)^ *```", text(name), re.MULTILINE | re.DOTALL))
]


@pytest.mark.parametrize(("file", "block"), YAML_BLOCKS)
def test_every_configuration_in_the_documents_holds(file: str, block: str) -> None:
    assert understand({file: block.encode()}, CLONE, {}, look_outside=False).config != Config()


def test_the_ways_from_outside_and_into_the_house_are_shown_with_their_configuration() -> None:
    assert [file for file, _ in YAML_BLOCKS].count("server.yaml") == 5
    assert {file for file, _ in YAML_BLOCKS} == {"server.yaml", "models.yaml", "access.yaml"}


def test_there_are_promises() -> None:
    assert len(PROMISES) == 10
