"""Badly behaved programs: `python unruly.py NAME [ARGUMENT]`. Most say "ready" once they are as bad as they get."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable


def say(text: str) -> None:
    os.write(1, text.encode() + b"\n")


def wait() -> None:
    while True:
        signal.pause()


def quiet(argument: str) -> None:
    """Well behaved: waits for TERM."""
    say("ready")
    wait()


def leave(argument: str) -> None:
    """Exits at once with the given code."""
    say("goodbye")
    os._exit(int(argument))


def ignore_term(argument: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say("ready")
    wait()


def leave_on_term(argument: str) -> None:
    """Exits with the given code when asked to stop."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(int(argument)))
    say("ready")
    wait()


def escape(argument: str) -> None:
    """Has a grandchild in a session of its own, which ignores TERM; says its pid."""
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say(f"grandchild {os.getpid()}")
        say("ready")
    wait()


def escape_unlocked(argument: str) -> None:
    """As `escape`, and the grandchild closes every descriptor it inherited, the keeper's lock too."""
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say(f"grandchild {os.getpid()}")
        say("ready")
        os.closerange(0, 1024)
    wait()


def hold_output(argument: str) -> None:
    """Exits with code 3 and leaves a grandchild (in a session of its own) that keeps the output open; says its pid."""
    grandchild = os.fork()
    if grandchild == 0:
        os.setsid()
        wait()
    say(f"grandchild {grandchild}")
    os._exit(3)


def flood(argument: str) -> None:
    """Writes as fast as it can for the given seconds, then says how much it wrote, and leaves."""
    block = b"".join(b"%06d the quick brown fox jumps over the lazy dog\n" % number for number in range(20_000))
    end, written = time.monotonic() + float(argument), 0
    while time.monotonic() < end:
        written += os.write(1, block)
    say("")
    say(f"wrote {written}")


def dirt(argument: str) -> None:
    """A 300 KB line, NULs, invalid UTF-8, terminal codes, secrets, and a last line without an end."""
    os.write(1, b"x" * 300_000 + b"\n")
    os.write(1, b"nul\0nul\n\xff\xfe bad\n\x1b[31mred\x1b[0m\r\n")
    os.write(1, b"key sd_0123456789abcdef, Authorization: Bearer abcdefgh12345678\n")
    os.write(1, b"no end")


def talk(argument: str) -> None:
    """A line every few milliseconds, for ever."""
    number = 0
    while True:
        say(f"line {number}")
        number += 1
        time.sleep(0.002)


def confess(argument: str) -> None:
    """Says what it was given: limits, umask, descriptors, session, environment, folder."""
    import resource

    mask = os.umask(0)
    say(f"files {resource.getrlimit(resource.RLIMIT_NOFILE)[0]}")
    say(f"umask {mask:03o}")
    say(f"descriptors {[os.readlink(f'/proc/self/fd/{fd}') for fd in range(3, 100) if is_open(fd)]}")
    say(f"stdin {os.readlink('/proc/self/fd/0')}")
    say(f"leader {os.getsid(0) == os.getpgid(0) == os.getpid()}")
    say(f"environment {sorted(os.environ)}")
    say(f"folder {os.getcwd()}")
    say(f"ignored {[number for number in range(1, 32) if ignored(number)]}")
    say("ready")
    wait()


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def ignored(number: int) -> bool:
    """Whether this signal was ignored when the program began (Python itself ignores two, so the kernel is asked)."""
    with open(f"/proc/{os.getpid()}/status") as file:
        mask = next(int(line.split()[1], 16) for line in file if line.startswith("SigIgn"))
    return bool(mask >> (number - 1) & 1)


PROGRAMS: dict[str, Callable[[str], None]] = {
    program.__name__: program
    for program in (
        quiet,
        leave,
        ignore_term,
        leave_on_term,
        escape,
        escape_unlocked,
        hold_output,
        flood,
        dirt,
        talk,
        confess,
    )
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](sys.argv[2] if len(sys.argv) > 2 else "")
