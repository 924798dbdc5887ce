"""`python -m controller up`, rigged: with an open tunnel, or a memory that a test's file tells. No setting can do that.

python -m tests.kit.rigged up --open-tunnel --gauge=FILE --config=… --data=… --logs=…
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from controller.app import run
from controller.auth.access import Principal
from controller.paths import Paths
from tests.fakes.gauge import FileGauge

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["up"])
    parser.add_argument("--open-tunnel", action="store_true", help="whoever comes through it may infer, in lane 3")
    parser.add_argument("--gauge", type=Path, help="a file as tests.fakes.gauge.write_gauge writes it")
    for folder in ("config", "data", "logs"):
        parser.add_argument(f"--{folder}", type=Path, required=True)
    given = parser.parse_args()
    sys.exit(
        run(
            Paths(given.config, given.data, given.logs),
            through_tunnel=Principal("the tunnel", 3.0, False) if given.open_tunnel else None,
            gauge=FileGauge(given.gauge) if given.gauge else None,
        )
    )
