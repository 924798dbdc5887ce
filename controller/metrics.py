"""`/metrics`: made from plain integers when somebody asks, so that counting costs a request next to nothing.

Every label value that can be known is there from the start: a graph exists before the first failure.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, get_args

import psutil
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from controller.answering.counts import RunCounts
from controller.desk import Desk
from controller.machine import openfiles
from controller.residency.resident import Cause
from controller.scheduling.tally import OTHER_LANE, LineTally
from controller.spelling import full_name
from controller.supervision.spec import ChildState, ChildStatus

FIRST_STATUS = 200  # the one every route starts with, at nought
LANES = (1.0, 2.0, 3.0)  # those everybody has
OTHER = "other"  # the label of whatever is one too many
GB = 2**30


class BucketCounts(Protocol):
    """How long things took: counts per bucket, not added up, the last one for what is above all bounds."""

    @property
    def counts(self) -> Sequence[int]: ...
    @property
    def total(self) -> float: ...


class Counts(Protocol):
    """What the data plane counts."""

    @property
    def requests(self) -> Mapping[tuple[str, str, int], int]: ...  # by dialect, route, status
    @property
    def errors(self) -> Mapping[str, int]: ...  # by reason
    @property
    def first_byte(self) -> Mapping[str, BucketCounts]: ...  # by dialect
    @property
    def total(self) -> Mapping[str, BucketCounts]: ...  # by dialect
    @property
    def bytes_in(self) -> int: ...
    @property
    def bytes_out(self) -> int: ...
    @property
    def runs(self) -> RunCounts: ...
    @property
    def listed_hits(self) -> int: ...


class Metrics(Collector):
    """All of it. `routes` are (dialect, route) pairs and `reasons` the causes of failure that are known beforehand."""

    def __init__(
        self,
        desk: Desk,
        counts: Counts,
        line: LineTally,
        *,
        routes: Iterable[tuple[str, str]],
        reasons: Iterable[str],
        bounds: Sequence[float],
        log_dropped: Callable[[], int],
    ) -> None:
        self._desk = desk
        self._counts = counts
        self._line = line
        self._routes = [(str(dialect), route) for dialect, route in routes]
        self._dialects = sorted({dialect for dialect, _ in self._routes})
        self._reasons = [str(reason) for reason in reasons if reason]
        self._bounds = [*(str(float(bound)) for bound in bounds), "+Inf"]
        self._log_dropped = log_dropped
        self._process = psutil.Process()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> tuple[bytes, str]:
        """The whole text and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: all is collected when it is asked for."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        yield from self._traffic()
        yield from self._seconds()
        yield from self._queue()
        yield from self._grants()
        yield from self._waits()
        yield from self._loads()
        yield from self._tokens()
        yield from self._memory()
        yield from self._children()
        yield from self._kept()
        yield from self._controller()

    def _traffic(self) -> Iterator[Metric]:
        counts = self._counts
        labels = ("dialect", "route", "status")
        requests = CounterMetricFamily("seadragon_requests", "Requests that ended.", labels=labels)
        first = {(dialect, route, FIRST_STATUS): 0 for dialect, route in self._routes}
        for (dialect, route, status), count in {**first, **counts.requests}.items():
            requests.add_metric((str(dialect), route, str(int(status))), count)
        yield requests
        errors = CounterMetricFamily("seadragon_request_errors", "Requests without a whole answer.", labels=("reason",))
        for reason, count in {**dict.fromkeys(self._reasons, 0), **counts.errors}.items():
            errors.add_metric((str(reason),), count)
        yield errors
        yield _counter("received_bytes", "Bytes of request bodies.", counts.bytes_in)
        yield _counter("sent_bytes", "Bytes of answers.", counts.bytes_out)
        yield _counter("replays", "Requests sent upstream a second time, unseen by the client.", counts.runs.replays)
        yield _counter("suspected_runners", "Runners ended because a grant brought nothing.", counts.runs.suspected)
        yield _counter("kept_answers", "Lists answered without asking an engine.", counts.listed_hits)
        yield _gauge("open_streams", "Answers being written now.", counts.runs.streams)
        yield _gauge("held_requests", "Requests that wait for their engine now.", counts.runs.held)

    def _seconds(self) -> Iterator[Metric]:
        for name, words, seen in (
            ("seadragon_first_byte_seconds", "Time until an answer began.", self._counts.first_byte),
            ("seadragon_request_seconds", "Time until a request ended.", self._counts.total),
        ):
            family = HistogramMetricFamily(name, words, labels=("dialect",))
            for dialect in sorted({*self._dialects, *map(str, seen)}):
                counts, total = (seen[dialect].counts, seen[dialect].total) if dialect in seen else ((), 0.0)
                family.add_metric((dialect,), self._buckets(counts), total)
            yield family

    def _buckets(self, counts: Sequence[int]) -> list[tuple[str, float]]:
        """Added up from the left, as the format wants them."""
        filled = list(counts) or [0] * len(self._bounds)
        return [(bound, sum(filled[: index + 1])) for index, bound in enumerate(self._bounds)]

    def _queue(self) -> Iterator[Metric]:
        queue = self._desk.queue()
        waiting = GaugeMetricFamily("seadragon_line_waiting", "Requests in the line.", labels=("lane",))
        counts = dict.fromkeys(self._lanes(), 0)
        for lane, about in queue["lanes"].items():
            counts[self._lane(float(lane))] = counts.get(self._lane(float(lane)), 0) + about["waiting"]
        for lane, count in counts.items():
            waiting.add_metric((lane,), count)
        yield waiting
        running = GaugeMetricFamily("seadragon_line_running", "Requests let through.", labels=("model",))
        granted = Counter(
            full_name(each["model"]) or each["model"] for each in queue["tickets"] if each["state"] == "granted"
        )
        for model, count in granted.items():
            running.add_metric((model,), count)
        yield running
        yield _gauge("line_paused", "How much of the line is paused.", len(queue["paused"]))

    def _grants(self) -> Iterator[Metric]:
        grants = CounterMetricFamily("seadragon_grants", "Requests let through.", labels=("why",))
        for why, count in self._line.grants.items():
            grants.add_metric((str(why),), count)
        yield grants
        turned = CounterMetricFamily("seadragon_turned_away", "Requests not let into the line.", labels=("cap",))
        for cap, count in self._line.turned.items():
            turned.add_metric((str(cap),), count)
        yield turned

    def _waits(self) -> Iterator[Metric]:
        waits = HistogramMetricFamily("seadragon_line_wait_seconds", "Time until a grant.", labels=("lane",))
        seen: dict[str, list[BucketCounts]] = {lane: [] for lane in self._lanes()}
        for lane, histogram in self._line.waits.items():
            seen.setdefault(self._lane(lane), []).append(histogram)
        for label, histograms in seen.items():
            summed = [sum(column) for column in zip(*(each.counts for each in histograms), strict=True)]
            waits.add_metric((label,), self._buckets(summed), sum(each.total for each in histograms))
        yield waits

    def _lanes(self) -> list[str]:
        """The lanes that somebody may be in, and (bounded by the tally) those that keys and people brought along."""
        given = {float(entry.lane) for entry in self._desk.config.access.allow}
        given |= self._line.waits.keys() - {OTHER_LANE}
        return [f"{lane:g}" for lane in sorted({*LANES, *given})]

    def _lane(self, lane: float) -> str:
        return f"{lane:g}" if f"{lane:g}" in self._lanes() else OTHER

    def _loads(self) -> Iterator[Metric]:
        swaps = CounterMetricFamily(
            "seadragon_swaps", "Changes of what is loaded, by who wanted them.", labels=("why",)
        )
        for why, count in {**dict.fromkeys(get_args(Cause), 0), **self._line.swaps}.items():
            swaps.add_metric((why,), count)
        yield swaps
        loads = CounterMetricFamily("seadragon_loads", "Times it was loaded.", labels=("model",))
        seconds = CounterMetricFamily("seadragon_load_seconds", "Time its loads took.", labels=("model",))
        for model, figures in self._line.loads.items():
            loads.add_metric((model,), figures.count)
            seconds.add_metric((model,), figures.seconds)
        yield from (loads, seconds)

    def _tokens(self) -> Iterator[Metric]:
        tokens = CounterMetricFamily("seadragon_tokens", "Tokens of finished answers.", labels=("model", "direction"))
        seconds = CounterMetricFamily(
            "seadragon_answer_seconds",
            "Time spent on writing answers, where it is known: in the native dialect, and in streams.",
            labels=("model",),
        )
        speed = GaugeMetricFamily("seadragon_tokens_per_second", "Mean speed since the start.", labels=("model",))
        for model, spoken in self._line.tokens.items():
            tokens.add_metric((model, "in"), spoken.prompt)
            tokens.add_metric((model, "out"), spoken.answer)
            seconds.add_metric((model,), spoken.seconds)
            speed.add_metric((model,), spoken.timed / spoken.seconds if spoken.seconds else 0.0)
        yield from (tokens, seconds, speed)

    def _memory(self) -> Iterator[Metric]:
        memory = self._desk.memory()
        for name, words in (
            ("total", "Of the machine."),
            ("available", "Free, or freed when asked for."),
            ("budget", "What models may take."),
            ("taken", "What models take, those being loaded included."),
            ("cache", "What models may come to take beside that, for conversations they keep."),
        ):
            if memory[f"{name}_gb"] is not None:
                yield _gauge(f"memory_{name}_bytes", words, memory[f"{name}_gb"] * GB)
        loaded = GaugeMetricFamily("seadragon_model_memory_bytes", "Of each loaded model.", labels=("model",))
        for model, gb in memory["models_loaded"].items():
            loaded.add_metric((model,), gb * GB)
        yield loaded
        if memory["pressure"] is not None:
            yield _gauge("memory_pressure", "1 normal, 2 warning, 4 critical.", memory["pressure"])
        yield _gauge("may_load", "Whether memory allows a load now.", float(memory["may_load"]))

    def _kept(self) -> Iterator[Metric]:
        """Usage, audit, rights. Refusals at the door are among `seadragon_request_errors`, by reason."""
        desk = self._desk
        yield _counter("usage_dropped_rows", "Requests the database did not take.", desk.usage.dropped)
        yield _counter("audit_rows", "Deeds and refusals noted.", desk.audit.noted)
        yield _counter("audit_dropped_rows", "Of them, those the database did not take.", desk.audit.dropped)
        for name, words, count in (
            ("keys", "Keys that are neither revoked nor paused nor over.", desk.office.shown.keys_active),
            ("users", "People who may sign in.", desk.office.shown.users_active),
            ("sessions", "Browsers somebody is signed in with.", desk.office.shown.sessions_live),
        ):
            yield _gauge(name, words, count)

    def _children(self) -> Iterator[Metric]:
        children = self._desk.children()
        states = GaugeMetricFamily("seadragon_child_state", "1 for the state it is in.", labels=("child", "state"))
        for child in children:
            for state in ChildState:
                states.add_metric((child.name, str(state)), float(child.state is state))
        yield states
        yield _of_children("child_restarts", "Starts after the first.", children, lambda child: child.restarts, True)
        yield _of_children("child_memory_bytes", "Its whole tree.", children, lambda child: child.memory or 0)

    def _controller(self) -> Iterator[Metric]:
        desk = self._desk
        version = {"version": desk.version, "python": ".".join(map(str, sys.version_info[:3]))}
        yield InfoMetricFamily("seadragon_build", "What runs.", value=version)
        yield _gauge("ready", "Whether /readyz says 200.", float(desk.ready))
        yield _gauge("config_stale", "Whether the YAML on disk is not what runs.", float(bool(desk.config_problems)))
        yield _gauge("start_time_seconds", "When it started, since the epoch.", desk.started_at)
        yield _counter("log_dropped_lines", "Log lines the disk did not take.", self._log_dropped())
        disk = GaugeMetricFamily("seadragon_disk_free_bytes", "Room left.", labels=("folder",))
        for name, folder in (("data", desk.data), ("logs", desk.logs)):
            disk.add_metric((name,), _free(folder))
        yield disk
        yield from self._own()

    def _own(self) -> Iterator[Metric]:
        with self._process.oneshot():
            used = self._process.cpu_times()
            yield _counter("cpu_seconds", "Processor time of the controller.", used.user + used.system)
            yield _gauge("resident_memory_bytes", "Of the controller.", self._process.memory_info().rss)
            yield _gauge("open_files", "Of the controller.", self._process.num_fds())
        yield _gauge("open_files_limit", "Of the controller.", openfiles.now())


def _counter(name: str, words: str, value: float) -> Metric:
    return CounterMetricFamily(f"seadragon_{name}", words, value=value)


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(f"seadragon_{name}", words, value=value)


def _of_children(
    name: str, words: str, children: Sequence[ChildStatus], value: Callable[[ChildStatus], float], grows: bool = False
) -> Metric:
    kind = CounterMetricFamily if grows else GaugeMetricFamily
    family = kind(f"seadragon_{name}", words, labels=("child",))
    for child in children:
        family.add_metric((child.name,), value(child))
    return family


def _free(folder: Path) -> float:
    try:
        return shutil.disk_usage(folder).free
    except OSError:  # the folder is gone: no room there either
        return 0
