"""The asking side, for the command line: blocking and plain, standard library only, so that `status` starts quickly."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

from controller.control import VERSION
from controller.errors import NotRunning, SeadragonError


class VerbRefused(SeadragonError):
    """The controller understood, and says why it will not or could not."""


class Left(SeadragonError):
    """The controller went away in the middle of its reply. After `down` and `restart` that is the good end."""


def listen(path: Path, verb: str, *, limit: float | None = None, **arguments: object) -> Iterator[object]:
    """Each line of the reply as it comes, and the answer as the last item.

    `limit` is the longest silence in seconds. Raises NotRunning, Left, and VerbRefused, also after that silence.
    """
    try:
        yield from _conversation(path, {"v": VERSION, "verb": verb, **arguments}, limit)
    except TimeoutError:
        raise VerbRefused("It runs, and does not answer. What it says for itself: seadragon logs") from None
    except ConnectionError:
        raise Left("The controller left before it had answered.") from None


def _conversation(path: Path, request: dict[str, object], limit: float | None) -> Iterator[object]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(limit)
        _connect(connection, path)
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as reply:
            for text in reply:
                if not text.endswith(b"\n"):
                    break  # cut off in the middle
                message = json.loads(text)
                if "problem" in message:
                    raise VerbRefused(str(message["problem"]))
                if "answer" in message:
                    yield message["answer"]
                    return
                yield message.get("line")
    raise Left("The controller left before it had answered.")


def ask(path: Path, verb: str, *, limit: float | None = None, **arguments: object) -> object:
    """The answer alone. Raises what `listen` raises."""
    *_, answer = listen(path, verb, limit=limit, **arguments)
    return answer


def status(path: Path) -> dict[str, object]:
    """How the running controller is doing. Raises NotRunning."""
    answer = ask(path, "status", limit=10)
    assert isinstance(answer, dict)
    return answer


def _connect(connection: socket.socket, path: Path) -> None:
    try:
        connection.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        raise NotRunning("Seadragon is not running here. Start it with: seadragon up") from None
    except PermissionError:
        raise VerbRefused(f"{path} belongs to another user: run this as the user Seadragon runs as.") from None
