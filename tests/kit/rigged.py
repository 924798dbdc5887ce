"""`python -m controller up`, rigged: with a memory that a test's file tells, or the Mac's loop. No setting does that.

python -m tests.kit.rigged up --gauge=FILE --mac-loop --config=… --data=… --logs=…
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from controller.app import run
from controller.machine.eventloop import new_loop
from controller.paths import Paths
from tests.fakes.gauge import FileGauge

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["up"])
    parser.add_argument("--gauge", type=Path, help="a file as tests.fakes.gauge.write_gauge writes it")
    parser.add_argument("--mac-loop", action="store_true", help="the loop a Mac gets")
    for folder in ("config", "data", "logs"):
        parser.add_argument(f"--{folder}", type=Path, required=True)
    given = parser.parse_args()
    sys.exit(
        run(
            Paths(given.config, given.data, given.logs),
            gauge=FileGauge(given.gauge) if given.gauge else None,
            loop=partial(new_loop, "darwin") if given.mac_loop else new_loop,
        )
    )
