"""A supervisor, real keepers, and the fake ollama that misbehaves on request."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from controller.config.models import Models
from controller.config.schema import Config
from controller.engines.ollama import program as program_ollama
from controller.engines.ollama.inside import KnownInside
from controller.engines.ollama.program import OllamaServe
from controller.readiness import Readiness
from controller.residency.gauge import ram_size
from controller.supervision.backoff import Pace
from controller.supervision.program_cloudflared import Cloudflared
from controller.supervision.program_further import Further
from controller.supervision.programs import Program, Workspace
from controller.supervision.spec import ChildState
from tests.fakes import ollama as fake
from tests.kit import web
from tests.kit.supervised import Supervised, config, counted, crash_the_controller, place, supervised, turn
from tests.kit.until import until

REAL_PYTHON = os.path.realpath(sys.executable)


@dataclass
class Lab:
    """A place with a fake ollama in it."""

    folder: Path
    place: Workspace
    program: Path
    knobs: Path
    readiness: Readiness

    def config(self, *, models: dict[str, Any] | None = None, **ollama: Any) -> Config:
        impatient = {"probe_every": 0.1, "probe_limit": 1, "startup": 20, "stop_grace": 3}
        environment = {"FAKE_OLLAMA_KNOBS": str(self.knobs)}
        wish = {"binary": str(self.program), "environment": environment, **impatient, **ollama}
        return Config.model_validate({"server": {"ollama": wish}, "models": models or {}})

    def serve(self, **ollama: Any) -> OllamaServe:
        return OllamaServe(self.config(**ollama), self.place, self.readiness, KnownInside(), ram_size)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    knobs = tmp_path / "knobs.json"
    turn(knobs)
    return Lab(tmp_path, place(tmp_path), fake.program(tmp_path), knobs, Readiness("Ollama"))


@pytest.fixture
def stranger() -> Iterator[socket.socket]:
    """Somebody else's listener."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


async def ask(one: Supervised, path: str, **content: Any) -> httpx.Response:
    async with web.async_client(base_url=str(one.status.url)) as client:
        return await (client.post(path, json=content) if content else client.get(path))


async def test_it_is_started_on_a_private_port_and_tells_where(lab: Lab) -> None:
    async with supervised(lab.serve(), lab.place.home) as one:
        status = await one.reaches(ChildState.READY)
        assert status.facts["version"] == fake.VERSION
        assert (await ask(one, "/api/tags")).status_code == 200
        address = lab.readiness.address
        assert address is not None
        assert status.url == f"http://127.0.0.1:{address.port}"
        assert status.pid is not None
        await until(lambda: one.status.memory)
    assert not psutil.pid_exists(status.pid)
    assert lab.readiness.verdict == "down"


async def test_it_gets_the_environment_that_the_configuration_names_and_nothing_else(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with supervised(lab.serve(), lab.place.home) as one:
        status = await one.reaches(ChildState.READY)
        environment = psutil.Process(status.pid).environ()
        assert environment["OLLAMA_NO_CLOUD"] == "1"
        assert environment["OLLAMA_CONTEXT_LENGTH"] == "8192"
        assert environment["OLLAMA_MODELS"] == str(lab.folder / ".ollama" / "models")
        assert environment["OLLAMA_NOPRUNE"] == "1"
        assert not {name for name in environment if "proxy" in name.lower()}


async def test_killed_it_is_back_at_once_and_its_runner_does_not_survive_it(lab: Lab) -> None:
    turn(lab.knobs, setsid_runner=True)
    async with supervised(lab.serve(), lab.place.home) as one:
        status = await one.reaches(ChildState.READY)
        assert (await ask(one, "/api/generate", model="tiny", prompt="hi", stream=False)).status_code == 200
        assert status.pid is not None
        [runner] = psutil.Process(status.pid).children()
        os.kill(status.pid, signal.SIGKILL)
        await until(lambda: one.status.restarts == 1 and one.status.state is ChildState.READY)
        with suppress(psutil.NoSuchProcess):
            assert runner.status() == psutil.STATUS_ZOMBIE  # its new parent has not asked about it yet
        assert lab.readiness.address is not None
        assert lab.readiness.address.generation == 2


async def test_a_frozen_one_is_seen_killed_and_replaced(lab: Lab) -> None:
    async with supervised(lab.serve(probe_every=60), lab.place.home) as one:
        status = await one.reaches(ChildState.READY)
        assert status.pid is not None
        os.kill(status.pid, signal.SIGSTOP)
        await until(lambda: one.status.restarts == 1 and one.status.state is ChildState.READY)
        assert "SIGSTOP" in one.said()


async def test_one_that_stops_answering_is_killed_though_it_ignores_term(lab: Lab) -> None:
    turn(lab.knobs, ignore_term=True)
    async with supervised(lab.serve(probe_limit=0.3, probe_misses=2), lab.place.home) as one:
        await one.reaches(ChildState.READY)
        turn(lab.knobs, mute=True)
        await one.reaches(ChildState.UNRESPONSIVE, ChildState.BACKOFF, ChildState.STARTING)
        turn(lab.knobs)
        await until(lambda: one.status.restarts == 1 and one.status.state is ChildState.READY)
        assert "does not answer any more" in one.said()


async def test_a_crash_loop_at_start_opens_the_breaker_and_a_person_s_start_closes_it(lab: Lab) -> None:
    turn(lab.knobs, exit_code=1, exit_words="Error: told to fail")
    async with supervised(lab.serve(), lab.place.home) as one:
        status = await one.reaches(ChildState.DEGRADED)
        assert status.restarts == 4  # five starts in all
        assert status.retry_in is not None
        assert 30 < status.retry_in < 80
        assert "told to fail" in status.reason
        assert lab.readiness.verdict == "down"
        turn(lab.knobs)
        await one.supervisor.start()
        assert one.status.state is ChildState.READY


async def test_an_open_breaker_closes_by_itself_when_what_was_wrong_is_put_right(lab: Lab) -> None:
    turn(lab.knobs, exit_code=1)
    async with supervised(lab.serve(), lab.place.home, Pace().scaled(0.01)) as one:
        await one.reaches(ChildState.DEGRADED)
        turn(lab.knobs)
        await one.reaches(ChildState.READY)


async def test_crashes_after_readiness_back_off_too(lab: Lab) -> None:
    turn(lab.knobs, crash_after=0.4)  # long enough to be seen ready also where the machine is busy
    async with supervised(lab.serve(), lab.place.home, Pace().scaled(0.02)) as one:
        status = await one.reaches(ChildState.DEGRADED)
        assert status.restarts == 9  # ten starts in all


async def test_a_taken_port_is_told_with_its_holder_left_alone_and_used_once_it_is_free(
    lab: Lab, stranger: socket.socket
) -> None:
    port = stranger.getsockname()[1]
    async with supervised(lab.serve(port=port), lab.place.home) as one:
        status = await one.reaches(ChildState.CONFLICT)
        assert f"Port {port}" in status.reason
        assert f"pid {os.getpid()}" in status.reason
        assert status.restarts == 0
        stranger.setblocking(False)
        with suppress(BlockingIOError):  # whoever looked may have connected: not a byte came along
            while True:
                visitor, _ = stranger.accept()
                with visitor:
                    assert visitor.recv(1) == b""
        stranger.close()
        status = await one.reaches(ChildState.READY)
        assert status.url == f"http://127.0.0.1:{port}"


async def test_a_listener_on_all_addresses_takes_the_port_too(lab: Lab) -> None:
    with socket.socket() as wildcard:
        wildcard.bind(("0.0.0.0", 0))
        wildcard.listen()
        async with supervised(lab.serve(port=wildcard.getsockname()[1]), lab.place.home) as one:
            await one.reaches(ChildState.CONFLICT)
            wildcard.close()
            await one.reaches(ChildState.READY)


async def test_a_port_lost_between_look_and_start_is_found_out_and_another_is_taken(lab: Lab) -> None:
    turn(lab.knobs, port_taken=True)
    async with supervised(lab.serve(), lab.place.home) as one:
        await one.reaches(ChildState.CONFLICT)
        turn(lab.knobs)
        await one.reaches(ChildState.READY)


async def test_a_stranger_that_answers_in_our_child_s_place_gets_no_question(
    lab: Lab, stranger: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a Mac both can listen; here the look is made blind, and the child never gets to its port."""

    async def blind(port: int, setting: str) -> None:
        return None

    monkeypatch.setattr("controller.engines.ollama.program.port_problem", blind)
    lab.program.write_text("#!/bin/sh\nexec sleep 60\n")
    async with supervised(lab.serve(port=stranger.getsockname()[1]), lab.place.home) as one:
        status = await one.reaches(ChildState.CONFLICT)
        assert f"pid {os.getpid()}" in status.reason
        stranger.setblocking(False)
        with pytest.raises(BlockingIOError):  # noqa: PT012 - until there is nobody left to accept
            while True:
                visitor, _ = stranger.accept()
                with visitor:
                    assert visitor.recv(1) == b""


async def test_a_missing_program_is_told_not_looped_and_started_when_it_appears(lab: Lab) -> None:
    hidden = lab.program.rename(lab.folder / "elsewhere")
    async with supervised(lab.serve(), lab.place.home) as one:
        status = await one.reaches(ChildState.MISCONFIGURED)
        assert str(lab.program) in status.reason
        hidden.rename(lab.program)
        status = await one.reaches(ChildState.READY)
        assert status.restarts == 0


async def test_while_the_disk_of_its_models_is_away_nothing_starts_and_nothing_is_made_there(lab: Lab) -> None:
    folder = lab.folder / "disk" / "models"
    serve = lab.serve(probe_every=0.1)
    serve.config = serve.config.model_copy(update={"models": Models(folder=folder)})
    async with supervised(serve, lab.place.home) as one:
        status = await one.reaches(ChildState.WAITING)
        assert (status.pid, status.retry_in) == (None, None)
        assert "there is no such folder" in status.reason
        assert lab.readiness.verdict == "down"
        assert not folder.parent.exists()
        folder.mkdir(parents=True)
        first = (await one.reaches(ChildState.READY)).pid
        folder.parent.rename(lab.folder / "unplugged")
        assert (await one.reaches(ChildState.WAITING)).reason == status.reason
        await until(lambda: one.status.pid is None)
        assert not folder.parent.exists()
        assert one.said().count("there is no such folder") == 2
        (lab.folder / "unplugged").rename(folder.parent)
        assert (await one.reaches(ChildState.READY)).pid != first


async def test_when_another_folder_takes_the_place_of_its_models_it_is_started_anew(lab: Lab) -> None:
    """A disk that was unplugged and is back: what was open on it is dead."""
    folder = lab.folder / "models"
    folder.mkdir()
    serve = lab.serve(probe_every=0.1)
    serve.config = serve.config.model_copy(update={"models": Models(folder=folder)})
    program, asked = counted(serve)
    async with supervised(program, lab.place.home) as one:
        first = (await one.reaches(ChildState.READY)).pid
        await asked.again("probe")  # which folder it was is noted by now
        folder.rename(lab.folder / "before")
        folder.mkdir()
        await until(lambda: one.status.pid not in (first, None) and one.status.state is ChildState.READY)
        assert "Another folder has taken the place" in one.said()


async def test_a_program_that_may_not_be_executed_is_told_and_started_once_it_may(lab: Lab) -> None:
    lab.program.chmod(0o644)
    async with supervised(lab.serve(), lab.place.home) as one:
        assert "chmod +x" in (await one.reaches(ChildState.MISCONFIGURED)).reason
        lab.program.chmod(0o755)
        await one.reaches(ChildState.READY)


async def test_a_program_for_another_machine_costs_one_attempt_until_it_is_replaced(lab: Lab) -> None:
    lab.program.write_bytes(b"\x7fELF of some other machine")
    program, asked = counted(lab.serve())
    async with supervised(program, lab.place.home) as one:
        status = await one.reaches(ChildState.MISCONFIGURED)
        said = one.said()
        await asked.again("plan")
        assert (one.said(), one.status.reason) == (said, status.reason)
        fake.program(lab.folder)
        await one.reaches(ChildState.READY)


async def test_a_term_from_outside_restarts_it_and_a_second_one_names_a_culprit(lab: Lab) -> None:
    async with supervised(lab.serve(), lab.place.home) as one:
        for _ in range(2):
            status = await one.reaches(ChildState.READY)
            assert status.pid is not None
            os.kill(status.pid, signal.SIGTERM)
            await until(lambda pid=status.pid: one.status.pid != pid)  # type: ignore[misc]  # binds the loop's value
        status = await one.reaches(ChildState.CONFLICT)
        assert "Ollama.app" in status.reason
        await one.reaches(ChildState.READY)


async def test_a_killed_keeper_costs_one_restart_and_leaves_nobody_behind(lab: Lab) -> None:
    async with supervised(lab.serve(), lab.place.home) as one:
        status = await one.reaches(ChildState.READY)
        assert status.pid is not None
        assert status.keeper_pid is not None
        os.kill(status.keeper_pid, signal.SIGKILL)
        await until(lambda: one.status.restarts == 1 and one.status.state is ChildState.READY)
        assert not psutil.pid_exists(status.pid) or psutil.Process(status.pid).status() == psutil.STATUS_ZOMBIE


async def test_the_next_controller_adopts_what_a_crashed_one_left_and_a_changed_recipe_restarts_it(lab: Lab) -> None:
    async with supervised(lab.serve(), lab.place.home) as first:
        before = await first.reaches(ChildState.READY)
        await crash_the_controller(first)
    async with supervised(lab.serve(stop_grace=4), lab.place.home) as second:
        after = await second.reaches(ChildState.READY)
        assert (after.pid, after.url, after.adopted, after.restarts) == (before.pid, before.url, True, 0)
        await crash_the_controller(second)
    async with supervised(lab.serve(environment={"OLLAMA_DEBUG": "1"}), lab.place.home) as third:
        status = await third.reaches(ChildState.READY)
        assert (status.pid != before.pid, status.restarts) == (True, 1)


async def test_a_changed_recipe_restarts_only_its_own_child(lab: Lab) -> None:
    wish = config(children={"caffeinate": {"command": [sys.executable, "-c", "import signal; signal.pause()"]}})
    further = Further("caffeinate", wish.server.children["caffeinate"], lab.place)
    async with (
        supervised(lab.serve(), lab.place.home) as ollama,
        supervised(further, lab.place.home) as other,
    ):
        before = (await ollama.reaches(ChildState.READY)).pid, (await other.reaches(ChildState.READY)).pid
        await ollama.supervisor.reconfigure(lab.serve(probe_every=0.2))
        assert (ollama.status.pid, other.status.pid) == before
        await ollama.supervisor.reconfigure(lab.serve(environment={"OLLAMA_DEBUG": "1"}))
        assert (ollama.status.state, ollama.status.restarts) == (ChildState.READY, 1)
        assert (other.status.pid, other.status.restarts) == (before[1], 0)


async def test_an_ollama_that_runs_already_is_used_and_not_stopped(lab: Lab) -> None:
    async with supervised(lab.serve(), lab.place.home) as theirs:
        url = (await theirs.reaches(ChildState.READY)).url
        away = Workspace(lab.folder / "other", lab.folder / "logs", lab.place.environment)
        away.data.mkdir()
        ours = OllamaServe(lab.config(mode="adopt", url=url), away, Readiness("Ollama"), KnownInside(), ram_size)
        async with supervised(ours, away.home) as one:
            status = await one.reaches(ChildState.READY)
            assert (status.pid, status.url) == (None, url)
        assert theirs.status.state is ChildState.READY
        async with supervised(ours, away.home) as one:
            await one.reaches(ChildState.READY)
            await theirs.supervisor.stop()
            await until(lambda: one.status.pid)  # none answers any more: one of our own is started
            assert (await one.reaches(ChildState.READY)).url != url


async def test_an_ollama_elsewhere_is_offline_while_it_does_not_answer(lab: Lab, stranger: socket.socket) -> None:
    url = f"http://127.0.0.1:{stranger.getsockname()[1]}"
    stranger.close()
    async with supervised(lab.serve(mode="external", url=url), lab.place.home) as one:
        status = await one.reaches(ChildState.OFFLINE)
        assert url in status.reason
        assert lab.readiness.verdict == "down"
    assert not (lab.place.home / "ollama" / "record.json").exists()


async def test_a_child_without_a_probe_is_ready_as_soon_as_it_runs_and_one_with_is_ready_when_it_answers(
    lab: Lab, stranger: socket.socket
) -> None:
    port = stranger.getsockname()[1]
    stranger.close()
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    wish = config(children={"web": {"command": command, "probe": f"http://127.0.0.1:{port}/"}}).server.children["web"]
    async with supervised(Further("web", wish, lab.place), lab.place.home) as one:
        await one.reaches(ChildState.READY)
        async with web.async_client() as client:
            assert (await client.get(f"http://127.0.0.1:{port}/")).status_code == 200


# --- fault 32: Ollama finds no GPU ------------------------------------------------------------------------------------


async def test_one_that_lost_the_gpu_is_not_asked_anything_and_allowing_it_is_enough(lab: Lab) -> None:
    turn(lab.knobs, library="cpu")
    async with supervised(lab.serve(models={"gpu": "required"}), lab.place.home) as one:
        status = await one.reaches(ChildState.GPU_LOST)
        assert lab.readiness.verdict == "down"
        assert "found no GPU" in lab.readiness.reason
        assert "models.gpu: any" in lab.readiness.reason
        assert status.facts["library"] == "cpu"
        assert one.said().count("found no GPU") == 1
        assert "Ready." not in one.said()
        await one.supervisor.reconfigure(lab.serve(models={"gpu": "any"}))
        after = await one.reaches(ChildState.READY)
        assert (after.pid, lab.readiness.verdict) == (status.pid, "ready")
        await one.supervisor.reconfigure(lab.serve(models={"gpu": "required"}))
        await one.reaches(ChildState.GPU_LOST)


async def test_one_that_lost_the_gpu_looks_again_when_it_is_restarted(lab: Lab) -> None:
    turn(lab.knobs, library="cpu")
    async with supervised(lab.serve(models={"gpu": "required"}), lab.place.home) as one:
        await one.reaches(ChildState.GPU_LOST)
        turn(lab.knobs, library="Metal")
        await one.supervisor.restart()
        assert (await one.reaches(ChildState.READY)).facts["library"] == "Metal"


async def test_one_that_was_started_before_its_gpu_was_there_finds_it_by_itself(lab: Lab) -> None:
    turn(lab.knobs, library="cpu")
    async with supervised(lab.serve(models={"gpu": "required"}), lab.place.home, Pace().scaled(0.05)) as one:
        first = await one.reaches(ChildState.GPU_LOST)
        turn(lab.knobs, library="Metal")
        after = await one.reaches(ChildState.READY)
        assert (after.pid != first.pid, after.facts["library"]) == (True, "Metal")
        assert "It is started anew, to look for its GPU again." in one.said()


async def test_the_next_controller_knows_that_the_gpu_was_lost(lab: Lab) -> None:
    turn(lab.knobs, library="cpu")
    async with supervised(lab.serve(models={"gpu": "any"}), lab.place.home) as one:
        first = await one.reaches(ChildState.READY)
        await until(lambda: one.status.facts.get("library"))
        await crash_the_controller(one)
    program = lab.serve(models={"gpu": "required"})
    async with supervised(program, lab.place.home) as one:
        assert (await one.reaches(ChildState.GPU_LOST)).pid == first.pid
        assert program._looks == (None, 0)  # it did not even have to search the log


async def test_one_that_does_not_say_what_it_computes_with_is_used(lab: Lab) -> None:
    turn(lab.knobs, mum=True)
    async with supervised(lab.serve(models={"gpu": "required"}), lab.place.home) as one:
        assert "library" not in (await one.reaches(ChildState.READY)).facts


@pytest.mark.parametrize(("apple", "state"), [(True, ChildState.GPU_LOST), (False, ChildState.READY)])
async def test_a_gpu_is_a_must_on_apple_silicon_unless_told_otherwise(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, apple: bool, state: ChildState
) -> None:
    monkeypatch.setattr(program_ollama, "APPLE_SILICON", apple)
    turn(lab.knobs, library="cpu")
    async with supervised(lab.serve(), lab.place.home) as one:
        assert (await one.reaches(ChildState.GPU_LOST, ChildState.READY)).state is state


async def test_a_keeper_whose_python_is_away_for_a_while_is_tried_again_by_itself(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing about Ollama changes meanwhile: what has to be tried again is our own."""
    python = lab.folder / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    async with supervised(lab.serve(), lab.place.home) as one:
        status = await one.reaches(ChildState.BACKOFF)
        assert "Seadragon's own Python" in status.reason
        python.symlink_to(REAL_PYTHON)
        assert (await one.reaches(ChildState.READY)).restarts == 0


@pytest.mark.parametrize("name", ["ollama", "cloudflared", "further"])
async def test_a_program_that_may_not_be_executed_is_told_so_and_starts_once_it_may(lab: Lab, name: str) -> None:
    """On the PATH too, where what cannot be run is passed over as if it were not there."""
    bin = lab.folder / "bin"
    bin.mkdir()
    program = bin / name
    program.write_text("#!/bin/sh\nexec /bin/sleep 1000\n" if name != "ollama" else lab.program.read_text())
    program.chmod(0o644)
    where = Workspace(lab.place.data, lab.place.logs, {**lab.place.environment, "PATH": f"{bin}:{os.defpath}"})
    further = Config.model_validate({"server": {"children": {"further": {"command": ["further"]}}}})
    programs: dict[str, Program] = {
        "ollama": OllamaServe(lab.config(binary=None), where, lab.readiness, KnownInside(), ram_size),
        "cloudflared": Cloudflared(config(tunnel={"mode": "quick"}), where, "http://127.0.0.1:1", edges=[]),
        "further": Further("further", further.server.children["further"], where),
    }
    async with supervised(programs[name], where.home) as one:
        status = await one.reaches(ChildState.MISCONFIGURED)
        assert f"{program} may not be executed: run `chmod +x {program}`" in status.reason
        program.chmod(0o755)
        await one.reaches(ChildState.READY, ChildState.STARTING)
