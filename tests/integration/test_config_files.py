"""What the configuration asks of the disk: files read, programs and secrets checked, the last good copy kept."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.config.check import check
from controller.config.last_good import keep_last_good, load_last_good
from controller.config.load import load
from controller.config.problem import ConfigInvalid, Problem


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "config"
    made.mkdir()
    for name in ("server.yaml", "models.yaml", "access.yaml"):
        (made / name).touch()
    return made


def problems(folder: Path, text: str, name: str = "server.yaml") -> list[Problem]:
    (folder / name).write_text(text)
    with pytest.raises(ConfigInvalid) as caught:
        load(folder, {})
    return list(caught.value.problems)


def write(path: Path, text: str = "", mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="no such folder"):
        load(tmp_path / "confg", {})


def test_a_folder_in_the_place_of_a_file_is_told(folder: Path) -> None:
    (folder / "models.yaml").unlink()
    (folder / "models.yaml").mkdir()
    with pytest.raises(ConfigInvalid, match="models.yaml:1:1 models: found something that is not a file"):
        load(folder, {})


def test_a_pipe_in_the_place_of_a_file_holds_nobody_up(folder: Path) -> None:
    (folder / "models.yaml").unlink()
    os.mkfifo(folder / "models.yaml")
    with pytest.raises(ConfigInvalid, match="models.yaml:1:1 models: found something that is not a file"):
        load(folder, {})


MISSING = [
    ("server.yaml", "ollama:\n  binary: nowhere/ollama", "server.ollama.binary"),
    ("server.yaml", "tunnel:\n  binary: /", "server.tunnel.binary"),
    ("server.yaml", "tunnel:\n  edge_ca: nowhere.pem", "server.tunnel.edge_ca"),
    ("server.yaml", "children:\n  x: {command: [no-such-program]}", "server.children.x.command[0]"),
    ("server.yaml", "children:\n  x: {command: [sleep], folder: nowhere}", "server.children.x.folder"),
    ("server.yaml", 'ollama:\n  binary: "a\\0b"', "server.ollama.binary"),
]


@pytest.mark.parametrize(("name", "text", "field"), MISSING)
def test_what_is_named_and_not_there_is_located_and_may_heal(folder: Path, name: str, text: str, field: str) -> None:
    (found,) = problems(folder, text, name)
    assert (found.field, found.line, found.outside) == (field, 2, True)


def test_a_file_that_is_no_program_is_no_binary(folder: Path) -> None:
    write(folder / "ollama", mode=0o600)
    assert problems(folder, "ollama: {binary: ollama}")[0].field == "server.ollama.binary"
    (folder / "ollama").chmod(0o700)
    assert load(folder, {}).config.server.ollama.binary == folder / "ollama"


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda path: None, "no program"),
        (lambda path: path.symlink_to("nowhere"), "a link to what is not there"),
        (lambda path: path.mkdir(), "a folder"),
        (lambda path: write(path, "x", mode=0o600), "a file that may not be executed"),
    ],
)
@pytest.mark.parametrize("where", ["ollama: {binary: PROGRAM}", "children: {x: {command: [PROGRAM]}}"])
def test_what_is_wrong_with_a_program_is_told_as_it_is(
    folder: Path, make: Callable[[Path], object], found: str, where: str
) -> None:
    program = folder / "program"
    make(program)
    (problem,) = problems(folder, where.replace("PROGRAM", str(program)))
    assert problem.found.startswith(f"{found}: " if "executed" not in found else found)


def test_a_child_may_be_a_program_on_the_path_or_anywhere(folder: Path) -> None:
    (folder / "server.yaml").write_text("children: {a: {command: [sleep, 1]}, b: {command: [/bin/sh], folder: /}}")
    assert set(load(folder, {}).config.server.children) == {"a", "b"}


def test_files_of_a_tunnel_that_is_off_are_not_asked_for(folder: Path) -> None:
    (folder / "server.yaml").write_text("tunnel: {token_file: nowhere, credentials_file: nowhere}")
    assert load(folder, {}).config.server.tunnel.mode == "off"


NOT_PRIVATE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "no such file"),
    "a folder": (lambda path: path.mkdir(), "not a file"),
    "empty": (lambda path: write(path), "an empty file"),
    "readable by the group": (lambda path: write(path, mode=0o640), "others may read (mode 0640)"),
    "readable by all": (lambda path: write(path, mode=0o604), "others may read (mode 0604)"),
}


@pytest.mark.parametrize("case", NOT_PRIVATE)
@pytest.mark.parametrize(
    "text",
    [
        "tunnel:\n  {mode: token, token_file: secret}",
        "tunnel:\n  {mode: named, tunnel_id: x, hostnames: [a.b], credentials_file: secret}",
        "ollama:\n  environment: {A: {file: secret}}",
    ],
)
def test_a_secret_is_in_a_file_that_only_we_may_read(folder: Path, case: str, text: str) -> None:
    make, words = NOT_PRIVATE[case]
    make(folder / "secret")
    (found,) = problems(folder, text)
    assert (found.line, found.outside) == (2, True)
    assert words in found.found
    assert "chmod 600" in found.allowed


def test_a_secret_of_somebody_else_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = write(folder / "secret", "x").stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)  # only root could give the file away instead
    (found,) = problems(folder, "ollama: {environment: {A: {file: secret}}}")
    assert "belongs to somebody else" in found.found


def test_a_secret_from_a_file_is_read_without_its_line_break_and_never_told(folder: Path) -> None:
    write(folder / "secret", "hunter2\n")
    (folder / "server.yaml").write_text("ollama: {environment: {A: {file: secret}}}")
    loaded = load(folder, {})
    assert loaded.config.server.ollama.environment == {"A": "hunter2"}
    assert loaded.secrets == (folder / "secret",)
    assert "hunter2" not in repr(loaded) + repr(check(folder, {}))


@pytest.mark.parametrize("text", ["\ufeffhunter2", "\ufeffhunter2\r\n", "\ufeff  hunter2"])
def test_a_secret_is_read_without_the_mark_that_some_editors_begin_a_file_with(folder: Path, text: str) -> None:
    write(folder / "secret").write_bytes(text.encode())
    (folder / "server.yaml").write_text("ollama: {environment: {A: {file: secret}}}")
    assert load(folder, {}).config.server.ollama.environment == {"A": "hunter2"}


@pytest.mark.parametrize("nothing", ["\ufeff", "\n", " \r\n"])
def test_a_file_with_nothing_to_be_seen_in_it_holds_no_secret(folder: Path, nothing: str) -> None:
    write(folder / "secret").write_bytes(nothing.encode())
    (found,) = problems(folder, "ollama: {environment: {A: {file: secret}}}")
    assert found.found.startswith("an empty file")


def test_a_file_that_cloudflared_reads_itself_must_not_begin_with_such_a_mark(folder: Path) -> None:
    write(folder / "token").write_bytes(b"\xef\xbb\xbftoken")
    (found,) = problems(folder, "tunnel: {mode: token, token_file: token}")
    assert "cloudflared cannot read" in found.found
    assert "without a byte order mark" in found.allowed


def test_a_secret_that_is_no_text_is_refused(folder: Path) -> None:
    write(folder / "secret").write_bytes(b"\xff\xfe")
    assert "not readable text" in problems(folder, "ollama: {environment: {A: {file: secret}}}")[0].found


def test_a_token_written_where_its_file_belongs_is_not_repeated(folder: Path) -> None:
    token = "eyJhIjoi" * 20
    assert token not in str(problems(folder, f"tunnel: {{mode: token, token_file: {token}}}")[0])


def test_check_says_how_much_differs_from_the_defaults(folder: Path) -> None:
    (folder / "server.yaml").write_text("hold: 5s\nlog: {level: debug}\nchildren: {awake: {command: [sleep]}}\n")
    lines, code = check(folder, {})
    fields = "server.hold, server.log.level, child awake"
    assert (lines, code) == ([f"ok, 3 files, 3 settings differ from the defaults: {fields}"], 0)


def test_check_says_warnings_and_that_nothing_differs(folder: Path) -> None:
    (folder / "models.yaml").unlink()
    lines, code = check(folder, {})
    assert lines[0].startswith(f"warning: {folder}/models.yaml is not there")
    assert (lines[1:], code) == (["ok, 2 files, all as the defaults"], 0)


def test_check_says_every_problem_and_fails(folder: Path) -> None:
    (folder / "server.yaml").write_text("hold: soon\ndrain: late\n")
    lines, code = check(folder, {})
    assert [line.split(" ")[0] for line in lines[:2]] == [f"{folder}/server.yaml:1:7", f"{folder}/server.yaml:2:8"]
    assert (lines[2], code) == ("2 problems. What runs now is not touched by them.", 1)


def test_the_last_good_copy_is_ours_alone_and_is_replaced_as_a_whole(tmp_path: Path) -> None:
    keep_last_good(tmp_path, {"server.yaml": b"hold: 5s", "models.yaml": b"parallel: 2"})
    keep_last_good(tmp_path, {"server.yaml": b"hold: 6s"})
    kept = tmp_path / "last-good"
    assert [file.name for file in kept.iterdir()] == ["server.yaml"]
    assert stat.S_IMODE((kept / "server.yaml").stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert len(list(tmp_path.iterdir())) == 2  # the copy and the link to it
    found = load_last_good(tmp_path, tmp_path, {})
    assert found is not None
    assert found.loaded.config.server.hold == 6


def test_keeping_the_same_again_only_renews_its_date(tmp_path: Path) -> None:
    keep_last_good(tmp_path, {"server.yaml": b"hold: 5s"})
    file = tmp_path / "last-good" / "server.yaml"
    before = file.stat()
    os.utime(tmp_path / "last-good", (1, 1))
    keep_last_good(tmp_path, {"server.yaml": b"hold: 5s"})
    found = load_last_good(tmp_path, tmp_path, {})
    assert found is not None
    assert found.saved_at > 1_000_000
    assert file.stat() == before


def test_a_copy_that_was_not_finished_leaves_the_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_last_good(tmp_path, {"server.yaml": b"hold: 5s"})

    def disk_full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(OSError, match="No space"):
        keep_last_good(tmp_path, {"server.yaml": b"hold: 6s"})
    monkeypatch.undo()
    found = load_last_good(tmp_path, tmp_path, {})
    assert found is not None
    assert found.loaded.config.server.hold == 5
    keep_last_good(tmp_path, {"server.yaml": b"hold: 6s"})
    again = load_last_good(tmp_path, tmp_path, {})
    assert again is not None
    assert again.loaded.config.server.hold == 6


def test_a_folder_of_models_that_is_away_is_no_mistake_but_told(folder: Path) -> None:
    (folder / "models.yaml").write_text("folder: disk/models")
    (warning,) = load(folder, {}).warnings
    assert f"no folder at {folder / 'disk/models'}" in warning
    (folder / "disk" / "models").mkdir(parents=True)
    assert load(folder, {}).warnings == ()


def test_a_last_good_copy_keeps_its_paths_and_does_not_ask_for_what_is_away_now(tmp_path: Path) -> None:
    keep_last_good(tmp_path / "data", {"models.yaml": b"folder: disk/models"})
    found = load_last_good(tmp_path / "data", tmp_path / "config", {})
    assert found is not None
    assert found.loaded.config.models.folder == tmp_path / "config" / "disk/models"


@pytest.mark.parametrize("text", [b"hold: soon", b"\xff"])
def test_a_last_good_copy_that_cannot_be_used_is_none(tmp_path: Path, text: bytes) -> None:
    keep_last_good(tmp_path, {"server.yaml": text})
    assert load_last_good(tmp_path, tmp_path, {}) is None


def test_where_nothing_was_kept_there_is_no_last_good_copy(tmp_path: Path) -> None:
    assert load_last_good(tmp_path, tmp_path, {}) is None
