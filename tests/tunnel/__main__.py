"""A step of `make test`: build cloudflared and the edge."""

from __future__ import annotations

import sys

from controller.errors import ObtainFailed
from controller.obtain.site import Site
from tests.tunnel.programs import build

if __name__ == "__main__":
    site = Site()
    try:
        build(site)
    except ObtainFailed as failure:
        site.say(str(failure))
        sys.exit(1)
