"""`python -m controller` is `seadragon`."""

import os
import signal

from controller.machine import dispositions


def main() -> None:
    """The command line. Ctrl-C while Python is still importing it ends without a word, as any program does."""
    dispositions.usable()
    os.umask(0o077)  # whatever is made here is ours alone, unless it says otherwise
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from controller.cli import main

    signal.signal(signal.SIGINT, before)
    main()


if __name__ == "__main__":
    main()
