"""The machine set-up works on: what it is, what its environment says, and how a step is run and told."""

from __future__ import annotations

import os
import platform as this_machine
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from controller.errors import ObtainFailed

HEARTBEAT = 15.0  # seconds between two signs of life of a long step
SYSCTL = "/usr/sbin/sysctl"  # macOS
LAST_WORDS = 2000  # characters of a failed step's output that are shown


@dataclass(frozen=True)
class Site:
    """Where set-up runs. Tests hand in another."""

    platform: str = sys.platform
    machine: str = field(default_factory=this_machine.machine)
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @cached_property
    def silicon(self) -> bool:
        """Whether this is a Mac with Apple silicon. Under Rosetta, `machine` pretends that it is not."""
        if self.platform != "darwin" or self.machine == "arm64":
            return self.platform == "darwin"
        try:
            return self.run([SYSCTL, "-n", "hw.optional.arm64"]).strip() == "1"
        except ObtainFailed:
            return False  # an Intel Mac does not know the name

    def which(self, program: str) -> str | None:
        """The program on this site's PATH."""
        return shutil.which(program, path=self.environment.get("PATH", os.defpath))

    def say(self, line: str) -> None:
        """Tell the person in front of the terminal."""
        print(f"seadragon: {line}", file=sys.stderr, flush=True)

    def run(self, argv: Sequence[str], *, telling: str = "", folder: Path | None = None, **more: str) -> str:
        """Run one step to its end and return what it printed; `more` is added to its environment.

        With `telling`, signs of life are shown. Raises ObtainFailed with the step's last words when it fails. Set-up's
        own steps run in a person's terminal before there is a controller: none of them is a child to be kept.
        """
        with tempfile.TemporaryFile() as output:
            try:
                step = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=folder,
                    env=dict(self.environment) | more,
                )
            except OSError as error:
                raise ObtainFailed(f"{argv[0]} could not be run: {error}.") from error
            code = self._await(step, telling)
            output.seek(0)
            text = output.read().decode(errors="replace")
        if code:
            raise ObtainFailed(f"`{' '.join(argv)}` left with exit code {code}:\n{text[-LAST_WORDS:].strip()}")
        return text

    def _await(self, step: subprocess.Popen[bytes], telling: str) -> int:
        started = time.monotonic()
        try:
            while True:
                try:
                    return step.wait(HEARTBEAT if telling else None)
                except subprocess.TimeoutExpired:
                    self.say(f"… {telling} ({time.monotonic() - started:.0f} s)")
        except BaseException:  # also Ctrl-C: a step does not outlive its set-up
            step.kill()
            step.wait()
            raise
