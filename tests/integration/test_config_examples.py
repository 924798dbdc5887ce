"""The tracked examples and the reference page say what the schema says."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

import pytest
import yaml

from controller.config.load import ROOTS, understand
from controller.config.reference import page
from controller.config.schema import Config
from controller.config.tree import ANY, Leaf, leaves
from controller.engines.ollama.needs import prompt_cache
from controller.plain import GIB
from tests.unit.residency.shows import example

TOP = Path(__file__).parents[2]
EXAMPLES = {root: (TOP / "config" / f"{root}.example.yaml").read_text() for root in ROOTS}


def worked_blocks(text: str) -> list[str]:
    """The YAML in comments: lines that begin with a hash and three spaces, of which the first is a setting."""
    runs = ["\n".join(lines) for shown, lines in groupby(text.splitlines(), lambda line: line[:4] == "#   ") if shown]
    blocks = [re.sub(r"(?m)^#   ", "", run) for run in runs]
    return [block for block in blocks if re.match(r"[a-z_]+:", block)]


BLOCKS = [(root, block) for root, text in EXAMPLES.items() for block in worked_blocks(text)]


def loads(root: str, text: str) -> Config:
    return understand({f"{root}.yaml": text.encode()}, TOP, {"HTTPS_PROXY": ""}, look_outside=False).config


def names(data: object, path: tuple[str, ...]) -> bool:
    """Whether a setting stands in the data, in any of the entries where there are many."""
    if not path:
        return True
    if path[0] == ANY:
        many = data if isinstance(data, list) else list(data.values()) if isinstance(data, dict) else []
        return any(names(each, path[1:]) for each in many)
    return isinstance(data, dict) and path[0] in data and names(data[path[0]], path[1:])


def test_the_examples_are_the_defaults() -> None:
    texts = {f"{root}.yaml": text.encode() for root, text in EXAMPLES.items()}
    loaded = understand(texts, TOP, {})
    assert loaded.config == Config()
    assert not loaded.warnings


@pytest.mark.parametrize("leaf", leaves(), ids=lambda leaf: ".".join(leaf.path))
def test_every_setting_stands_in_an_example(leaf: Leaf) -> None:
    root, *rest = leaf.path
    texts = [EXAMPLES[root], *(block for where, block in BLOCKS if where == root)]
    assert any(names(yaml.safe_load(text), tuple(rest)) for text in texts)


KV = ("flash_attention", "kv_cache_type")


def test_the_sums_of_the_worked_example_are_those_that_seadragon_makes() -> None:
    block = next(block for _, block in BLOCKS if "kv_cache_type" in block)
    models = loads("models", block).models
    (start,) = {(each.context, each.slots) for each in example().values()}
    assert (models.context_length, models.parallel, models.kv_cache_type) == (*start, "q8_0")
    assert (prompt_cache(models, 64 * GIB), models.max_loaded) == (2 * GIB, len(example()))
    text = EXAMPLES["models"]
    for name, each in example().items():
        row = next(line for line in text.splitlines() if re.match(rf"# +{name.partition(':')[2]} +\d", line))
        needs, keeps = re.findall(r"= +([0-9.]+) GiB", row)
        assert (float(needs), float(keeps)) == (round(each.need / GIB, 1), round(each.cache / GIB, 1))


def test_the_worked_blocks_are_found() -> None:
    keys = [re.findall(r"(?m)^[a-z_]+(?=:)", block) for _, block in BLOCKS]
    assert [found for found in keys if found == ["listeners", "tunnel"]] == [["listeners", "tunnel"]] * 3
    assert keys.count(["children"]) == 1
    assert ["context_length", "parallel", "max_loaded", "keep_alive", *KV, "prompt_cache"] in keys


@pytest.mark.parametrize(("root", "block"), BLOCKS)
def test_every_worked_block_is_a_file_that_holds(root: str, block: str) -> None:
    block = block.replace("{file: speech-token}", "x")  # a secret's file is looked at wherever it is named
    assert loads(root, block) != Config()


def test_a_second_listener_is_one_line_without_its_hash() -> None:
    text = EXAMPLES["server"].replace("#  - address: 127.0.0.1:11434", "  - address: 127.0.0.1:11434")
    assert [each.address for each in loads("server", text).server.listeners] == ["127.0.0.1:8420", "127.0.0.1:11434"]


def test_all_commented_listeners_can_be_taken_in() -> None:
    text = re.sub(r"(?m)^#(  - address)", r"\1", EXAMPLES["server"])
    assert len(loads("server", text).server.listeners) == 3


def test_no_line_of_an_example_is_too_long_to_read() -> None:
    assert not [line for text in EXAMPLES.values() for line in text.splitlines() if len(line) > 120]


def test_the_reference_page_is_what_the_schema_says() -> None:
    """When this fails: `python -m controller.config.reference > docs/configuration.md`."""
    assert (TOP / "docs" / "configuration.md").read_text() == page()
