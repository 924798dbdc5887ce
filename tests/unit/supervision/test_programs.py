from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from controller.config.schema import Config
from controller.engines.ollama.inside import KnownInside
from controller.engines.ollama.program import OllamaServe
from controller.engines.ollama.renewal import going_back
from controller.obtain.find import Fault
from controller.readiness import Readiness
from controller.supervision.child import Exit
from controller.supervision.moves import ExitKind
from controller.supervision.program_cloudflared import Cloudflared
from controller.supervision.program_further import Further
from controller.supervision.programs import (
    EndedRun,
    Note,
    Workspace,
    carried,
    crash,
    last_words,
    stopped_outside,
    unfit_words,
    way_back,
)

PLACE = Workspace(
    Path("/srv/data"),
    Path("/srv/logs"),
    {"HOME": "/home/ann", "PATH": "/bin", "http_proxy": "http://proxy", "OLLAMA_ORIGINS": "*", "LANG": "de_DE.UTF-8"},
)
ENDED = EndedRun(Exit(1, None, asked=False), lived=60.0, was_ready=True, tail=b"")


def ollama(models: dict[str, Any] | None = None, inherited: dict[str, str] | None = None, **wish: Any) -> OllamaServe:
    config = Config.model_validate({"server": {"ollama": {"binary": "/opt/ollama", **wish}}, "models": models or {}})
    place = replace(PLACE, environment={**PLACE.environment, **(inherited or {})})
    return OllamaServe(config, place, Readiness("Ollama"), KnownInside(), lambda: 64 * 2**30)


def variables(program: OllamaServe) -> dict[str, str]:
    spec = program.spec({"port": 4711})
    assert spec is not None
    return dict(spec.environment)


def tunnel(**wish: Any) -> Cloudflared:
    config = Config.model_validate({"server": {"tunnel": {"binary": "/opt/cloudflared", **wish}}})
    return Cloudflared(config, PLACE, "http://127.0.0.1:8421", edges=[], uptime=lambda: 1e6)


def arguments(program: Cloudflared) -> list[str]:
    spec = program.spec({"port": 4712})
    assert spec is not None
    return list(spec.argv)


# --- ollama -----------------------------------------------------------------------------------------------------------


def test_ollama_gets_its_settings_and_only_what_it_needs_of_ours() -> None:
    assert variables(ollama()) == {
        "HOME": "/home/ann",
        "PATH": "/bin",
        "LANG": "de_DE.UTF-8",
        "OLLAMA_HOST": "127.0.0.1:4711",
        "OLLAMA_MODELS": "/home/ann/.ollama/models",
        "OLLAMA_NOPRUNE": "1",
        "OLLAMA_CONTEXT_LENGTH": "8192",
        "OLLAMA_NUM_PARALLEL": "1",
        "OLLAMA_MAX_LOADED_MODELS": "1024",
        "OLLAMA_MAX_QUEUE": "4096",
        "OLLAMA_KEEP_ALIVE": "-1",
        "OLLAMA_LOAD_TIMEOUT": "300s",
        "OLLAMA_NO_CLOUD": "1",
        "LLAMA_ARG_CACHE_RAM": "2048",
        "LLAMA_ARG_CTX_CHECKPOINTS": "2",
    }


@pytest.mark.parametrize(
    ("models", "name", "value"),
    [
        ({"keep_alive": "90s"}, "OLLAMA_KEEP_ALIVE", "-1"),  # what is loaded, and for how long, is decided by us
        ({"max_loaded": 1}, "OLLAMA_MAX_LOADED_MODELS", "1024"),
        ({"flash_attention": True}, "OLLAMA_FLASH_ATTENTION", "1"),
        ({"flash_attention": False}, "OLLAMA_FLASH_ATTENTION", "0"),
        ({"kv_cache_type": "q8_0"}, "OLLAMA_KV_CACHE_TYPE", "q8_0"),
        ({"parallel": 4}, "OLLAMA_NUM_PARALLEL", "4"),
        ({"folder": "/mnt/models"}, "OLLAMA_MODELS", "/mnt/models"),
        ({"prompt_cache": "0"}, "LLAMA_ARG_CACHE_RAM", "0"),
        ({"prompt_cache": "512MiB"}, "LLAMA_ARG_CACHE_RAM", "512"),
        (
            {"prompt_cache": "1GB"},
            "LLAMA_ARG_CACHE_RAM",
            "954",
        ),  # rounded up
    ],
)
def test_each_setting_of_models_yaml_becomes_ollama_s_own(models: dict[str, Any], name: str, value: str) -> None:
    assert variables(ollama(models))[name] == value


def test_a_small_machine_keeps_no_conversations_unless_told_to() -> None:
    small, told = ollama(), ollama({"prompt_cache": "256MiB"})
    small.ram = told.ram = lambda: 16 * 2**30
    assert variables(small)["LLAMA_ARG_CACHE_RAM"] == "0"
    assert variables(told)["LLAMA_ARG_CACHE_RAM"] == "256"


def test_models_a_person_already_has_are_used_and_never_tidied() -> None:
    shared = variables(ollama(inherited={"OLLAMA_MODELS": "/mnt/theirs"}))
    assert (shared["OLLAMA_MODELS"], shared["OLLAMA_NOPRUNE"]) == ("/mnt/theirs", "1")
    assert "OLLAMA_NOPRUNE" not in variables(ollama({"folder": "/srv/data/models"}))


def test_what_happens_to_be_set_where_it_is_started_changes_nothing_unless_it_is_written_down() -> None:
    about = {"LLAMA_ARG_CACHE_RAM": "64", "LLAMA_ARG_CTX_SIZE": "1", "OLLAMA_GO_TEMPLATE": "0", "GGML_X": "1"}
    assert variables(ollama(inherited=about)) == variables(ollama())
    written = {"LLAMA_ARG_N_GPU_LAYERS": "7", "OLLAMA_GO_TEMPLATE": "1"}
    given = variables(ollama(inherited=about, environment=written))
    assert given == {**variables(ollama()), **written}


def test_further_variables_cannot_undo_what_seadragon_sets() -> None:
    given = variables(ollama(environment={"OLLAMA_DEBUG": "1", "OLLAMA_HOST": "0.0.0.0"}))
    assert (given["OLLAMA_DEBUG"], given["OLLAMA_HOST"]) == ("1", "127.0.0.1:4711")


def test_one_process_is_the_same_to_a_patient_and_an_impatient_configuration_and_another_on_another_port() -> None:
    note = {"port": 4711}
    one, other = ollama().spec(note), ollama(probe_every=9, startup=9, stop_grace=9).spec(note)
    assert one is not None
    assert other is not None
    assert one.identity == other.identity
    assert ollama(port=5000).spec(note) is None
    assert ollama(mode="external", url="http://10.0.0.2:11434").spec(note) is None


def test_readiness_learns_address_and_generation_only_from_one_that_is_ready() -> None:
    program = ollama()
    program.tell("coming", "It runs, and has not answered yet.", {"port": 4711, "generation": 3})
    assert (program.readiness.verdict, program.readiness.address) == ("coming", None)
    program.tell("ready", "It answers.", {"port": 4711, "generation": 3})
    address = program.readiness.address
    assert address is not None
    assert (address.host, address.port, address.generation) == ("127.0.0.1", 4711, 3)
    program.tell("ready", "It answers.", {"url": "http://10.0.0.2:11434", "generation": 4})
    assert program.readiness.address is not None
    assert (program.readiness.address.host, program.readiness.address.port) == ("10.0.0.2", 11434)


async def test_an_end_of_ollama_is_read_by_what_it_said_and_who_asked_for_it() -> None:
    taken = replace(ENDED, tail=b"Error: listen tcp 127.0.0.1:4711: bind: address already in use\n")
    term = replace(ENDED, exit=Exit(0, None, asked=False))  # it turns TERM into exit code 0
    crashed = replace(ENDED, tail=b"panic: out of luck\n")
    readings = [(await ollama().diagnose(each)).kind for each in (taken, term, crashed)]
    assert readings == [ExitKind.TAKEN, ExitKind.OUTSIDE, ExitKind.CRASH]


# --- cloudflared ------------------------------------------------------------------------------------------------------


def test_flags_of_the_tunnel_stand_before_run_and_the_token_is_a_file() -> None:
    argv = arguments(tunnel(mode="token", token_file="/etc/token", protocol="http2", edge=["a:1", "b:2"], grace=30))
    assert argv[:3] == ["/opt/cloudflared", "tunnel", "--config"]
    assert argv[3].startswith("/srv/data/run/tunnel/cloudflared-")
    assert argv[4:] == [
        *(
            "--no-autoupdate",
            "--metrics",
            "127.0.0.1:4712",
            "--output",
            "json",
            "--loglevel",
            "info",
            "--grace-period",
            "30s",
        ),
        *("--protocol", "http2", "--edge", "a:1", "--edge", "b:2", "run", "--token-file", "/etc/token"),
    ]


def test_another_content_of_the_configuration_file_is_another_process() -> None:
    wish = {"mode": "named", "tunnel_id": "t", "credentials_file": "/c.json", "hostnames": ["a.example"]}
    assert arguments(tunnel(**wish)) == arguments(tunnel(**wish))
    assert arguments(tunnel(**wish)) != arguments(tunnel(**{**wish, "hostnames": ["b.example"]}))


def test_a_quick_tunnel_names_its_origin_and_runs_no_tunnel_of_anybody_s() -> None:
    assert arguments(tunnel(mode="quick"))[-2:] == ["--url", "http://127.0.0.1:8421"]
    assert arguments(replace(tunnel(mode="quick"), origin="unix:/run/f.sock"))[-2:] == ["--unix-socket", "/run/f.sock"]


@pytest.mark.parametrize(
    ("ended", "ending"),
    [
        (replace(ENDED, exit=Exit(255, None, asked=False), was_ready=False), ExitKind.FAULT),
        (replace(ENDED, exit=Exit(0, None, asked=False), was_ready=False, lived=0.2), ExitKind.FAULT),
        (replace(ENDED, exit=Exit(0, None, asked=False), was_ready=False, tail=b"Incorrect Usage: x"), ExitKind.FAULT),
        (replace(ENDED, exit=Exit(0, None, asked=False)), ExitKind.OUTSIDE),
        (replace(ENDED, exit=Exit(None, 15, asked=False)), ExitKind.OUTSIDE),
        (replace(ENDED, tail=b"listen tcp 127.0.0.1:4712: bind: address already in use"), ExitKind.TAKEN),
        (ENDED, ExitKind.NETWORK),  # exit code 1, and no edge takes a connection
        (replace(ENDED, exit=Exit(2, None, asked=False)), ExitKind.CRASH),
        (replace(ENDED, exit=Exit(None, 9, asked=False)), ExitKind.CRASH),
    ],
)
async def test_an_end_of_cloudflared_is_read_by_its_code(ended: EndedRun, ending: ExitKind) -> None:
    assert (await tunnel(mode="quick").diagnose(ended)).kind is ending


async def test_soon_after_the_machine_came_up_a_missing_network_is_nobody_s_fault() -> None:
    program = replace(tunnel(mode="quick"), uptime=lambda: 30.0)
    assert (await program.diagnose(ENDED)).kind is ExitKind.NETWORK


# --- any further child ------------------------------------------------------------------------------------------------


def test_a_further_child_is_found_on_the_path_and_gets_its_own_variables() -> None:
    config = Config.model_validate(
        {"server": {"children": {"web": {"command": ["sh", "-c", "true"], "environment": {"A": "1"}, "files": 128}}}}
    )
    spec = Further("web", config.server.children["web"], PLACE).spec({})
    assert spec is not None
    assert (spec.argv, spec.files, spec.folder) == (("/bin/sh", "-c", "true"), 128, "/srv/data")
    assert dict(spec.environment) == {"HOME": "/home/ann", "PATH": "/bin", "LANG": "de_DE.UTF-8", "A": "1"}


# --- what cannot be run -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("missing", "There is no program at /opt/o: install it there, or correct a.b."),
        ("dangling", "/opt/o is a link to nothing, which is not there: install it again, or correct a.b."),
        ("no_file", "/opt/o is a folder, not a program: correct a.b."),
        ("not_executable", "/opt/o may not be executed: run `chmod +x /opt/o`, or correct a.b."),
    ],
)
def test_what_is_wrong_with_a_program_says_what_to_do(fault: Fault, told: str) -> None:
    assert unfit_words(Path("/opt/o"), fault, "a.b") == told
    assert set(get_args(Fault)) == {"missing", "dangling", "no_file", "not_executable", "shut"}
    assert "let it in" in unfit_words(Path("/opt/o"), "shut", "a.b")


# --- words ------------------------------------------------------------------------------------------------------------


def test_the_last_words_of_a_json_log_are_its_message() -> None:
    assert last_words(b'{"level":"info","message":"one"}\n{"level":"error","message":"two"}\n\n') == "two"
    assert last_words(b"first\nError: told to fail\n") == "Error: told to fail"
    assert last_words(b"\xff\xfe" + base64.b64encode(b"x" * 3000)).startswith("\ufffd")
    assert len(last_words(b"x" * 3000)) == 300


def test_a_crash_tells_its_last_words_and_a_kill_tells_who_may_have_done_it() -> None:
    assert crash(replace(ENDED, tail=b"panic: no\n")).words == 'left with exit code 1 ("panic: no")'
    assert "memory" in crash(replace(ENDED, exit=Exit(None, 9, asked=False))).words
    assert "memory" not in crash(replace(ENDED, exit=Exit(None, 9, asked=True))).words


@pytest.mark.parametrize(
    ("exit", "outside"),
    [
        (Exit(0, None, asked=False), True),
        (Exit(None, 15, asked=False), True),
        (Exit(None, 2, asked=False), True),
        (Exit(0, None, asked=True), False),
        (Exit(None, 9, asked=False), False),
        (Exit(None, None, asked=False), False),
    ],
)
def test_a_polite_end_that_nobody_here_asked_for_came_from_outside(exit: Exit, outside: bool) -> None:
    assert stopped_outside(replace(ENDED, exit=exit)) is outside


# --- which program it was ---------------------------------------------------------------------------------------------

OLD, NEW = ["/opt/old/ollama", 1, 2, 3], ["/opt/new/ollama", 4, 5, 6]


@pytest.mark.parametrize(
    ("former", "before"),
    [
        ({}, None),
        ({"made_of": NEW}, None),  # the same, and it has never answered
        ({"made_of": NEW, "version": "0.33.0"}, None),  # the same, and it works
        ({"made_of": OLD}, None),  # another, of which nobody knows that it worked
        ({"made_of": OLD, "version": "0.32.0"}, {"version": "0.32.0", "program": "/opt/old/ollama"}),
        ({"made_of": NEW, "before": {"version": "0.31.0", "program": "/x"}}, {"version": "0.31.0", "program": "/x"}),
        ({"made_of": NEW, "version": "0.33.0", "before": {"version": "0.31.0", "program": "/x"}}, None),
    ],
)
def test_what_worked_last_is_known_until_another_has_worked(former: Note, before: Mapping[str, str] | None) -> None:
    note = carried(former, {"made_of": NEW})
    assert note.get("before") == before
    assert bool(way_back(note, going_back)) is (before is not None)
    assert before is None or before["version"] in way_back(note, going_back)
