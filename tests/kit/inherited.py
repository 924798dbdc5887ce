"""What a process is given by whoever starts it, and keeps: the tests do not depend on theirs."""

from __future__ import annotations

import os
import signal
import sys

IN_THE_BACKGROUND = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)  # ignored for `&` in a script, and under `nohup`


def made_plain() -> None:
    """Here, and in whatever is started from now on.

    An ignored signal goes on doing nothing here; but what we start hears it, since no program inherits a handler. What
    Python compiles is kept, or each of a thousand starts would compile it again.
    """
    for number in IN_THE_BACKGROUND:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
