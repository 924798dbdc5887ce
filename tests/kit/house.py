"""A whole Seadragon in folders of its own, started as a person starts it, for tests that break things."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import yaml

from controller.control import client
from controller.errors import SeadragonError
from controller.paths import Paths
from tests.fakes import ollama as fake_ollama
from tests.fakes.gauge import write_gauge
from tests.kit import web
from tests.kit.ports import free_port

T = TypeVar("T")
PATIENCE = 30.0  # seconds; generous, since two cores may be busy. Nothing waits that long when all is well
GENEROUS: Mapping[str, Any] = {"running": 1000, "waiting": 10000, "whole": 100000}
"""The line of a house whose test is about something else: one caller may ask a hundred things at once."""
OWNER: Mapping[str, Any] = {"allow": [{"label": "this computer", "addresses": ["127.0.0.1"], "manage": True}]}
"""An access.yaml by which this computer may manage, and so read the metrics."""
AT_A_TIME = 64  # answers of one model: the same, for its slots


def until(what: Callable[[], T | None], *, seconds: float = PATIENCE, why: str = "") -> T:
    """The first true answer of `what`, asked again and again: for facts of other processes that nobody announces."""
    end = time.monotonic() + seconds
    while True:
        if answer := what():
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {why or what}")
        time.sleep(0.02)


class Plain(yaml.SafeDumper):
    """Writes everything out: what appears twice is no anchor and alias, which a configuration may not have."""

    def ignore_aliases(self, data: object) -> bool:
        return True


@dataclass
class House:
    """One data folder and whatever controller runs on it now."""

    folder: Path
    port: int = field(default_factory=free_port)
    environment: dict[str, str] = field(default_factory=dict)
    rigging: tuple[str, ...] | None = None  # options of `tests.kit.rigged`, which then is what `up` runs
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        for path in (self.config, self.data, self.logs):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def paths(self) -> Paths:
        """As `command` tells them."""
        return Paths.chosen({}, config=str(self.config), data=str(self.data), logs=str(self.logs))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def write(self, file: str, tree: Mapping[str, Any] | str) -> None:
        """Save one YAML file as editors do: a new file, renamed over the old."""
        text = tree if isinstance(tree, str) else yaml.dump(dict(tree), Dumper=Plain, sort_keys=False)
        fresh = self.config / f".{file}.new"
        fresh.write_text(text)
        fresh.rename(self.config / f"{file}.yaml")

    def command(self, *arguments: str) -> list[str]:
        folders = [f"--config={self.config}", f"--data={self.data}", f"--logs={self.logs}"]
        if arguments[0] == "up" and self.rigging is not None:
            return [sys.executable, "-m", "tests.kit.rigged", *arguments, *self.rigging, *folders]
        return [sys.executable, "-m", "controller", *arguments, *folders]

    def rig(self, *options: str) -> None:
        """From the next `up` on, with these options of `tests.kit.rigged`; other commands are always the real ones."""
        self.rigging = (*(self.rigging or ()), *options)

    def rig_memory(self, **figures: Any) -> Path:
        """As `rig`, with a machine whose memory the returned file tells (`tests.fakes.gauge.write_gauge`)."""
        path = self.folder / "gauge.json"
        write_gauge(path, **figures)
        self.rig(f"--gauge={path}")
        return path

    def run(self, *arguments: str, limit: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """One `seadragon` command on this house, to its end."""
        return subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            timeout=limit,
            env=self._environment(),
            check=False,
        )

    def up(self, *options: str) -> House:
        """Start the controller in the foreground and return once it listens."""
        with (self.logs / "console.txt").open("ab") as console:
            self.process = subprocess.Popen(
                self.command("up", *options),
                stdout=console,
                stderr=console,
                stdin=subprocess.DEVNULL,
                env=self._environment(),
                start_new_session=True,
            )
        until(self.listens, why=f"the controller listens: {self.console()}")
        return self

    def _environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("SEADRAGON_")}
        return {**ours, "XDG_CACHE_HOME": str(self.folder / "cache"), **self.environment}

    def listens(self) -> bool:
        """Whether it answers already; fails when it has left."""
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the controller left with {self.process.returncode}: {self.console()}")
        return self.says_yes("/healthz")

    def says_yes(self, path: str) -> bool:
        """Whether it answers this path, and with 200."""
        with contextlib.suppress(httpx.TransportError):
            return web.get(f"{self.url}{path}", timeout=5).status_code == 200
        return False

    def console(self) -> str:
        """What a terminal would have shown so far."""
        path = self.logs / "console.txt"
        return path.read_text(errors="replace") if path.exists() else ""

    def status(self) -> dict[str, Any]:
        """What `seadragon status --json` prints, asked for without another process; empty when nobody answers."""
        with contextlib.suppress(SeadragonError):
            return client.status(self.paths.socket)
        return {}

    def child(self, name: str = "ollama") -> dict[str, Any]:
        """One child's part of the status; empty when there is none."""
        children = self.status().get("children")
        return dict(children.get(name, {})) if isinstance(children, dict) else {}

    def until_state(self, state: str, name: str = "ollama", seconds: float = PATIENCE) -> dict[str, Any]:
        """Wait for a child to be in `state`; its status then."""
        seen: dict[str, Any] = {}

        def there() -> dict[str, Any] | None:
            nonlocal seen
            seen = self.child(name)
            return seen if seen.get("state") == state else None

        with contextlib.suppress(AssertionError):
            return until(there, seconds=seconds)
        raise AssertionError(f"{name} is not {state} but {seen}\n{self.console()[-3000:]}")

    def until_ready(self, seconds: float = PATIENCE) -> House:
        """Wait for `/readyz` to say yes."""
        until(lambda: self.says_yes("/readyz"), seconds=seconds, why=f"ready: {self.console()[-2000:]}")
        return self

    def metrics(self) -> str:
        """`/metrics`, as Prometheus would read it: its access must let this computer manage, as `OWNER` does."""
        return web.get(f"{self.url}/metrics", timeout=10).text

    def events(self) -> list[dict[str, Any]]:
        """Every line of the controller's own log so far."""
        path = self.logs / "controller.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill the controller and nothing else, as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def down(self, seconds: float = 60) -> int:
        """Ctrl-C; the exit code."""
        assert self.process is not None
        self.signal(signal.SIGINT)
        return self.process.wait(seconds)

    def processes(self) -> list[psutil.Process]:
        """Every process that has to do with this house: the controller, keepers, children, runners."""
        mark = str(self.folder)
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if mark in " ".join(process.cmdline()) or process.environ().get("SEADRAGON_HOUSE") == mark:
                    found.append(process)
        return found

    def clear(self) -> None:
        """Whatever is left of this house is killed, so that a failed test hurts no other."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(15)
            self.process.kill()
            self.process.wait()
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()


@dataclass
class FakeHouse(House):
    """A house whose Ollama is the fake, with its knobs. Until a test says otherwise, nobody has to wait in its line."""

    server: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.binary = fake_ollama.program(self.folder)
        self.knob_file = self.folder / "knobs.json"
        self.knobs()
        self.write("models", {"parallel": AT_A_TIME})
        self.configure()

    def server_tree(self) -> dict[str, Any]:
        """server.yaml as it is written: this house's port, the fake Ollama, and what the test adds."""
        ollama = {
            "binary": str(self.binary),
            "stop_grace": "2s",
            "environment": {"FAKE_OLLAMA_KNOBS": str(self.knob_file), "SEADRAGON_HOUSE": str(self.folder)},
            **self.server.get("ollama", {}),
        }
        listeners = self.server.get("listeners", [{"address": f"127.0.0.1:{self.port}"}])
        mild = {"drain": "5s", "adopt_grace": "30s", "line": dict(GENEROUS), "power": {"awake": "never"}}
        return {**mild, **self.server, "listeners": listeners, "ollama": ollama}

    def configure(self, **server: Any) -> None:
        """Write server.yaml, with these further settings from now on."""
        self.server = {**self.server, **server}
        self.write("server", self.server_tree())

    def knobs(self, **values: Any) -> None:
        """Set exactly these knobs."""
        fresh = self.knob_file.with_suffix(".new")
        fresh.write_text(json.dumps(values))
        fresh.rename(self.knob_file)


@contextlib.contextmanager
def fake_house(folder: Path, **server: Any) -> Iterator[FakeHouse]:
    """A house on the fake Ollama; everything it started is gone afterwards."""
    house = FakeHouse(folder, server=server)
    try:
        yield house
    finally:
        house.clear()
