"""The doctor looks at a real machine: this one, with a few things put in its way."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import os
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.config.listening import Listener, Tls
from controller.config.models import Models
from controller.config.processes import TunnelSettings
from controller.config.schema import Config, Server
from controller.control.server import serve
from controller.doctor.around import Around, Hands
from controller.doctor.checks import examine
from controller.doctor.facts import gather
from controller.doctor.facts_ports import exposed, outer_addresses
from controller.doctor.findings import EngineSeen, Facts, ListenerSeen, PublicAnswer, Secret, Stored
from controller.doctor.outside import ROUTES, ask_one
from controller.engines.ollama.checks import judged
from controller.engines.ollama.look import look as look_at_ollama
from controller.engines.ollama.look import seen
from controller.engines.ollama.seen import OllamaSeen
from controller.engines.ollama.settings import OllamaSettings
from controller.errors import SeadragonError
from controller.paths import Paths
from controller.storage.backup import FOLDER, back_up
from controller.storage.file import NAME, connect, make_ours
from controller.storage.migrate import migrate, revisions
from tests.fakes.clock import WoundClock
from tests.fakes.desk import FakeDesk, an_ollama
from tests.fakes.mac_tools import PMSET, MacTools, says
from tests.kit import certificates
from tests.kit.holding import holding

PYTHON = os.path.realpath(sys.executable)  # not the virtual environment's link, which looks beside itself for more


@dataclass
class Said:
    code: int
    out: bytes
    err: bytes


async def run(argv: Sequence[str], *, limit: float) -> Said:
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    return Said(process.returncode or 0, out, err)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    for name in ("config", "data", "logs"):
        (tmp_path / name).mkdir(mode=0o700)
    return Paths(tmp_path / "config", tmp_path / "data", tmp_path / "logs")


def look(
    paths: Paths,
    config: Config | None = None,
    *,
    ollama: Path | None = None,
    ask: Callable[[list[str]], list[PublicAnswer]] | None = None,
    engine: Callable[[Around], EngineSeen] = look_at_ollama,
    **environment: str,
) -> Facts:
    def load(folder: Path, environment: Mapping[str, str]) -> tuple[Config, tuple[str, ...]]:
        return config or Config(), ()

    def find(name: str, configured: Path | None, environment: Mapping[str, str]) -> Path | None:
        return ollama if name == "ollama" else None

    return gather(paths, environment, Hands(load, find, run, ask or (lambda names: []), (engine,)))


def ollama_seen(
    paths: Paths, config: Config | None = None, *, ollama: Path | None = None, **environment: str
) -> OllamaSeen:
    """What is seen of Ollama alone."""
    kept: list[OllamaSeen] = []

    def engine(around: Around) -> EngineSeen:
        kept.append(seen(around))
        return judged(kept[0])

    look(paths, config, ollama=ollama, ask=None, engine=engine, **environment)
    return kept[0]


def listening_at(*addresses: str) -> Config:
    return Config(server=Server(listeners=tuple(Listener(address=address) for address in addresses)))


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def an_ollama_program(folder: Path) -> None:
    """`./ollama serve` in `folder`: listens, prints its port, and leaves when it is told a line."""
    (folder / "ollama").symlink_to(PYTHON)
    (folder / "serve").write_text(
        "import socket\ns = socket.create_server(('127.0.0.1', 0))\nprint(s.getsockname()[1], flush=True)\ninput()\n"
    )


def test_on_a_mac_its_own_tools_are_asked_and_nowhere_else(paths: Paths) -> None:
    tools = MacTools({"/usr/bin/pmset -g": says(PMSET)})
    hands = Hands(lambda *_: (Config(), ()), lambda *_: None, tools, lambda names: [])
    facts = gather(paths, {}, hands, "darwin")
    assert facts.mac is not None
    assert (facts.platform, facts.mac.version) == ("darwin", (26, 1))
    assert {each.name: each.verdict for each in examine(facts)}["sleep"] == "warn"
    tools.asked.clear()
    assert gather(paths, {}, hands, "linux").mac is None
    assert tools.asked == []


def test_a_fresh_folder_has_facts_for_every_check(paths: Paths) -> None:
    findings = examine(look(paths, listening_at("127.0.0.1:1")))
    assert {finding.name: finding.verdict for finding in findings}["folders"] == "ok"
    assert all(finding.words for finding in findings)


def test_broken_yaml_is_a_fact_and_not_a_failure(paths: Paths) -> None:
    def load(folder: Path, environment: Mapping[str, str]) -> tuple[Config, tuple[str, ...]]:
        raise SeadragonError("config/server.yaml:3:1 one\nconfig/access.yaml:1:1 two")

    facts = gather(paths, {}, Hands(load, lambda name, configured, environment: None, run, lambda names: []))
    assert facts.config_problems == ("config/server.yaml:3:1 one", "config/access.yaml:1:1 two")
    assert facts.config == Config()


def test_a_program_that_is_there_and_cannot_be_run_is_not_called_missing(paths: Paths, tmp_path: Path) -> None:
    for name in ("ollama", "cloudflared"):
        program(tmp_path / name, "true").chmod(0o644)
    config = Config(server=Server(tunnel=TunnelSettings(mode="quick")))
    found = {each.name: each for each in examine(look(paths, config, PATH=str(tmp_path)))}
    for name, file in (("ollama", "ollama"), ("tunnel", "cloudflared")):
        assert found[name].verdict == "fail"
        assert f"chmod +x {tmp_path / file}" in found[name].words
    configured = Config(server=Server(ollama=OllamaSettings(binary=tmp_path)))
    found = {each.name: each for each in examine(look(paths, configured))}
    assert f"{tmp_path} is a folder, not a program" in found["ollama"].words


def test_ollamas_own_version_is_told_and_not_the_servers(paths: Paths, tmp_path: Path) -> None:
    said = "echo ollama version is 0.9.1; echo 'Warning: client version is 0.24.0'"
    assert ollama_seen(paths, ollama=program(tmp_path / "ollama", said)).version == (0, 24, 0)


def test_a_program_that_says_nothing_has_no_version(paths: Paths, tmp_path: Path) -> None:
    assert ollama_seen(paths, ollama=program(tmp_path / "ollama", "exit 1")).version is None


def test_a_file_that_others_could_read_is_named(paths: Paths) -> None:
    secret = paths.data / "seadragon.db"
    secret.touch(0o600)
    secret.chmod(0o644)
    (paths.data / "private").touch(0o600)
    (data,) = [folder for folder in look(paths).folders if folder.name == "data"]
    assert data.open_files == (str(secret),)


def the_database(paths: Paths) -> Stored | None:
    return look(paths).database


def a_database(paths: Paths) -> Path:
    path = paths.data / NAME
    make_ours(path)
    migrate(path, lambda: 0.0)
    return path


def test_before_the_first_start_there_is_no_database_and_looking_makes_none(paths: Paths) -> None:
    assert the_database(paths) is None
    assert not list(paths.data.iterdir())


def test_a_database_in_order_is_told_with_its_size_and_left_as_it_was(paths: Paths) -> None:
    path = a_database(paths)
    before = path.read_bytes()
    assert the_database(paths) == Stored(path, len(before))
    assert [file.name for file in paths.data.iterdir()] == [NAME]
    assert path.read_bytes() == before


def test_a_database_that_is_open_can_be_looked_at(paths: Paths) -> None:
    path = a_database(paths)
    with contextlib.closing(connect(path)) as controller:
        controller.execute("BEGIN IMMEDIATE")
        assert the_database(paths) == Stored(path, path.stat().st_size)


def test_a_database_nobody_brought_up_to_date_yet_is_told_so(paths: Paths) -> None:
    path = paths.data / NAME
    make_ours(path)
    assert the_database(paths) == Stored(path, behind=len(revisions()))


def test_a_damaged_database_is_told_with_the_copy_there_is(paths: Paths) -> None:
    path = a_database(paths)
    copy = paths.data / FOLDER / "nightly.db"
    back_up(path, copy)
    path.write_bytes(b"nonsense" * 1000)
    assert the_database(paths) == Stored(path, 8000, damage="file is not a database", copy=copy)


def test_a_database_that_others_could_read_or_a_newer_seadragon_made_is_a_fault(paths: Paths) -> None:
    path = a_database(paths)
    with contextlib.closing(connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'r9999'")
    seen = the_database(paths)
    assert seen is not None
    assert "newer Seadragon" in seen.fault
    path.chmod(0o644)
    seen = the_database(paths)
    assert seen is not None
    assert seen.remedy == f"Run: chmod 600 {path}"


def test_a_folder_that_others_could_enter_has_its_mode_told(paths: Paths) -> None:
    paths.logs.chmod(0o755)
    (logs,) = [folder for folder in look(paths).folders if folder.name == "logs"]
    assert stat.filemode(logs.mode | stat.S_IFDIR) == "drwxr-xr-x"


def test_a_port_somebody_has_is_told_with_who_has_it(paths: Paths) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        address = f"127.0.0.1:{stranger.getsockname()[1]}"
        (door,) = look(paths, listening_at(address)).listeners
    assert door.state == "taken"
    assert "process" in door.holder


def test_a_free_port_stays_free_after_the_look(paths: Paths) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    for _ in range(2):
        assert look(paths, listening_at(address)).listeners == (ListenerSeen(address, "free"),)


def test_an_address_that_is_not_this_machines_is_refused_in_the_systems_words(paths: Paths) -> None:
    (door,) = look(paths, listening_at("192.0.2.1:8420")).listeners
    assert door.state == "refused"
    assert door.holder


async def test_with_the_controller_up_its_own_facts_and_listeners_count(paths: Paths, tmp_path: Path) -> None:
    desk = FakeDesk(tmp_path)
    async with serve(desk, paths.socket):
        facts = await asyncio.to_thread(look, paths, listening_at("127.0.0.1:1"))  # it was started with --port
    assert facts.running is not None
    assert facts.running["version"] == "1.2.3"
    assert facts.listeners == (ListenerSeen("127.0.0.1:8420", "ours"),)


async def test_an_address_the_controller_waits_for_is_no_good_news(paths: Paths, tmp_path: Path) -> None:
    desk = FakeDesk(tmp_path)
    desk.awaited = [{"address": "192.0.2.1:8420", "kind": "direct", "why": "this machine does not have it"}]
    async with serve(desk, paths.socket):
        facts = await asyncio.to_thread(look, paths)
    assert [(door.address, door.state) for door in facts.listeners] == [
        ("127.0.0.1:8420", "ours"),
        ("192.0.2.1:8420", "refused"),
    ]


async def test_another_ollama_serve_is_seen_with_its_port_and_ours_is_not(paths: Paths, tmp_path: Path) -> None:
    an_ollama_program(tmp_path)
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(tmp_path / "ollama", "serve", cwd=tmp_path, stdin=pipe, stdout=pipe)
    assert child.stdout is not None
    port = int(await child.stdout.readline())
    try:
        found = await asyncio.to_thread(ollama_seen, paths)
        assert {each.pid: each.ports for each in found.others}[child.pid] == (port,)
        async with serve(FakeDesk(tmp_path, an_ollama(pid=child.pid)), paths.socket):
            found = await asyncio.to_thread(ollama_seen, paths)
        assert child.pid not in {each.pid for each in found.others}
    finally:
        await child.communicate(b"\n")


async def test_what_a_keeper_of_ours_holds_is_ours_though_no_controller_runs(paths: Paths, tmp_path: Path) -> None:
    an_ollama_program(tmp_path)
    pipe = asyncio.subprocess.PIPE
    keeping = "import subprocess; child = subprocess.Popen(['./ollama', 'serve']); child.wait()"
    words = ("-c", keeping, f"keeper of {paths.run / 'ollama'}")
    keeper = await asyncio.create_subprocess_exec(PYTHON, *words, cwd=tmp_path, stdin=pipe, stdout=pipe)
    assert keeper.stdout is not None
    port = int(await keeper.stdout.readline())
    try:
        ours = await asyncio.to_thread(ollama_seen, paths)
        strangers = await asyncio.to_thread(ollama_seen, Paths.chosen({}))
        assert port not in {port for each in ours.others for port in each.ports}
        assert port in {port for each in strangers.others for port in each.ports}
    finally:
        await keeper.communicate(b"\n")


def test_installed_models_are_counted_by_their_manifests(paths: Paths, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    assert ollama_seen(paths, OLLAMA_MODELS=str(folder)).models == 0
    for name in ("llama3.2/latest", "qwen/7b"):
        manifest = folder / "manifests" / "registry.ollama.ai" / "library" / name
        manifest.parent.mkdir(parents=True)
        manifest.touch()
    assert ollama_seen(paths, OLLAMA_MODELS=str(folder)).models == 2
    other = Config(models=Models(folder=tmp_path / "elsewhere"))
    assert ollama_seen(paths, other, OLLAMA_MODELS=str(folder)).models == 0


def test_installed_models_have_the_size_of_all_their_layers_and_the_names_ollama_lists(
    paths: Paths, tiny_models: Path
) -> None:
    (tiny_models / "manifests" / "registry.ollama.ai" / "library" / "broken").mkdir()
    (tiny_models / "manifests" / "registry.ollama.ai" / "library" / "broken" / "latest").write_text("{")
    sizes = ollama_seen(paths, OLLAMA_MODELS=str(tiny_models)).sizes
    assert {"red:latest", "llama3.2:1b"} <= set(sizes)
    assert "broken:latest" not in sizes
    blobs = sum(file.stat().st_size for file in (tiny_models / "blobs").iterdir())
    assert 100_000 < sizes["red:latest"] < blobs


def test_the_gpu_is_as_our_own_ollama_found_it(paths: Paths) -> None:
    found = 'msg="inference compute" id=0 library=ROCm type=discrete total="16.0 GiB" available="15.0 GiB"'
    (paths.logs / "ollama.log").write_text(f"{found}\n")
    assert look(paths).memory.limit == 16 * 2**30


def test_an_ollama_open_to_other_machines_is_found_by_trying(paths: Paths) -> None:
    outer = [address for address in outer_addresses() if "." in address]
    if not outer:
        pytest.skip("this machine has loopback only")
    with socket.socket() as everywhere:
        everywhere.bind(("0.0.0.0", 0))
        everywhere.listen()
        port = everywhere.getsockname()[1]
        assert f"{outer[0]}:{port}" in list(exposed({port}))
    with socket.create_server(("127.0.0.1", 0)) as inside:
        assert list(exposed({inside.getsockname()[1]})) == []


def test_the_doctor_changes_nothing(paths: Paths, tmp_path: Path) -> None:
    before = sorted((str(path), path.stat().st_mode, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    look(paths)
    assert sorted((str(path), path.stat().st_mode, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


def test_only_our_own_public_names_are_asked(paths: Paths) -> None:
    asked: list[list[str]] = []

    def ask(names: list[str]) -> list[PublicAnswer]:
        asked.append(names)
        return [PublicAnswer(f"https://{name}", "GET /api/tags", 401) for name in names]

    tunnel = TunnelSettings(mode="quick", hostnames=("ai.example.org", "*.example.org"))
    facts = look(paths, Config(server=Server(tunnel=tunnel)), ask=ask)
    look(paths, Config(server=Server(tunnel=TunnelSettings(hostnames=("ai.example.org",)))), ask=ask)
    assert asked == [["ai.example.org"], []]
    assert [each.base for each in facts.asked] == ["https://ai.example.org"]


def test_a_server_says_in_its_own_status_and_clock_what_it_is(paths: Paths) -> None:
    class Stranger(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(401)
            self.end_headers()

        do_GET = do_POST

        def date_time_string(self, timestamp: float | None = None) -> str:
            return "Sat, 01 Jan 2000 00:00:00 GMT"

        def log_message(self, format: str, *arguments: object) -> None:
            """Silent."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}"
        answers = [ask_one(base, method, path) for method, path in ROUTES]
        server.shutdown()
        thread.join()
    assert [each.status for each in answers] == [401] * 3
    assert all(each.skew > 20 * 365 * 86400 for each in answers)
    silent = ask_one(base, "GET", "/api/tags")
    assert silent.status is None
    assert silent.fault


def test_certificates_and_secrets_are_looked_at_where_they_lie(paths: Paths) -> None:
    cert, key = certificates.house(paths.config)
    https = Listener(address="127.0.0.1:1", tls=Tls(cert=cert, key=key))
    (paths.data / "secrets").mkdir(mode=0o700)
    own = paths.data / "secrets" / "session-keys.json"
    own.write_text("x" * 40)
    own.chmod(0o644)
    config = Config(server=Server(listeners=(https,)))
    facts = look(paths, config)
    assert [(each.address, each.fault) for each in facts.certificates] == [("127.0.0.1:1", "")]
    assert facts.certificates[0].ends > 4e9
    assert facts.secrets == (Secret(key, "", key.stat().st_size), Secret(own, facts.secrets[1].fault))
    assert "others may read" in facts.secrets[1].fault
    certificates.put(paths.config, "old")
    assert "ended on" in look(paths, config).certificates[0].fault


async def test_what_bears_a_date_to_come_is_counted_by_kind(paths: Paths) -> None:
    later = time.time() + 365 * 86400
    clock = WoundClock(wall=later)
    async with holding(paths.data / NAME, clock) as holders:
        assert not [each for each in (await asyncio.to_thread(look, paths)).dated]
        await holders.keys.create("tool", by="operator", expires_at=later + 60)
        gone = await holders.keys.create("gone", by="operator")
        await holders.keys.revoke(gone.id)
        await holders.invites.create("member", label="grandma", by="operator")
        await holders.addresses.add("192.168.1.20", "shed", by="operator")
        await holders.codes.create()
        clock.step_wall(-366 * 86400)
        await holders.keys.create("now", by="operator")
    (paths.data / FOLDER).mkdir(mode=0o700)
    for name, moment in (("nightly-20990101-000000.db", later), ("by-hand.db", time.time() - 60)):
        (paths.data / FOLDER / name).touch()
        os.utime(paths.data / FOLDER / name, (0, moment))
    found = (await asyncio.to_thread(look, paths)).dated
    assert [(each.kind, each.count) for each in found] == [
        ("key", 1),
        ("invite", 1),
        ("admin code", 1),
        ("address", 1),
        ("copy of the database", 1),
    ]
    assert all(abs(each.last - later) < 1 for each in found)


def test_admins_are_counted_once_there_can_be_people(paths: Paths) -> None:
    database = paths.data / NAME
    assert look(paths).admins is None
    make_ours(database)
    assert look(paths).admins is None
    with contextlib.closing(connect(database)) as connection:
        connection.execute("CREATE TABLE users (role TEXT, disabled BOOLEAN)")
        assert look(paths).admins == 0
        rows = [("admin", False), ("admin", True), ("member", False)]
        connection.executemany("INSERT INTO users VALUES (?, ?)", rows)
        connection.commit()
    assert look(paths).admins == 1
