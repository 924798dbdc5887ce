"""Gauges on this machine, on made-up control groups, and beside a real Ollama."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from controller.config.machine import Memory
from controller.engines.ollama.accelerator import accelerator_limit
from controller.engines.ollama.client import OllamaClient, Runners
from controller.engines.ollama.facts import facts_of, forced_single
from controller.engines.ollama.inside import NEWEST, RunnerKind, inside_of
from controller.engines.ollama.needs import StartedAs, estimate
from controller.engines.ollama.recipe import recipe_of
from controller.plain import GIB, MIB
from controller.residency.gauge import gauge_for_this_machine
from controller.residency.gauge_linux import LinuxGauge
from controller.residency.memory import budget, ceiling
from controller.residency.resident import Taken
from controller.supervision.grandchildren import gone
from tests.fakes.gauge import FakeGauge, FileGauge, write_gauge
from tests.kit.real import RealOllama

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
RAM = 16 * GIB, 12 * GIB
GONE = 2**30  # no process has this id
HOLD = """
import sys
held = b"x" * int(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def of(*pids: int) -> dict[int, Taken]:
    """Processes of ours, of which nothing is known."""
    return dict.fromkeys(pids, Taken())


@contextlib.contextmanager
def holding(size: int) -> Iterator[int]:
    """A process that holds so many bytes; its id."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(size)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process.pid
        process.kill()


def test_this_machines_gauge_reads_sane_figures() -> None:
    reading = gauge_for_this_machine().read(of(os.getpid(), GONE))
    assert 0 < reading.available <= reading.total <= psutil.virtual_memory().total
    assert reading.pressure in (1, 2, 4)
    assert list(reading.footprints) == [os.getpid()]
    assert 0 <= budget(reading, Memory()).ram <= ceiling(reading, Memory()).ram < reading.total


def test_a_footprint_is_what_a_process_holds() -> None:
    gauge = gauge_for_this_machine()
    with holding(300 * MIB) as large, holding(0) as small:
        footprints = gauge.read(of(large, small)).footprints
    assert 290 * MIB < footprints[large] - footprints[small] < 310 * MIB
    assert gauge.read(of(large)).footprints == {}


async def test_asking_the_tools_again_is_harmless_where_there_are_none() -> None:
    gauge = gauge_for_this_machine()
    await gauge.refresh()
    assert gauge.read({}).total > 0


@linux
def test_program_text_and_mapped_files_are_not_missing_from_what_is_available() -> None:
    """A process of its own that holds nothing still has the interpreter mapped."""
    gauge = LinuxGauge()
    with holding(100 * MIB) as pid:
        reading = gauge.read(of(pid))
    assert 0 < reading.elsewhere < reading.footprints[pid] - 100 * MIB


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def gauge_at(root: Path, own_groups: str) -> LinuxGauge:
    write(root / "proc/self", cgroup=own_groups)
    return LinuxGauge(root, lambda: RAM)


@linux
def test_the_tightest_of_nested_groups_holds(tmp_path: Path) -> None:
    top = tmp_path / "sys/fs/cgroup"
    write(top / "a.slice", memory__max=8 * GIB, memory__current=3 * GIB, memory__stat=f"anon 1\nactive_file {GIB}")
    write(top / "a.slice/b.scope", memory__max="max", memory__high=6 * GIB, memory__current=2 * GIB, memory__stat="")
    reading = gauge_at(tmp_path, "0::/a.slice/b.scope").read({})
    assert (reading.total, reading.available) == (6 * GIB, 4 * GIB)


@linux
def test_pages_the_kernel_takes_back_by_itself_are_available(tmp_path: Path) -> None:
    stat = f"anon {GIB}\nfile {3 * GIB}\ninactive_file {GIB}\nactive_file {GIB}\nslab_reclaimable {GIB}"
    write(tmp_path / "sys/fs/cgroup/a", memory__max=8 * GIB, memory__current=7 * GIB, memory__stat=stat)
    assert gauge_at(tmp_path, "0::/a").read({}).available == 4 * GIB


@linux
def test_the_first_version_of_groups_is_read_too(tmp_path: Path) -> None:
    top = tmp_path / "sys/fs/cgroup/memory"
    unlimited = "9223372036854771712"
    write(top, memory__limit_in_bytes=unlimited, memory__usage_in_bytes=9 * GIB)
    stat = f"inactive_file 5\ntotal_inactive_file {GIB}"
    write(top / "docker/x", memory__limit_in_bytes=4 * GIB, memory__usage_in_bytes=2 * GIB, memory__stat=stat)
    reading = gauge_at(tmp_path, "4:memory:/docker/x\n1:cpu:/\n0::/").read({})
    assert (reading.total, reading.available) == (4 * GIB, 3 * GIB)


@linux
@pytest.mark.parametrize("path", ["/docker/outer", "/../../outer"])
def test_a_group_of_an_outer_namespace_is_the_top_of_ours(tmp_path: Path, path: str) -> None:
    write(tmp_path / "sys/fs/cgroup", memory__max=2 * GIB, memory__current=GIB, memory__stat="")
    assert gauge_at(tmp_path, f"0::{path}").read({}).total == 2 * GIB


@linux
def test_a_machine_that_tells_nothing_but_ram_is_read_and_noted(tmp_path: Path) -> None:
    reading = LinuxGauge(tmp_path, lambda: RAM).read(of(os.getpid()))
    assert (reading.total, reading.available, reading.limit, reading.pressure) == (*RAM, None, 1)
    assert reading.footprints == {}
    assert reading.notes == ("The kernel does not tell of memory stalls (PSI).",)


@linux
def test_stalls_of_the_machine_and_of_our_group_are_pressure(tmp_path: Path) -> None:
    gauge = gauge_at(tmp_path, "0::/a")
    calm, stalled, worse = (
        f"full avg10={share} avg60=0.00 avg300=0.00 total=0" for share in ("0.00", "20.00", "41.00")
    )
    write(tmp_path / "proc/pressure", memory=calm)
    assert (gauge.read({}).pressure, gauge.read({}).notes) == (1, ())
    write(tmp_path / "sys/fs/cgroup/a", memory__pressure=stalled)
    assert gauge.read({}).pressure == 2
    write(tmp_path / "proc/pressure", memory=worse)
    assert gauge.read({}).pressure == 4


NVIDIA_SMI = """#!/bin/sh
case "$1" in
--query-gpu=*) echo "24576, 6144" ;;
--query-compute-apps=*) echo "PID, 5120" ;;
esac
"""


def put_nvidia_smi(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    (folder / "nvidia-smi").write_text(text)
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@linux
async def test_a_card_tells_its_memory_and_who_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_nvidia_smi(tmp_path / "bin", NVIDIA_SMI.replace("PID", str(os.getpid())), monkeypatch)
    gauge = LinuxGauge()
    bare = gauge.read(of(os.getpid()))
    await gauge.refresh()
    reading = gauge.read(of(os.getpid()))
    assert (reading.limit, reading.others_there, reading.unified) == (24 * GIB, GIB, False)
    assert reading.elsewhere - bare.elsewhere == pytest.approx(5 * GIB, abs=64 * MIB)
    assert reading.footprints[os.getpid()] > 5 * GIB


@linux
async def test_a_card_that_fails_is_noted_and_its_limit_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_nvidia_smi(tmp_path / "bin", "#!/bin/sh\necho NVIDIA-SMI has failed; exit 9\n", monkeypatch)
    gauge = LinuxGauge()
    await gauge.refresh()
    reading = gauge.read({})
    assert (reading.limit, reading.others_there) == (None, 0)
    assert "nvidia-smi does not tell how much memory the GPU has." in reading.notes


def test_ollamas_own_log_tells_what_it_works_with(real_ollama: RealOllama) -> None:
    found = accelerator_limit(real_ollama.log.read_text(errors="replace"))
    assert found is not None
    if sys.platform == "linux" and found.library == "cpu":
        assert found.limit is None
        assert abs(found.total - psutil.virtual_memory().total) < GIB
    else:
        assert found.limit


def test_a_real_answer_shows_no_lists_but_the_shapes_of_the_weights(real_ollama: RealOllama) -> None:
    with real_ollama.client() as client:
        brief = client.post("/api/show", json={"model": "red"}).json()
        full = client.post("/api/show", json={"model": "red", "verbose": True}).json()
        embedder = client.post("/api/show", json={"model": "embedder"}).json()
    words = len(full["model_info"]["tokenizer.ggml.tokens"])
    assert brief["model_info"]["tokenizer.ggml.tokens"] is None
    facts = facts_of(brief, 10**9)
    assert facts == facts_of(full, 10**9)
    width = brief["model_info"]["llama.embedding_length"]
    assert facts.work == 4 * max(words + width, 4 * width)
    assert facts.kv_per_token == (16 + 16) * 2
    assert not forced_single(facts, NEWEST)
    assert forced_single(facts_of(embedder, 1), NEWEST)


CONTEXTS: Mapping[RunnerKind, str] = {
    RunnerKind.RUNNER: r'msg="kv cache" device=\w+ size="({kib:.1f} KiB|{mib:.1f} MiB)"',
    RunnerKind.LLAMA_SERVER: r"KV buffer size = +{mib:.2f} MiB",
}
"""How Ollama tells in its log what a context takes."""


@pytest.mark.parametrize("tokens", [4096, 8192, 32768])
async def test_a_real_runner_takes_about_what_was_expected(real_ollama: RealOllama, tokens: int) -> None:
    ollama = OllamaClient(lambda: real_ollama.url)
    with real_ollama.client() as client:
        inside = inside_of(client.get("/api/version").json()["version"])
        load = {"model": "red", "keep_alive": -1, "options": {"num_ctx": tokens}}
        client.post("/api/generate", json=load).raise_for_status()
    size = next(each["size"] for each in await ollama.tags() if each["name"] == "red:latest")
    facts = facts_of(await ollama.show("red"), size)
    recipe = recipe_of(await ollama.show("red"), inside)
    assert recipe is not None
    runners = await Runners(lambda: real_ollama.process.pid).holding(recipe.blob)
    (held,) = gauge_for_this_machine().read(of(*(each.pid for each in runners))).footprints.values()
    told = next(int(each["size"]) for each in await ollama.ps() if each["name"] == "red:latest") + inside.untold
    await ollama.unload("red")
    await gone(runners, 10)
    found = estimate(facts, StartedAs(tokens), inside)
    assert found.context == tokens * 64
    in_words = CONTEXTS[inside.kind].format(kib=found.context / 1024, mib=found.context / MIB)
    assert re.search(in_words, real_ollama.log.read_text(errors="replace"))
    assert held < found.total * 1.15 + 8 * MIB  # what it has not touched yet is not there yet
    if inside.kind is RunnerKind.LLAMA_SERVER:
        assert told == pytest.approx(found.total, rel=0.05)
    elif tokens <= 8192:  # of more, most has not been touched yet
        assert held / 3 < found.total < 3 * held


def test_a_gauge_in_a_file_says_what_the_file_says_at_that_moment(tmp_path: Path) -> None:
    gauge = FileGauge(tmp_path / "gauge.json")
    assert gauge.read({}).total == FakeGauge().total
    write_gauge(tmp_path / "gauge.json", total=GIB, available=GIB, limit=None, pressure=4, footprints={7: 5})
    assert (gauge.read(of(7, 8)).footprints, gauge.read({}).pressure, gauge.read({}).limit) == ({7: 5}, 4, None)
    write_gauge(tmp_path / "gauge.json", total=2 * GIB)
    assert gauge.read({}).total == 2 * GIB
