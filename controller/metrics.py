"""`/metrics`: made from plain integers when somebody asks, so that counting costs a request next to nothing.

Every label value that can be known is there from the start: a graph exists before the first failure.
"""

from __future__ import annotations

import resource
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

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

from controller.desk import Desk
from controller.supervision.spec import ChildState, ChildStatus

FIRST_STATUS = 200  # the one every route starts with, at nought


class Histogram(Protocol):
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
    def first_byte(self) -> Mapping[str, Histogram]: ...  # by dialect
    @property
    def total(self) -> Mapping[str, Histogram]: ...  # by dialect
    @property
    def bytes_in(self) -> int: ...
    @property
    def bytes_out(self) -> int: ...
    @property
    def streams(self) -> int: ...
    @property
    def held(self) -> int: ...
    @property
    def replays(self) -> int: ...
    @property
    def suspected(self) -> int: ...
    @property
    def listed_hits(self) -> int: ...


class Metrics(Collector):
    """All of it. `routes` are (dialect, route) pairs and `reasons` the causes of failure that are known beforehand."""

    def __init__(
        self,
        desk: Desk,
        counts: Counts,
        *,
        routes: Iterable[tuple[str, str]],
        reasons: Iterable[str],
        bounds: Sequence[float],
        log_dropped: Callable[[], int],
    ) -> None:
        self._desk = desk
        self._counts = counts
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
        yield from self._children()
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
        yield _counter("replays", "Requests sent upstream a second time, unseen by the client.", counts.replays)
        yield _counter("suspected_runners", "Runners ended because a grant brought nothing.", counts.suspected)
        yield _counter("kept_answers", "Lists answered without asking Ollama.", counts.listed_hits)
        yield _gauge("open_streams", "Answers being written now.", counts.streams)
        yield _gauge("held_requests", "Requests that wait for Ollama now.", counts.held)

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
        yield _gauge("open_files_limit", "Of the controller.", resource.getrlimit(resource.RLIMIT_NOFILE)[0])


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
