"""The command line against a controller that is only told about, and against none."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from controller.cli import main
from controller.config.schema import Config, Server
from controller.control.server import serve
from controller.engines.ollama.settings import OllamaSettings
from controller.errors import OrderRefused, SeadragonError
from controller.machine import lock
from controller.supervision.spec import ChildState
from tests.fakes.desk import FakeDesk, FakeJob, a_line, a_ticket, an_ollama
from tests.kit.signals import as_in_a_terminal


@pytest.fixture
def places(tmp_path: Path) -> list[str]:
    for name in ("config", "data", "logs"):
        (tmp_path / name).mkdir(mode=0o700)
    return [word for name in ("config", "data", "logs") for word in (f"--{name}", str(tmp_path / name))]


@pytest.fixture
async def desk(tmp_path: Path, places: list[str]) -> AsyncIterator[FakeDesk]:
    desk = FakeDesk(tmp_path)
    desk.started_at = time.time() - 7500
    async with serve(desk, tmp_path / "data" / "control.sock"):
        yield desk


def call(*words: str) -> Result:
    return CliRunner().invoke(main, words)


async def run(*words: str) -> Result:
    return await asyncio.to_thread(call, *words)


@pytest.mark.parametrize(
    "words",
    [
        *(["status"], ["down"], ["restart"], ["start", "ollama"], ["stop", "ollama"], ["reload"], ["demo"]),
        *(["models"], ["models", "load", "x"], ["switch", "x"], ["queue"], ["pause"], ["resume"], ["cancel", "7"]),
    ],
)
def test_what_needs_a_controller_says_that_none_runs_and_how_to_start_one(places: list[str], words: list[str]) -> None:
    result = call(*words, *places)
    assert result.exit_code == 3
    assert "seadragon up" in result.output


async def test_status_is_a_small_table_in_words(desk: FakeDesk, places: list[str]) -> None:
    result = await run("status", *places)
    assert result.exit_code == 0
    first, listener, _, ollama, *_ = result.output.splitlines()
    assert "1.2.3" in first
    assert "running for 2 h 5 min" in first
    assert "http://127.0.0.1:8420" in listener
    assert ollama.split()[:2] == ["ollama", "ready"]
    assert "process 4242" in ollama
    assert "\x1b" not in result.output


async def test_status_says_what_a_person_must_do(desk: FakeDesk, places: list[str]) -> None:
    desk.known["ollama"] = an_ollama(ChildState.MISCONFIGURED, pid=None, reason="Install it with: brew install ollama")
    desk.config_problems = ["config/server.yaml:3:1 server.hold: found 'soon'"]
    result = await run("status", *places)
    assert "brew install ollama" in result.output
    assert "server.yaml:3:1" in result.output


async def test_status_as_json_is_the_whole_document(desk: FakeDesk, places: list[str]) -> None:
    seen = json.loads((await run("status", "--json", *places)).output)
    assert {"pid", "version", "phase", "listeners", "children", "config", "uptime"} <= seen.keys()
    assert seen["children"]["ollama"]["state"] == "ready"


@pytest.mark.parametrize(("verb", "state"), [("start", "ready"), ("stop", "stopped"), ("restart", "ready")])
async def test_a_child_is_ordered_about_by_name(desk: FakeDesk, places: list[str], verb: str, state: str) -> None:
    result = await run(verb, "ollama", *places)
    assert (result.exit_code, desk.orders) == (0, [(verb, "ollama")])
    assert f"ollama is {state}." in result.output


async def test_a_restart_that_ends_badly_is_a_failure_with_its_reason(desk: FakeDesk, places: list[str]) -> None:
    desk.known["ollama"] = an_ollama(ChildState.CONFLICT, reason="Somebody else has its port.")
    result = await run("restart", "ollama", *places)
    assert result.exit_code == 1
    assert "Somebody else has its port." in result.output


async def test_a_wrong_name_is_told_with_the_right_ones(desk: FakeDesk, places: list[str]) -> None:
    result = await run("start", "olama", *places)
    assert result.exit_code == 1
    assert "There is: ollama" in result.output


async def test_reload_tells_each_change_or_that_there_is_none(desk: FakeDesk, places: list[str]) -> None:
    assert "is what runs already" in (await run("reload", *places)).output
    desk.reloaded = ["server.hold is 30 s now"]
    assert "server.hold is 30 s now" in (await run("reload", *places)).output


async def test_a_reload_of_broken_yaml_fails_with_its_place(desk: FakeDesk, places: list[str]) -> None:
    def refuse(order: str) -> None:
        raise SeadragonError("config/server.yaml:3:1 server.hold: found 'soon'")

    desk.on_order = refuse
    result = await run("reload", *places)
    assert (result.exit_code, "server.yaml:3:1" in result.output) == (1, True)


async def test_restart_waits_for_the_next_controller_and_names_it(tmp_path: Path, places: list[str]) -> None:
    socket = tmp_path / "data" / "control.sock"
    old, new = FakeDesk(tmp_path), FakeDesk(tmp_path)
    new.version, new.started_at = "1.2.4", old.started_at + 100
    ordered = asyncio.Event()
    old.on_order = lambda order: ordered.set()
    async with serve(old, socket):
        restart = asyncio.create_task(run("restart", *places))
        await ordered.wait()
        old.journal.say("controller", "Waiting for 1 answer.")
    async with serve(new, socket):
        result = await restart
    assert result.exit_code == 0
    assert "Seadragon 1.2.4 runs again" in result.output
    assert old.orders == [("leave", True)]


async def test_down_that_is_kept_up_by_a_service_manager_says_so(desk: FakeDesk, places: list[str]) -> None:
    def leave(order: str) -> None:
        loop.call_later(0.5, stay)

    def stay() -> None:
        desk.phase = "running"
        desk.journal.say("controller", "Everything is stopped. Seadragon itself stays.")

    loop = asyncio.get_running_loop()
    desk.on_order = leave
    result = await run("down", *places)
    assert "sudo seadragon down" in result.output
    assert desk.orders == [("leave", False)]


async def test_the_models_are_a_table_the_loaded_first_and_as_json_the_documents(
    desk: FakeDesk, places: list[str]
) -> None:
    table = (await run("models", *places)).output.splitlines()
    assert [line.split()[0] for line in table] == ["MODEL", "qwen3", "llama3.2"]
    assert json.loads((await run("models", "--json", *places)).output) == desk.installed


@pytest.mark.parametrize(
    ("words", "order"),
    [
        (["models", "load", "qwen3"], ("load", {"model": "qwen3"})),
        (["models", "unload", "qwen3"], ("unload", {"model": "qwen3"})),
        (["models", "pin", "qwen3"], ("pin", {"model": "qwen3", "on": True})),
        (["models", "unpin", "qwen3"], ("pin", {"model": "qwen3", "on": False})),
        (["switch", "qwen3"], ("switch", {"model": "qwen3", "waiting": "keep", "when": "free"})),
        (
            ["switch", "qwen3", "--from", "llama3.2", "--waiting", "redirect", "--now"],
            ("switch", {"model": "qwen3", "from_": "llama3.2", "waiting": "redirect", "when": "now"}),
        ),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
async def test_an_order_about_a_model_is_followed_to_its_end(
    desk: FakeDesk, places: list[str], words: list[str], order: tuple[str, object]
) -> None:
    desk.on_job = lambda job: job.end("It is done \x1b[2J.")
    result = await run(*words, *places)
    assert (result.exit_code, desk.orders) == (0, [order])
    assert result.output == "It is done \\x1b[2J.\n"


async def test_what_a_job_says_on_its_way_is_told_once_each(desk: FakeDesk, places: list[str]) -> None:
    begun = asyncio.Event()
    desk.on_job = lambda job: begun.set()
    loading = asyncio.create_task(run("switch", "qwen3", *places))
    await begun.wait()
    desk.jobs["j1"].touched = 3
    desk.jobs["j1"].end("qwen3 is loaded.")
    lines = (await loading).output.splitlines()
    assert lines[-2:] == ["qwen3 is loaded.", "Requests it touched, waiting or being answered: 3."]
    assert len(lines) == len(set(lines))


async def test_an_order_that_fails_is_exit_code_one_with_its_reason(desk: FakeDesk, places: list[str]) -> None:
    desk.on_job = lambda job: job.end("qwen3 does not fit: 50 GB of 47 GB.", "failed")
    result = await run("models", "load", "qwen3", *places)
    assert (result.exit_code, result.stderr) == (1, "qwen3 does not fit: 50 GB of 47 GB.\n")


async def test_an_order_that_is_refused_is_exit_code_one(desk: FakeDesk, places: list[str]) -> None:
    def refuse(job: FakeJob) -> None:
        raise OrderRefused("llama3.2 is not loaded.", "conflict")

    desk.on_job = refuse
    result = await run("switch", "qwen3", "--from", "llama3.2", *places)
    assert (result.exit_code, result.stderr) == (1, "llama3.2 is not loaded.\n")


async def test_an_order_that_is_not_waited_for_only_says_that_it_has_begun(desk: FakeDesk, places: list[str]) -> None:
    result = await run("models", "load", "qwen3", "--no-wait", *places)
    assert (result.exit_code, result.output) == (0, "It has begun.\n")


def coming(desk: FakeDesk) -> Callable[[], None]:
    """Ollama is starting; what is returned makes it ready."""
    desk.readiness.set("coming", "It has been started.")
    loop = asyncio.get_running_loop()

    def ready() -> None:
        loop.call_soon_threadsafe(desk.readiness.set, "ready", "It answers its probe.")

    return ready


@pytest.mark.parametrize(
    "words",
    [
        ["models"],
        ["models", "load", "qwen3"],
        ["models", "pin", "qwen3"],
        ["switch", "qwen3"],
        ["pause", "--model", "qwen3"],
    ],
    ids=" ".join,
)
async def test_what_needs_an_engine_waits_for_it_and_says_so(
    desk: FakeDesk, places: list[str], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        if desk.readiness.verdict != "ready":
            ready()  # while the command waits
            raise OrderRefused("Ollama is not there. Try again when it is.", "busy")

    ready = coming(desk)
    desk.on_order = away
    desk.on_job = lambda job: job.end("It is done.")
    listed = desk.models

    async def models() -> list[Any]:
        away()
        return await listed()

    monkeypatch.setattr(desk, "models", models)
    result = await run(*words, *places)
    assert result.exit_code == 0, result.output
    assert "Waiting for Ollama (0 s of 2 min): It has been started." in result.output


async def test_what_ollama_will_not_come_back_for_fails_at_once_with_the_reason(
    desk: FakeDesk, places: list[str]
) -> None:
    desk.readiness.set("down", "It was stopped. To start it: seadragon start ollama")
    result = await run("demo", *places)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Ollama is not ready: It was stopped. To start it: seadragon start ollama\n"


async def test_ollama_is_waited_for_as_long_as_its_start_may_take(desk: FakeDesk, places: list[str]) -> None:
    desk.config = Config(server=Server(ollama=OllamaSettings(startup=0.3)))
    desk.readiness.set("coming", "It does not answer yet.")
    result = await run("demo", *places)
    assert result.exit_code == 1
    first, *_, last = result.stderr.splitlines()
    assert first.startswith("Waiting for Ollama (0 s of 0 s)")
    assert last.startswith("Ollama did not get ready within 0 s: It does not answer yet.")
    assert "seadragon logs ollama" in last


async def test_a_command_right_after_up_waits_until_seadragon_hears_orders(
    tmp_path: Path, places: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, looked, loop = tmp_path / "data", asyncio.Event(), asyncio.get_running_loop()

    def holder(data: Path, look: Callable[[Path], lock.LockHolder | None] = lock.holder) -> lock.LockHolder | None:
        loop.call_soon_threadsafe(looked.set)
        return look(data)

    monkeypatch.setattr(lock, "holder", holder)
    with lock.held(data, time.time()):
        asked = asyncio.create_task(run("models", *places))
        await looked.wait()
        async with serve(FakeDesk(tmp_path), data / "control.sock"):
            result = await asked
    assert (result.exit_code, result.output.split()[0]) == (0, "MODEL")
    assert (await run("models", *places)).exit_code == 3


async def test_the_line_is_a_table_with_places_and_reasons(desk: FakeDesk, places: list[str]) -> None:
    desk.line = a_line(a_ticket(1, "cline"), a_ticket(2, "mia", lane=3.0, hold="others are before it"))
    lines = (await run("queue", *places)).output.splitlines()
    assert lines[0] == "The line: 2 waiting, none being answered"
    assert lines[-1].split()[:4] == ["2", "2", "mia", "3"]
    nobody = {"waiting": 0, "running": 0}
    assert json.loads((await run("queue", "--json", *places)).output) == {**desk.line, "others": nobody}


def test_the_line_is_watched_until_somebody_has_seen_enough(tmp_path: Path, places: list[str]) -> None:
    """In a process of its own, since Ctrl-C is for the whole of it."""

    async def watch() -> tuple[list[str], int]:
        async with serve(FakeDesk(tmp_path), tmp_path / "data" / "control.sock"):
            argv = ("-m", "controller", "queue", "--watch", "--json", *places)
            with as_in_a_terminal():
                watching = await asyncio.create_subprocess_exec(sys.executable, *argv, stdout=asyncio.subprocess.PIPE)
            assert watching.stdout is not None
            looks = [(await watching.stdout.readline()).decode() for _ in range(2)]
            watching.send_signal(signal.SIGINT)
            return looks, await watching.wait()

    looks, code = asyncio.run(watch())
    assert [json.loads(look) for look in looks] == [{**a_line(), "others": {"waiting": 0, "running": 0}}] * 2
    assert code == 130


async def test_pause_and_resume_tell_what_is_paused(desk: FakeDesk, places: list[str]) -> None:
    paused = await run("pause", "--lane", "3", "--model", "qwen3", *places)
    assert paused.output == "Paused: lane 3, qwen3. To go on: seadragon resume\n"
    assert (await run("resume", *places)).output == "Nothing is paused.\n"
    assert desk.orders == [("pause", (3.0, "qwen3")), ("resume", (None, None))]


async def test_a_request_of_the_line_is_cancelled_by_the_number_that_the_line_shows(
    desk: FakeDesk, places: list[str]
) -> None:
    desk.line = a_line(a_ticket(41, "cline", position=1), a_ticket(42, "mia", position=2))
    row = (await run("queue", *places)).output.splitlines()[-1].split()
    assert row[:3] == ["2", "42", "mia"]
    cancelled = await run("cancel", row[1], *places)
    assert (cancelled.exit_code, cancelled.output) == (0, "Request 42 has been ended.\n")
    assert [each["number"] for each in desk.line["tickets"]] == [41]
    again = await run("cancel", row[1], *places)
    assert (again.exit_code, again.output) == (1, "There is no request 42, or not any more.\n")


async def test_the_folders_may_be_told_before_the_name_of_the_order(desk: FakeDesk, places: list[str]) -> None:
    desk.on_job = lambda job: job.end("It is loaded.")
    assert (await run("models", *places, "load", "qwen3")).exit_code == 0


def test_logs_come_from_the_files_when_nobody_runs(places: list[str], tmp_path: Path) -> None:
    (tmp_path / "logs" / "ollama.log").write_text("one\ntwo \x1b[2J\nthree\n")
    result = call("logs", "ollama", "-n", "2", *places)
    assert result.output == "two \\x1b[2J\nthree\n"


def test_the_controllers_log_is_told_in_words(places: list[str], tmp_path: Path) -> None:
    said = {"kind": "line", "at": 0, "level": "warning", "source": "ollama", "text": "It is away."}
    asked = {"kind": "access", "at": 0, "method": "POST", "route": "/api/chat", "model": "llama3.2", "reason": ""}
    asked |= {"who": "this computer", "status": 200, "total": 1.5}
    lines = [json.dumps(said), json.dumps(asked), "not json", '{"kind": "access"}']
    (tmp_path / "logs" / "controller.jsonl").write_text("".join(f"{line}\n" for line in lines))
    first, second, third, fourth = call("logs", *places).output.splitlines()
    assert first.endswith("ollama     warning: It is away.")
    assert second.endswith("request    200 in 1.50 s  POST /api/chat llama3.2 for this computer")
    assert (third, fourth) == ("not json", '{"kind": "access"}')
    assert call("logs", "--raw", *places).output.splitlines() == lines


def test_a_log_that_is_not_there_is_told_with_those_that_are(places: list[str], tmp_path: Path) -> None:
    (tmp_path / "logs" / "tunnel.log").touch()
    result = call("logs", "../data/secret", *places)
    assert result.exit_code == 1
    assert "There is: tunnel" in result.output


async def test_logs_of_a_running_controller_come_from_its_own_folder(desk: FakeDesk, tmp_path: Path) -> None:
    desk.logs = tmp_path / "elsewhere"
    desk.logs.mkdir()
    (desk.logs / "ollama.log").write_text("here\n")
    result = await run("logs", "ollama", "--data", str(tmp_path / "data"))
    assert result.output == "here\n"


def test_doctor_for_the_mac_lists_each_proof_with_its_command() -> None:
    proofs = json.loads(call("doctor", "--mac", "--json").output)
    assert all(proof["command"] in call("doctor", "--mac").output for proof in proofs)


def test_a_wrong_command_line_is_exit_code_two() -> None:
    assert call("fly").exit_code == 2
    assert call("up", "--port", "0").exit_code == 2


def test_help_tells_which_commands_need_a_running_seadragon() -> None:
    always, running = call("--help").output.split("While it runs:")
    for command in ("up", "doctor", "logs", "config", "install", "uninstall", "version"):
        assert f"\n  {command} " in always
    for command in ("status", "down", "restart", "start", "stop", "reload", "demo", "models", "switch", "queue"):
        assert f"\n  {command} " in running


def test_status_needs_none_of_the_slow_parts() -> None:
    code = "import controller.cli, sys; print(*{m.split('.')[0] for m in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pydantic", "fastapi", "asyncio", "uvicorn", "psutil", "httpx", "jinja2"} & set(loaded)


def test_the_module_is_the_command(places: list[str]) -> None:
    asked = subprocess.run(
        [sys.executable, "-m", "controller", "status", *places], capture_output=True, text=True, env={**os.environ}
    )
    assert (asked.returncode, "seadragon up" in asked.stderr, asked.stdout) == (3, True, "")


def test_the_version_is_told_by_either_name() -> None:
    assert call("--version").output == call("-V").output == call("version").output


@pytest.mark.parametrize("words", [["status"], ["down"], ["logs"]])
def test_a_data_folder_that_is_none_is_told_in_words(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    result = call(*words, "--data", str(tmp_path / "data"), "--logs", str(tmp_path))
    assert result.exit_code in (1, 3)
    assert "Errno" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)


@pytest.mark.parametrize("option", ["--data", "--logs"])
def test_a_folder_that_cannot_be_written_to_is_told_with_the_option_for_another(
    option: str, places: list[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "-m", "controller", "up", *places, option, str(tmp_path / "file")],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path / 'file'} is not a folder. Choose a folder of your own with {option}.\n"


def test_ctrl_c_in_the_first_moments_ends_without_a_word() -> None:
    code = """
import os, signal, sys

class CtrlC:
    def find_spec(self, name, *_):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, CtrlC())
from controller.__main__ import main
main()
"""
    with as_in_a_terminal():
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")
