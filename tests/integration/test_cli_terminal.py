"""What the command line draws on a real terminal, and what it writes elsewhere."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import textwrap

from controller.paths import CLONE

WAITS = """
    from controller.cli.progress import progress

    with progress() as show:
        show("It has begun.")
        show("Waiting for one \\x1b[2J answer.")
    print("qwen3 is loaded.")
"""
LISTS = """
    from controller.cli.tables import draw
    from controller.listing import Listing

    draw(Listing(("WHO", "WHY"), [("mia", "it waits for a model that somebody else is using")], ["green"], 0))
"""


def command(program: str) -> list[str]:
    return [sys.executable, "-W", "error", "-c", textwrap.dedent(program)]


def on_a_terminal(program: str, columns: int) -> str:
    """All that the program writes to a terminal that is so wide."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    environment |= {"TERM": "xterm"}
    with subprocess.Popen(command(program), cwd=CLONE, stdin=theirs, stdout=theirs, env=environment) as running:
        os.close(theirs)
        written = b""
        try:
            while piece := os.read(ours, 4096):
                written += piece
        except OSError:  # which is how Linux says that nobody writes any more
            pass
        assert running.wait(60) == 0
    os.close(ours)
    return written.decode()


def elsewhere(program: str) -> str:
    done = subprocess.run(command(program), cwd=CLONE, capture_output=True, text=True, timeout=60, check=True)
    assert not done.stderr
    return done.stdout


async def test_progress_is_one_line_that_is_gone_afterwards_and_no_terminal_obeys_it() -> None:
    written = await asyncio.to_thread(on_a_terminal, WAITS, 80)
    assert "Waiting for one \\x1b[2J answer." in written
    assert "\x1b[2J" not in written
    cleared = written.rindex("\x1b[2K")
    assert written[cleared:].replace("\x1b[2K", "").strip() == "qwen3 is loaded."


async def test_progress_for_a_program_is_a_line_for_each_word_of_it() -> None:
    written = await asyncio.to_thread(elsewhere, WAITS)
    assert written.splitlines() == ["It has begun.", "Waiting for one \\x1b[2J answer.", "qwen3 is loaded."]


async def test_a_table_fits_the_terminal_and_is_one_line_a_row_elsewhere() -> None:
    narrow = await asyncio.to_thread(on_a_terminal, LISTS, 30)
    assert "\x1b[32m" in narrow
    assert max(len(line) for line in narrow.replace("\x1b[32m", "").replace("\x1b[0m", "").split("\r\n")) <= 30
    wide = (await asyncio.to_thread(elsewhere, LISTS)).splitlines()
    assert wide == ["WHO  WHY", "mia  it waits for a model that somebody else is using"]
