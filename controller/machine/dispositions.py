"""What becomes of a signal: decided, before we begin, by whoever started us.

A signal that is ignored or blocked stays so in whatever is started next, and that in what it starts: a shell ignores
INT and QUIT for what it puts in the background (`&` in a script), `nohup` HUP, and there are parents who ignore CHLD or
block TERM without knowing. What is meant for us is kept to; what we cannot live with, or pass on, is not. Standard
library only: the keeper lives on it.
"""

from __future__ import annotations

import signal

UNTOUCHABLE = {signal.SIGKILL, signal.SIGSTOP}
NEEDED = (signal.SIGTERM, signal.SIGCHLD)  # to be told to leave, and to hear how what we start has ended


def unblocked() -> None:
    """Hear every signal."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def usable() -> None:
    """As a program of ours begins: nothing is blocked, and nobody has ignored for us what we need."""
    for number in NEEDED:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    unblocked()


def untouched() -> None:
    """As if nobody had decided anything: for what becomes another program, which is to find what it expects."""
    for number in signal.valid_signals() - UNTOUCHABLE:
        signal.signal(number, signal.SIG_DFL)
    unblocked()
