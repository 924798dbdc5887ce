"""The figures as people read them, and as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from tests.bench.arithmetic import DIRECT, GOALS, NGINX, OLLAMA, Results, Verdict, alone, times_nginx
from tests.bench.servers import ROOT

# (heading, ((measure, what it is called, its form), …))
_TABLE = (
    (
        "small chat requests",
        (
            ("small 1 p50", "p50 at 1 connection, µs", "{:,.0f}"),
            ("small 32 p50", "p50 at 32 connections, µs", "{:,.0f}"),
            ("small 32 rate", "requests/s at 32 connections", "{:,.0f}"),
        ),
    ),
    *(
        (
            f"{count} stream{'s' * (count > 1)} of 30 tokens/s",
            (
                (f"streams {count} first.p50", "first byte p50, ms", "{:.2f}"),
                (f"streams {count} first.p99", "first byte p99, ms", "{:.2f}"),
                (f"streams {count} gap.p50", "gap p50, ms", "{:.2f}"),
                (f"streams {count} gap.p99", "gap p99, ms", "{:.2f}"),
                (f"streams {count} gap.p99.9", "gap p99.9, ms", "{:.2f}"),
                (f"streams {count} cpu", "CPU s per 1,000 chunks", "{:.4f}"),
            ),
        )
        for count in (1, 64, 200)
    ),
    (
        "the line by itself",
        (
            ("line decision", "decision with 10,000 waiting, µs", "{:.1f}"),
            ("line idle", "in, turn and out when idle, µs", "{:.1f}"),
            ("line waiting", "memory of one that waits, bytes", "{:,.0f}"),
        ),
    ),
    (
        "process",
        (
            ("memory", "resident after the load, MB", "{:.1f}"),
            ("idle memory", "resident when idle, MB", "{:.1f}"),
            ("keeper memory", "a keeper, MB", "{:.1f}"),
            ("own start", "Ollama alone: start to answer, s", "{:.3f}"),
            ("listening", "start to listening, s", "{:.3f}"),
            ("ready", "start to ready, s", "{:.3f}"),
            ("answered again", "kill -9 of Ollama to answer, s", "{:.3f}"),
        ),
    ),
)


def verdicts(results: Results) -> list[Verdict]:
    """Every goal that was measured, for every gateway but nginx."""
    judged = [goal.judge(results, gateway) for gateway in _gateways(results) for goal in GOALS]
    return [verdict for verdict in judged if verdict is not None]


def _gateways(results: Results) -> list[str]:
    return [name for name in results if name not in (DIRECT, NGINX, OLLAMA)]


def text(results: Results) -> str:
    """Medians of all rounds in columns, then each goal with the median of its rounds' ratios."""
    return "\n".join([*_table(results), "", *_goals(results)])


def _table(results: Results) -> Iterator[str]:
    names = list(results)
    for heading, rows in _TABLE:
        lines = [_row(results, names, *row) for row in rows]
        if any(lines):
            yield ""
            yield f"{heading:34}" + "".join(f"{name:>12}" for name in names)
            yield from filter(None, lines)


def _row(results: Results, names: list[str], measure: str, title: str, form: str) -> str:
    columns = [alone(results, name, measure) for name in names]
    if not any(columns):
        return ""
    return f"  {title:32}" + "".join(f"{form.format(median(column)) if column else '':>12}" for column in columns)


def _goals(results: Results) -> Iterator[str]:
    for gateway in _gateways(results):
        yield f"{gateway}: goals, each the median of the rounds"
        yield from (f"  {verdict.line}" for verdict in verdicts(results) if verdict.gateway == gateway)
        rates = times_nginx(results, gateway, "streams 200 cpu")
        if rates:
            yield f"          (CPU per chunk: {median(rates):.2g} × nginx's)"


def commit() -> str:
    """The short name of the commit that was measured, with a + when the files differ from it."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--abbrev=9"], capture_output=True, text=True, cwd=ROOT
    )
    return told.stdout.strip() or "unknown"


def keep(results: Results, options: dict[str, object], file: Path | None = None) -> Path:
    """Write everything to `file`, or to `bench/<date>-<commit>.json`; returns where."""
    now = datetime.now(UTC)
    path = file or ROOT / "bench" / f"{now:%Y%m%dT%H%M%SZ}-{commit()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "at": now.isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "python": sys.version.split()[0]},
        "options": options,
        "rounds": results,
        "goals": [
            {
                "gateway": verdict.gateway,
                "goal": verdict.goal.text,
                "value": verdict.value,
                "unit": verdict.goal.unit,
                "limit": verdict.goal.limit,
                "met": verdict.met,
            }
            for verdict in verdicts(results)
        ],
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path
