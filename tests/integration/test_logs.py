"""The log on a real disk: rotation, refusal, recovery, and nothing in it that should not be."""

from __future__ import annotations

import io
import json
import logging
import os
import resource
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from controller.config.machine import LogSettings
from controller.events import Event, Journal
from controller.logs import CAPACITY, Log, RotatingFile
from tests.fakes.clock import WoundClock


class Access(msgspec.Struct, frozen=True, tag_field="kind", tag="access"):
    """As the gateway's record is: plain values with names."""

    path: str
    status: int = 200


def until(holds: Callable[[], object], limit: float = 20) -> None:
    deadline = time.monotonic() + limit
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []


def test_an_event_and_a_request_are_one_json_line_each_in_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "controller.jsonl"
    with Log(path, LogSettings()) as log:
        Journal(WoundClock(), said=log.event).say("ollama", "It answers now.", pid=12)
        log.access(Access("/api/chat", 200))
    event, access = lines(path)
    assert event == {
        "kind": "line",
        "at": 1_700_000_000.0,
        "level": "info",
        "source": "ollama",
        "text": "It answers now.",
        "facts": {"pid": 12},
    }
    assert access == {"kind": "access", "path": "/api/chat", "status": 200}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_others_could_read_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "controller.jsonl"
    path.touch(0o644)
    with Log(path, LogSettings()) as log:
        log.say("info", "controller", "hello")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_level_changes_while_it_runs(tmp_path: Path) -> None:
    with Log(tmp_path / "c.jsonl", LogSettings(level="warning")) as log:
        log.say("info", "controller", "not worth it")
        log.apply(LogSettings(level="debug"))
        log.say("debug", "controller", "worth it now")
    assert [line["text"] for line in lines(tmp_path / "c.jsonl")] == ["worth it now"]


def test_access_lines_can_be_switched_off_while_it_runs(tmp_path: Path) -> None:
    with Log(tmp_path / "c.jsonl", LogSettings(access=False)) as log:
        log.access(Access("/first"))
        log.apply(LogSettings(access=True))
        log.access(Access("/second"))
    assert [line["path"] for line in lines(tmp_path / "c.jsonl")] == ["/second"]


def test_what_a_library_logs_comes_too_with_its_trace_and_without_secrets(tmp_path: Path) -> None:
    with Log(tmp_path / "c.jsonl", LogSettings()):
        try:
            raise ValueError("Bearer abcdefghijklmnop")
        except ValueError:
            logging.getLogger("some.library").exception("it %s", "broke")
        logging.getLogger("httpx").info("HTTP Request: GET http://127.0.0.1/api/version")
    (line,) = lines(tmp_path / "c.jsonl")
    assert (line["level"], line["source"], line["text"]) == ("error", "some.library", "it broke")
    assert "ValueError" in json.dumps(line)
    assert "abcdefghijklmnop" not in json.dumps(line)


def test_what_was_said_before_the_log_opened_is_in_it(tmp_path: Path) -> None:
    log = Log(tmp_path / "c.jsonl", LogSettings())
    log.say("info", "config", "read")
    assert not (tmp_path / "c.jsonl").exists()
    with log:
        pass
    assert [line["text"] for line in lines(tmp_path / "c.jsonl")] == ["read"]


def test_the_library_log_is_left_as_it_was_found(tmp_path: Path) -> None:
    before = list(logging.getLogger().handlers)
    with Log(tmp_path / "c.jsonl", LogSettings()):
        assert logging.getLogger().handlers != before
    assert logging.getLogger().handlers == before


def test_no_secret_reaches_the_file_or_the_terminal(tmp_path: Path) -> None:
    console = io.StringIO()
    with Log(tmp_path / "c.jsonl", LogSettings(), console=console) as log:
        log.say("info", "gateway", "came with sd_abcdefgh1234", cookie="__Host-sd=xyzxyzxyz")
        log.access(Access("/join?ts=secretsecret&x=1"))
    told = (tmp_path / "c.jsonl").read_text() + console.getvalue()
    assert not {"abcdefgh1234", "xyzxyzxyz", "secretsecret"} & {word for word in told.replace("=", " ").split()}
    assert "secretsecret" not in told
    assert "xyzxyzxyz" not in told


def test_nothing_said_can_break_a_line_or_drive_a_terminal(tmp_path: Path) -> None:
    console = io.StringIO()
    with Log(tmp_path / "c.jsonl", LogSettings(), console=console) as log:
        log.say("error", "ollama", 'a "quoted"\nsecond \x1b[2Jline \ud800', fact=Path("/x"), odd={1: object()})
    (line,) = (tmp_path / "c.jsonl").read_text().splitlines()
    assert json.loads(line)
    assert console.getvalue().count("\n") == 1
    assert "\x1b" not in console.getvalue()
    assert "error: " in console.getvalue()


def test_a_full_file_makes_room_and_only_the_newest_are_kept(tmp_path: Path) -> None:
    file = RotatingFile(tmp_path / "c.jsonl", size=100, files=2)
    for number in range(10):
        file.write(b"%d" % number * 59 + b"\n")
    file.close()
    assert {path.name: path.read_bytes()[:1] for path in tmp_path.iterdir()} == {
        "c.jsonl": b"9",
        "c.jsonl.1": b"8",
        "c.jsonl.2": b"7",
    }


def test_a_write_cut_short_by_the_disk_leaves_no_half_line(tmp_path: Path) -> None:
    file = RotatingFile(tmp_path / "c.jsonl", size=2**20, files=2)
    file.write(b"first\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))  # the kernel takes four more bytes, then refuses
    try:
        with pytest.raises(OSError, match="too large"):
            file.write(b"second line\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "c.jsonl").read_bytes() == b"first\n"
    file.write(b"second line\n")
    file.close()
    assert (tmp_path / "c.jsonl").read_bytes() == b"first\nsecond line\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full is a Linux device")
def test_a_full_disk_is_told_and_writing_resumes_without_losing_a_line(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.symlink_to("/dev/full")
    with Log(path, LogSettings(), retry=0.05) as log:
        log.say("info", "controller", "said while the disk was full")
        until(lambda: log.trouble)
        assert "No space" in log.trouble
        path.unlink()
        until(lambda: not log.trouble)
    assert [line["text"] for line in lines(path)] == ["said while the disk was full"]


def test_a_folder_removed_under_it_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "c.jsonl"
    with Log(path, LogSettings()) as log:
        log.say("info", "controller", "first")
        until(lambda: lines(path))
        shutil.rmtree(path.parent)
        log.say("info", "controller", "second")
        until(lambda: lines(path))
    assert [line["text"] for line in lines(path)] == ["second"]


def test_while_the_disk_refuses_memory_is_bounded_and_what_is_lost_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.mkdir()  # opening a folder for writing fails, whoever we are
    with Log(path, LogSettings(), retry=0.05) as log:
        log.access(Access("/0"))
        until(lambda: log.trouble)
        for number in range(CAPACITY + 1000):
            log.access(Access(f"/{number}"))
        assert 900 <= log.dropped <= 1000
        path.rmdir()
        until(lambda: len(lines(path)) > CAPACITY - 1)
    assert lines(path)[-1]["path"] == f"/{CAPACITY + 999}"


def test_putting_into_the_log_never_waits_for_a_terminal_that_stands_still(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, True)
    with open(writer, "w") as console:
        with Log(tmp_path / "c.jsonl", LogSettings(), console=console) as log:
            for _ in range(3000):  # a pipe takes 64 KiB; nobody reads this one
                log.say("info", "controller", "x" * 100)
            until(lambda: len(lines(tmp_path / "c.jsonl")) == 3000)
            os.close(reader)  # the terminal is gone: the stuck write fails, and everything ends


def test_an_event_carries_its_level_into_the_file(tmp_path: Path) -> None:
    with Log(tmp_path / "c.jsonl", LogSettings()) as log:
        log.event(Event(1, 5.0, "warning", "config", "server.yaml is broken"))
    assert lines(tmp_path / "c.jsonl")[0]["level"] == "warning"
