"""From the text of the three files to a `Config` or to located problems. Nothing here touches a disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from controller.config.load import LoadedConfig, digest, understand
from controller.config.problem import ConfigInvalid, Problem
from controller.config.renames import Rename
from controller.config.schema import Config
from controller.config.tree import leaves

FOLDER = Path("/somewhere/config")


def loaded(server: str | bytes = "", models: str | bytes = "", access: str | bytes = "", **more: Any) -> LoadedConfig:
    texts = {"server.yaml": server, "models.yaml": models, "access.yaml": access}
    raw = {name: text.encode() if isinstance(text, str) else text for name, text in texts.items()}
    return understand(raw, FOLDER, {"SECRET": "s3cret-value"}, look_outside=False, **more)


def problems(
    server: str | bytes = "", models: str | bytes = "", access: str | bytes = "", **more: Any
) -> list[Problem]:
    with pytest.raises(ConfigInvalid) as caught:
        loaded(server, models, access, **more)
    return list(caught.value.problems)


def one(server: str | bytes = "", models: str | bytes = "", access: str | bytes = "", **more: Any) -> Problem:
    found = problems(server, models, access, **more)
    assert len(found) == 1, "\n".join(map(str, found))
    return found[0]


def test_empty_files_mean_the_defaults() -> None:
    assert loaded().config == Config()


def test_comments_alone_mean_the_defaults() -> None:
    assert loaded("# nothing\n", "---\n", "\n\n").config == Config()


def test_a_block_whose_every_line_is_commented_out_means_its_defaults() -> None:
    text = "limits:\n  # body: 1MiB\nlog:\nollama:\n  environment:\ntunnel:\nchildren:\n"
    assert loaded(text).config == Config()


def test_a_file_that_is_not_there_means_its_defaults_and_is_told() -> None:
    found = understand({"server.yaml": b"hold: 5s"}, FOLDER, {}, look_outside=False)
    assert found.config.server.hold == 5
    assert [warning.split(" ")[0] for warning in found.warnings] == [f"{FOLDER}/models.yaml", f"{FOLDER}/access.yaml"]


def test_a_full_file_says_what_it_says() -> None:
    config = loaded(
        "listeners:\n  - address: 127.0.0.1:8420\n  - {address: '127.0.0.1:11434'}\nhold: 1m30s\nlimits: {body: 1MiB}\n"
        "log: {level: debug, access: no}\nchildren:\n  awake: {command: [caffeinate, -s]}\n",
        "context_length: 32768\nkeep_alive: forever\nflash_attention: on\nkv_cache_type: q8_0\n",
        "allow:\n- label: Anna\n  addresses: [192.168.1.20]\n  lane: 1.5\n  manage: yes\n",
    ).config
    assert [each.address for each in config.server.listeners] == ["127.0.0.1:8420", "127.0.0.1:11434"]
    assert (config.server.hold, config.server.limits.body, config.server.log.access) == (90, 2**20, False)
    assert config.server.children["awake"].command == ("caffeinate", "-s")
    assert (config.models.context_length, config.models.keep_alive, config.models.flash_attention) == (
        32768,
        "forever",
        True,
    )
    assert (config.access.allow[0].lane, config.access.allow[0].manage) == (1.5, True)


def test_words_that_yaml_takes_for_switches_stay_words() -> None:
    assert loaded("tunnel: {mode: off}").config.server.tunnel.mode == "off"
    config = loaded(
        "ollama: {environment: {A: on, B: 1_000, C: 010, D: 12:30:45, E: 2024-01-01, F: 1.10, G: '~'}}"
    ).config
    assert list(config.server.ollama.environment.values()) == [
        "on",
        "1_000",
        "010",
        "12:30:45",
        "2024-01-01",
        "1.10",
        "~",
    ]


def test_a_relative_path_is_relative_to_the_folder_and_a_tilde_is_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    config = loaded("ollama: {binary: bin/ollama}\ntunnel: {edge_ca: /etc/ca.pem}", "folder: ~/models").config
    assert config.server.ollama.binary == FOLDER / "bin/ollama"
    assert config.server.tunnel.edge_ca == Path("/etc/ca.pem")
    assert config.models.folder == Path("/home/anna/models")


def test_a_secret_comes_from_the_environment_and_is_never_shown() -> None:
    config = loaded("ollama: {environment: {TOKEN: {from: SECRET}}}").config
    assert config.server.ollama.environment == {"TOKEN": "s3cret-value"}
    assert "s3cret" not in repr(config) + str(config) + str(config.model_dump()) + config.model_dump_json()


def test_every_problem_of_every_file_is_told_at_once_in_reading_order() -> None:
    found = problems("hold: soon\nport: 1\nlog: {level: loud}\n", "parallel: 0\n", "hosts: '*'\n")
    assert [(each.file.name, each.line, each.column, each.field) for each in found] == [
        ("access.yaml", 1, 8, "access.hosts"),
        ("models.yaml", 1, 11, "models.parallel"),
        ("server.yaml", 1, 7, "server.hold"),
        ("server.yaml", 2, 1, "server.port"),
        ("server.yaml", 3, 14, "server.log.level"),
    ]


def test_a_problem_reads_as_one_line() -> None:
    found = one("\nhold: soon\n")
    assert str(found) == (
        f"{FOLDER}/server.yaml:2:7 server.hold: found 'soon'; "
        "allowed: a duration such as 500ms, 90s, 1m30s or 2h, or a number of seconds"
    )


@pytest.mark.parametrize(
    ("text", "where", "field", "found", "allowed"),
    [
        ("hodl: 5s", (1, 1), "server.hodl", "unknown key 'hodl'", "did you mean hold?"),
        ("limits:\n  bdy: 1", (2, 3), "server.limits.bdy", "unknown key", "did you mean body?"),
        ("zzz: 1", (1, 1), "server.zzz", "unknown key", "known here: listeners, prefixes"),
        ("log: {level: loud}", (1, 14), "server.log.level", "'loud'", "one of debug, info, warning, error"),
        ("log: {files: 0}", (1, 14), "server.log.files", "'0'", "at least 1, at most 100"),
        ("log: {access: maybe}", (1, 15), "server.log.access", "'maybe'", "true or false"),
        ("limits: {body: 12}", (1, 16), "server.limits.body", "'12'", "at least 1 KiB"),
        ("hold: -1", (1, 7), "server.hold", "'-1'", "a duration"),
        ("hold: 2d", (1, 7), "server.hold", "'2d'", "at most 86400 s"),
        ("hold:", (1, 6), "server.hold", "nothing", "a duration"),
        ("ollama: {port: 80}", (1, 16), "server.ollama.port", "'80'", "or empty"),
        ("ollama: {port: eighty}", (1, 16), "server.ollama.port", "'eighty'", "a whole number"),
        ("- a\n- b", (1, 1), "server", "a list of 2", "a block of settings: listeners"),
        ("just text", (1, 1), "server", "'just text'", "a block of settings"),
        ("limits: [1]", (1, 9), "server.limits", "a list of 1", "a block of settings: body"),
        ("limits: 5", (1, 9), "server.limits", "'5'", "a block of settings: body"),
        ("listeners: x", (1, 12), "server.listeners", "'x'", "each with address, kind"),
        ("listeners: []", (1, 12), "server.listeners", "a list of 0", "each with address, kind"),
        ("listeners: [{kind: tunnel}]", (1, 13), "server.listeners[0].address", "nothing", "host:port"),
        ("listeners: [{address: nowhere}]", (1, 23), "server.listeners[0].address", "'nowhere'", "host:port"),
        ("listeners: [127.0.0.1:1]", (1, 13), "server.listeners[0]", "'127.0.0.1:1'", "address, kind"),
        ("children: [a]", (1, 11), "server.children", "a list of 1", "each with command"),
        ("children: {x: {}}", (1, 12), "server.children.x.command", "nothing", "a list, each text"),
        ("children: {x: {command: []}}", (1, 25), "server.children.x.command", "a list of 0", "not empty"),
        ("children: {x: {command: ls -l}}", (1, 25), "server.children.x.command", "'ls -l'", "a list"),
        ("prefixes: [/api]", (1, 12), "server.prefixes[0]", "'/api'", "would hide"),
        ("ollama: {url: https://h:1}", (1, 15), "server.ollama.url", "'https://h:1'", "http://host:port"),
        ("hold: 1s\nhold: 2s", (2, 1), "server.hold", "a second time (first in line 1)", "each key once"),
        ("? [a]\n: 1", (1, 3), "server", "a key that is a list", "plain words"),
        ("{a: 1}: 2", (1, 1), "server", "a key that is a list or a block", "plain words"),
        ('"bad\\ud800": 1', (1, 1), "server", "'bad\\ud800'", "characters that exist"),
    ],
)
def test_a_mistake_is_located_and_explained(
    text: str, where: tuple[int, int], field: str, found: str, allowed: str
) -> None:
    told = problems(text)[0]
    assert (told.line, told.column) == where
    assert told.field == field
    assert found in told.found
    assert allowed in told.allowed


@pytest.mark.parametrize(
    ("text", "where", "found", "allowed"),
    [
        ("log:\n\tlevel: info", (2, 1), "a tab", "spaces"),
        ("prefixes: [/a, /b", (1, 18), "", "every [ or {"),
        ("limits: {body: 1", (1, 17), "", "every [ or {"),
        ("log:\n  level: info\n files: 3", (3, 2), "", "same column"),
        ("hold: 5s drain: 3s", (1, 15), "a `: ` where", "`key: value`"),
        ("hold: 5s\ndrain", (2, 6), "", "colon"),
        ('hold: "5s', (1, 10), "the end of the file", "quotation mark"),
        ("hold: *x", (1, 7), "alias", "in quotes"),
        ("hostnames: [*.example.org]", (1, 13), "", "in quotes"),
        ("hold: &x 5s", (1, 7), "anchor", "in quotes"),
        ("hold: !!str 5s", (1, 7), "tag", "in quotes"),
        ("hold: @x", (1, 7), "'@'", "in quotes"),
        ("hold: %x", (1, 7), "'%'", "in quotes"),
        ("hold: 1s\n---\nhold: 2s", (2, 1), "another document", "one document"),
        ("a: " + "[" * 50, (1, 23), "nested too deep", "at most"),
        ("a: " + "[" * 50_000, (1, 23), "nested too deep", "at most"),
        ('a: "\\UFFFFFFFF"', (1, 7), "impossible", "printable"),
        (b"hold: 5s\nlabel: \xff\xfe", (2, 8), "0xff", "UTF-8"),
        ("hold: 5s".encode("utf-16"), (1, 1), "0xff", "UTF-8"),
        (b"hold: 5s\n" + b"\0" * 9, (2, 1), "U+0000", "printable"),
        (b"#" * (2**20 + 1), (1, 1), "bytes", "at most 1048576 bytes"),
    ],
)
def test_text_that_is_not_yaml_is_located_and_explained(
    text: str | bytes, where: tuple[int, int], found: str, allowed: str
) -> None:
    told = one(text)
    assert (told.line, told.column) == where, told
    assert found in told.found
    assert allowed in told.allowed


def test_a_file_with_a_byte_order_mark_is_read() -> None:
    assert loaded(b"\xef\xbb\xbfhold: 5s\r\ndrain: 6s\r\n").config.server.hold == 5


def test_a_broken_file_does_not_hide_the_mistakes_of_the_others() -> None:
    found = problems("log: [", "parallel: many", "hosts: [a b]")
    assert [each.file.name for each in found] == ["access.yaml", "models.yaml", "server.yaml"]


def test_one_mistake_is_told_once_and_hides_no_other_in_its_file() -> None:
    text = "tunnel:\n  mode: named\n  credentials_file: [1]\nlisteners:\n- address: x\n- address: y\n"
    text += "ollama: {mode: external}"
    assert [each.field for each in problems(text)] == [
        "server.tunnel.hostnames",
        "server.tunnel.tunnel_id",
        "server.tunnel.credentials_file",
        "server.listeners[0].address",
        "server.listeners[1].address",
        "server.ollama.url",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "ollama: {environment: {A: [hunter2]}}",
        "ollama: {environment: {A: {b: hunter2}}}",
        "ollama: {environment: [hunter2]}",
        "ollama: {environment: {OLLAMA_HOST: hunter2}}",
        "children: {x: {command: [a], environment: {'a b': hunter2}}}",
        "tunnel: {token: hunter2}",
        "tunnel: {tunnel_id: [hunter2]}",
        "tunnel: {mode: " + "hunter2" * 10 + "}",
    ],
)
def test_no_problem_repeats_what_may_be_a_secret(text: str) -> None:
    assert "hunter2" not in "\n".join(map(str, problems(text)))


def test_a_variable_that_is_not_set_is_a_problem_that_may_heal() -> None:
    found = one("ollama:\n  environment:\n    TOKEN: {from: NOPE}")
    assert (found.line, found.field, found.outside) == (3, "server.ollama.environment.TOKEN", True)
    assert "'NOPE' set in the environment" in found.allowed


OLD = Rename(("server", "wait_for_ollama"), ("server", "hold"))


def test_a_renamed_key_works_and_is_told_once_with_its_successor() -> None:
    found = loaded("drain: 1s\nwait_for_ollama: 7s", renames=[OLD])
    assert found.config.server.hold == 7
    assert len(found.warnings) == 1
    assert f"{FOLDER}/server.yaml:2:1 server.wait_for_ollama is now called server.hold" in found.warnings[0]


def test_a_mistake_behind_a_renamed_key_is_still_located() -> None:
    found = one("drain: 1s\nwait_for_ollama: soon", renames=[OLD])
    assert (found.line, found.column, found.field) == (2, 18, "server.hold")


def test_an_old_name_beside_its_successor_is_refused() -> None:
    found = one("hold: 1s\nwait_for_ollama: 7s", renames=[OLD])
    assert (found.line, found.field, found.allowed) == (2, "server.wait_for_ollama", "only server.hold")


def test_a_key_may_move_to_another_file() -> None:
    moved = Rename(("server", "ollama", "parallel"), ("models", "parallel"))
    found = loaded("ollama: {parallel: 3}", renames=[moved])
    assert found.config.models.parallel == 3
    told = one("ollama: {parallel: x}", renames=[moved])
    assert (told.file.name, told.line, told.column, told.field) == ("server.yaml", 1, 20, "models.parallel")


@pytest.mark.parametrize("server", ["", "ollama:", "ollama: 5", "ollama: [1]", "[", "5"])
def test_a_rename_into_or_out_of_something_that_is_no_block_breaks_nothing(server: str) -> None:
    renames = [
        Rename(("server", "ollama", "a"), ("server", "hold")),
        Rename(("server", "x"), ("server", "ollama", "b")),
    ]
    only_located_problems(server.encode(), b"", b"", renames=renames)


def test_equal_bytes_have_equal_digests_and_moved_bytes_have_not() -> None:
    assert digest({"a": b"1", "b": b"2"}) == digest({"b": b"2", "a": b"1"})
    assert len({digest({"a": b"12", "b": b""}), digest({"a": b"1", "b": b"2"}), digest({"a": b"12"})}) == 3


def only_located_problems(server: bytes, models: bytes, access: bytes, **more: Any) -> None:
    try:
        found: LoadedConfig | tuple[Problem, ...] = loaded(server, models, access, **more)
    except ConfigInvalid as invalid:
        found = invalid.problems
    if isinstance(found, LoadedConfig):
        assert isinstance(found.config, Config)
        return
    assert found
    for problem in found:
        assert (problem.line, problem.column) >= (1, 1)
        str(problem).encode()


@given(st.binary(max_size=200), st.text(max_size=200), st.text("[]{}:,-#&*!|>'\"%@`? \n\tab0~", max_size=60))
@example(b"\xff", "a: &a [*a]", "? ? ? - - - :")
def test_no_bytes_raise_anything_but_located_problems(one: bytes, two: str, three: str) -> None:
    only_located_problems(one, two.encode(errors="surrogatepass"), three.encode())


KEYS = sorted({part for leaf in leaves() for part in leaf.path[1:]})
WORDS = ["127.0.0.1:8420", "unix:/a", "10.0.0.0/8", "5s", "1MiB", "named", "external", "forever", "~x/y", "off"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS)
NAMES = st.sampled_from(KEYS) | st.text(max_size=4)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)


@given(*(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5) for _ in range(3)))
def test_no_tree_raises_anything_but_located_problems(one: object, two: object, three: object) -> None:
    only_located_problems(*(yaml.safe_dump(each, allow_unicode=True).encode() for each in (one, two, three)))
