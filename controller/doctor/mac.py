"""What can only be proved on a Mac: each with the command that shows it and what it should show."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Proof:
    """One thing to look at."""

    what: str
    command: str
    expect: str

    def to_json(self) -> dict[str, str]:
        """As `seadragon doctor --mac --json` prints it."""
        return asdict(self)


PROOFS = (
    Proof(
        "The GPU is there for a daemon, before anybody has logged in.",
        "sudo seadragon install; sudo reboot; over ssh: grep -E 'inference compute' logs/ollama.log | tail -3",
        "library=Metal. With library=cpu: log in automatically at start, and install it as a LaunchAgent instead.",
    ),
    Proof(
        "How much memory Metal gives to models on this machine.",
        'sysctl iogpu.wired_limit_mb; grep -o \'total="[^"]*"\' logs/ollama.log | tail -1',
        "0 (the system decides), and about 48 to 54 GiB of 64. A model that needs more than 90 % of it does not fit.",
    ),
    Proof(
        "What a loaded model takes is seen: in its runner's footprint, and in what the GPU has in use.",
        "load a model; footprint $(pgrep -f 'ollama runner') | grep -i footprint; "
        "ioreg -r -c IOAccelerator -d 1 -w 0 | grep -o '\"In use system memory\"=[0-9]*'",
        "Both grew by about the size of the model, and shrink when it is unloaded.",
    ),
    Proof(
        "Reading the GPU's state is cheap enough to do every few seconds.",
        "time ioreg -r -c IOAccelerator -d 2 -w 0 -a > /dev/null",
        "Well under 0.1 s.",
    ),
    Proof(
        "The GPU tells for whom it works, so that a display does not hide a runner that is stuck.",
        "ask a model something long; ioreg -r -c IOAccelerator -d 2 -w 0 | grep -E 'Creator|accumulated'; again",
        "The runner's process number, with an accumulatedGPUTime that grows while it writes and not else.",
    ),
    Proof(
        "A stranger on 0.0.0.0 and we on 127.0.0.1 can have one port at once; we notice.",
        "python3 -m http.server 8420 --bind 0.0.0.0 & seadragon up; seadragon doctor; kill %1",
        "Either `up` refuses the port, or the doctor's listeners line names the stranger.",
    ),
    Proof(
        "A process's start time and the boot's id tell two processes with one number apart.",
        "sysctl kern.bootsessionuuid; cat data/run/ollama/record.json; sudo reboot; sysctl kern.bootsessionuuid",
        "Another uuid after the reboot; after `seadragon up` an event says that nothing was there to take over.",
    ),
    Proof(
        "Listing the processes below Ollama is cheap.",
        "python -m timeit -n 20 -s 'import psutil; p = psutil.Process()' 'p.children(recursive=True)'",
        "A few milliseconds.",
    ),
    Proof(
        "launchd starts it again after a crash, and how long it waits when crashes come in a row.",
        "for i in 1 2 3 4 5; do sudo pkill -9 -f 'controller up'; sleep 12; seadragon status | head -1; done",
        "Running again each time within about 10 s, Ollama's process number unchanged.",
    ),
    Proof(
        "What launchd knows of it.",
        "launchctl print system/local.seadragon | grep -E 'state|runs|last exit|minimum runtime'",
        "state = running; minimum runtime = 10.",
    ),
    Proof(
        "Ollama lives on when its keeper's controller is killed, and so does what it was writing.",
        "seadragon status; kill -9 PID with the first process number it tells; seadragon up; seadragon status",
        "The same process number of ollama before and after.",
    ),
    Proof(
        "The control socket knows who is on the other end.",
        "sudo -u nobody seadragon status --data $PWD/data",
        "It is refused; as yourself it answers.",
    ),
    Proof(
        "The runners speak of their slots.",
        "curl -s http://127.0.0.1:PORT/slots with PORT from: ps -ax -o args | grep -o 'runner.*--port [0-9]*'",
        "A JSON list with one entry for each slot.",
    ),
    Proof(
        "Waking from sleep restarts nothing.",
        "seadragon status; pmset sleepnow; wake it after five minutes; seadragon status; seadragon logs -n 20",
        "The same process numbers and restarts; at most one event that says it slept.",
    ),
    Proof(
        "The Mac stays awake and comes back after a power cut.",
        "pmset -g | grep -E ' sleep|disksleep|womp|autorestart'",
        "sleep 0, disksleep 0, womp 1, autorestart 1.",
    ),
    Proof(
        "The Ollama app does not end our Ollama.",
        "open -a Ollama; sleep 60; seadragon status; seadragon logs -n 20",
        "Ollama ready, or a conflict that names the app.",
    ),
)
