"""A step of `make test`: the kit's models, and Ollama's own tests, made once."""

from __future__ import annotations

import sys

from controller.errors import ObtainFailed
from controller.obtain.site import Site
from tests.kit import conformance, real

if __name__ == "__main__":
    try:
        conformance.program()
        real.library_folder()
    except (ObtainFailed, LookupError) as failure:
        Site().say(str(failure))
        sys.exit(1)
