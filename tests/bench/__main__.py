"""`python -m tests.bench`: measure, print, keep."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.bench import line, report, servers, starts
from tests.bench.arithmetic import OLLAMA
from tests.bench.load import BenchFailed, Figures, small, streams
from tests.bench.servers import LOAD_CORE, Command, Target, on_core

PARTS = ("line", "small", "streams", "starts")
CONNECTIONS = (1, 32)
STREAMS = (1, 64, 200)
QUIET = 0.5  # load average up to which a machine is left to us

Results = dict[str, dict[str, list[float]]]


def options() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser("python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each gateway has its turn (default 3)")
    parser.add_argument("--seconds", type=float, default=4, help="length of each measurement (default 4)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to measure (default all)")
    parser.add_argument(
        "--gateway",
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="measure this instead of Seadragon (may be given again); {port} and {upstream} stand for two ports of "
        "127.0.0.1, {folder} for an empty folder",
    )
    parser.add_argument("--ollama", help="the real ollama program (default: PATH, then what `make run` installed)")
    parser.add_argument("--json", type=Path, help="file for the figures (default: bench/<date>-<commit>.json)")
    return parser.parse_args()


def commands(given: list[str]) -> Mapping[str, Command]:
    """The gateways under test by name: those given, else Seadragon."""
    if not given:
        return {"seadragon": starts.in_front_of}
    return {name: partial(_fill, command) for name, _, command in (entry.partition("=") for entry in given)}


def _fill(command: str, port: int, upstream: int, folder: Path) -> list[str]:
    return [word.format(port=port, upstream=upstream, folder=folder) for word in shlex.split(command)]


def find_ollama(told: str | None) -> str | None:
    """The real Ollama, or None."""
    installed = sorted(Path.home().glob(".cache/seadragon/ollama-*/bin/ollama"))
    return told or shutil.which("ollama") or (str(installed[-1]) if installed else None)


def load_once(target: Target, parts: tuple[str, ...], seconds: float) -> Iterator[tuple[str, Figures]]:
    """One turn of one gateway: (what was sent, what came of it)."""
    if "small" in parts:
        for connections in CONNECTIONS:
            yield f"small {connections}", small(target.small, connections, seconds)
    if "streams" in parts:
        for count in STREAMS:
            before = target.cpu()
            figures = streams(target.streams, count, seconds)
            thousands = figures.pop("chunks") / 1000
            used = {"cpu": (target.cpu() - before) / thousands} if target.processes else {}
            yield f"streams {count}", figures | used


def note(results: Results, name: str, figures: Figures, prefix: str = "") -> None:
    """Add one value a measure."""
    for measure, value in figures.items():
        results.setdefault(name, {}).setdefault(f"{prefix}{measure}", []).append(value)


@contextmanager
def targets(folder: Path, under_test: Mapping[str, Command]) -> Iterator[list[Target]]:
    """Direct, nginx, and the gateways under test, all running."""
    with ExitStack() as stack:
        upstream = stack.enter_context(servers.upstreams(folder))
        yield [
            upstream,
            stack.enter_context(servers.nginx(folder, upstream)),
            *(
                stack.enter_context(servers.gateway(name, command, folder, upstream))
                for name, command in under_test.items()
            ),
        ]


def measure_load(folder: Path, asked: argparse.Namespace, results: Results) -> None:
    """Rounds of small requests and streams, each gateway in turn."""
    with targets(folder, commands(asked.gateway)) as ways:
        for number in range(1, asked.rounds + 1):
            for target in ways:
                tell(f"round {number} of {asked.rounds}: {target.name}")
                with on_core(LOAD_CORE):
                    for sent, figures in load_once(target, asked.only, asked.seconds):
                        note(results, target.name, figures, f"{sent} ")
                if target.processes:
                    note(results, target.name, {"memory": target.memory()})


def measure_starts(folder: Path, asked: argparse.Namespace, results: Results) -> None:
    """Rounds of starting, killing and coming back, with the real Ollama."""
    binary = find_ollama(asked.ollama)
    if binary is None:
        tell("no ollama found: starts are not measured (name it with --ollama)")
        return
    measures: tuple[tuple[str, Callable[[str, Path], Figures]], ...] = (
        (OLLAMA, starts.ollama_alone),
        ("seadragon", starts.seadragon_with_ollama),
    )
    for number in range(1, asked.rounds + 1):
        for name, measure in measures:
            tell(f"start {number} of {asked.rounds}: {name}")
            own = folder / f"start-{name}-{number}"
            own.mkdir()
            note(results, name, measure(binary, own))


def measure_line(asked: argparse.Namespace, results: Results) -> None:
    """Rounds of the line by itself."""
    for number in range(1, asked.rounds + 1):
        tell(f"line {number} of {asked.rounds}")
        note(results, "seadragon", line.figures(), "line ")


def tell(text: str) -> None:
    """Progress, out of the way of the figures."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Measure what was asked for; 1 when a measurement failed, whatever the goals say."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every `with` block ends
    asked = options()
    busy = os.getloadavg()[0]  # before we add ours
    results: Results = {}
    try:
        with tempfile.TemporaryDirectory(prefix="seadragon-bench-") as folder:
            if "small" in asked.only or "streams" in asked.only:
                measure_load(Path(folder), asked, results)
            if "line" in asked.only and not asked.gateway:
                measure_line(asked, results)
            if "starts" in asked.only and not asked.gateway:
                measure_starts(Path(folder), asked, results)
    except BenchFailed as failure:
        tell(str(failure))
        return 1
    print(report.text(results))
    if busy > QUIET:
        print(f"\nThe machine was busy before (load {busy:.1f}): only a quiet one says whether a goal is missed.")
    told = {"rounds": asked.rounds, "seconds": asked.seconds, "load before": busy}
    print(f"\nkept in {report.keep(results, told, asked.json)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
