"""`python -m controller up` with an open tunnel: what no setting can bring about, and tests of the tunnel need."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from controller.app import run
from controller.auth.access import Principal
from controller.paths import Paths

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["up"])
    for folder in ("config", "data", "logs"):
        parser.add_argument(f"--{folder}", type=Path, required=True)
    given = parser.parse_args()
    sys.exit(run(Paths(given.config, given.data, given.logs), through_tunnel=Principal("the tunnel", 3.0, False)))
