"""What can only be proved on a Mac: each with the command that shows it and what it should show.

In the order of a first evening with it (docs/mac.md). Commands are for the Terminal, in the folder of Seadragon. To add
one: put it into its section, with a command that can be pasted as it stands; what a hand has to do stands in `first`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Section = Literal[
    "set-up",
    "Ollama and the GPU",
    "memory",
    "processes",
    "as a service",
    "sleep and power",
    "the house",
]


@dataclass(frozen=True, slots=True)
class Proof:
    """One thing to look at."""

    section: Section
    what: str
    command: str
    expect: str
    first: str = ""  # what a hand has to do before

    def to_json(self) -> dict[str, str]:
        """As `seadragon doctor --mac --json` prints it."""
        return asdict(self)


SD = ".venv/bin/seadragon"
RUNNERS = "ps -ax -o pid,args | grep -E '[l]lama-server --model|[m]lx-engine'"
RUNNER = "pgrep -n -f 'llama-server --model|mlx-engine'"
IOREG = "ioreg -r -c IOAccelerator -d 2 -w 0"

PROOFS = (
    # ---- set-up
    Proof(
        "set-up",
        "The Mac is what it should be.",
        "sw_vers -productVersion; uname -m; sysctl -n hw.optional.arm64 hw.memsize",
        "14 or newer; arm64; 1; and 68719476736 for 64 GB.",
    ),
    Proof(
        "set-up",
        "Apple's command line tools are there, and old enough for our Makefile to be tested.",
        "xcode-select -p; /usr/bin/python3 --version; make --version | head -1",
        "/Library/Developer/CommandLineTools; Python 3.9 or so; GNU Make 3.81.",
    ),
    Proof(
        "set-up",
        "On a bare Mac `make run` needs nothing else, and compiles nothing.",
        ".venv/bin/python -VV; .venv/bin/python -c 'import platform; print(platform.machine())'",
        "Python 3.13 and arm64. `make run` fetched it and Ollama, and served within minutes; no compiler was named.",
        first="make run, in a Terminal of its own.",
    ),
    Proof(
        "set-up",
        "Homebrew is found where it is not on PATH.",
        "env PATH=/usr/bin:/bin:/usr/sbin:/sbin .venv/bin/python -m controller.obtain ollama",
        "Ollama: /opt/homebrew/bin/ollama, or the app's; without Homebrew one in ~/Library/Caches/seadragon.",
    ),
    Proof(
        "set-up",
        "The official release for macOS unpacks whole, and nobody is asked whether it may run.",
        "SEADRAGON_CACHE=/tmp/sea .venv/bin/python -c 'from controller.obtain.__main__ import from_release as get; "
        "from controller.obtain.site import Site; print(get(Site()))' && /tmp/sea/ollama-*/bin/ollama --version; "
        "file -b /tmp/sea/ollama-*/bin/ollama; ls /tmp/sea/ollama-*/bin | head -5",
        "Its version; a universal binary with arm64; llama-server and llama-quantize beside it. No window opens.",
    ),
    Proof(
        "set-up",
        "In a Terminal under Rosetta it is told what to run instead.",
        "arch -x86_64 make setup",
        "It stops at once with: arch -arm64 make setup.",
    ),
    Proof(
        "set-up",
        "The doctor reads this Mac's own tools right.",
        f"{SD} doctor",
        "macos, processor, gpu, privacy, quarantine, firewall, service, after a start and sleep say what is true.",
    ),
    # ---- Ollama and the GPU
    Proof(
        "Ollama and the GPU",
        "Ollama works on the GPU.",
        "grep 'inference compute' logs/ollama.log | tail -1",
        "library=Metal, and total= about 48 to 54 GiB of 64.",
    ),
    Proof(
        "Ollama and the GPU",
        "The demo answers.",
        f"{SD} demo && curl -s http://127.0.0.1:8420/api/chat "
        '-d \'{"model":"demo","stream":false,"messages":[{"role":"user","content":"Hello?"}]}\'',
        "A sentence in message.content, within a second or two.",
    ),
    Proof(
        "Ollama and the GPU",
        "A real model is all on the GPU, in a runner that we know for one.",
        f"curl -s http://127.0.0.1:8420/api/ps; {RUNNERS}",
        "size_vram equals size; a `llama-server --model` for each GGUF model, `ollama runner --mlx-engine` for others.",
        first="Load a model: seadragon switch NAME.",
    ),
    Proof(
        "Ollama and the GPU",
        "The runners speak of their slots.",
        "curl -s \"http://127.0.0.1:$(ps -ax -o args | grep '[l]lama-server --model' | grep -oE 'port [0-9]+' | "
        'head -1 | tr -dc 0-9)/slots" | head -c 400',
        "A JSON list with one entry for each slot, each with is_processing.",
    ),
    Proof(
        "Ollama and the GPU",
        "Reading the GPU's state is cheap enough to do every few seconds.",
        f"time {IOREG} -a > /dev/null",
        "Well under 0.1 s.",
    ),
    Proof(
        "Ollama and the GPU",
        "The GPU tells for whom it works, so that a display does not hide a runner that is stuck.",
        f"{RUNNER}; for i in 1 2; do {IOREG} | grep -E 'Creator|accumulated'; sleep 5; done",
        "The runner's process number, with an accumulatedGPUTime that grows while it writes and not else.",
        first="Ask a model something long.",
    ),
    # ---- memory
    Proof(
        "memory",
        "How much memory Metal gives to models on this machine.",
        f'sysctl iogpu.wired_limit_mb; grep -oE \'total="[^"]*"\' logs/ollama.log | tail -1; {SD} doctor | grep memory',
        "0 (the system decides); about 48 to 54 GiB of 64; the doctor's figure is nine tenths of that.",
    ),
    Proof(
        "memory",
        "What a loaded model takes is seen: its context in the runner's footprint, all of it in what the GPU uses.",
        f'footprint "$({RUNNER})" | grep -i footprint; {IOREG} | grep -oE \'"In use system memory"=[0-9]+\'',
        "The first grew by context and work space alone, the second by the weights, too; unloaded, both shrink.",
        first="Before and after loading a model.",
    ),
    Proof(
        "memory",
        "The budget is the same while a model is used and when Metal has let go of it.",
        f"{SD} status | grep memory; vm_stat | grep -E 'wired|File-backed'",
        "The same GB for models, within 1; about the model's size went from wired down to file-backed.",
        first="Right after an answer, and again ten minutes later.",
    ),
    Proof(
        "memory",
        "Conversations are kept in RAM, and no more of them than was promised.",
        f"grep -i 'size limit' logs/ollama.log | tail -1; {SD} models; footprint \"$({RUNNER})\" | grep -i footprint",
        "The limit is prompt_cache (2048 MiB); the footprint grows with each, by no more than its cache in `models`.",
        first="Ask one model three long, different things.",
    ),
    Proof(
        "memory",
        "The kernel says how short memory is, and we hear it.",
        f"sysctl kern.memorystatus_vm_pressure_level; memory_pressure -Q; {SD} status | grep memory",
        "1 while all is well; 2 or 4 under pressure, and then `status` says that memory is short.",
    ),
    # ---- processes
    Proof(
        "processes",
        "Every process is seen without a program being started for it, and quickly.",
        ".venv/bin/python -m timeit -n 20 -s 'from controller.supervision import libproc' "
        "'[libproc.seen(pid) for pid in libproc.pids()]'",
        "A few milliseconds; no error.",
    ),
    Proof(
        "processes",
        "A process's start time and the boot's id tell two processes with one number apart.",
        "sysctl kern.bootsessionuuid; cat data/run/ollama/record.json",
        "Another uuid after a restart of the Mac; then `seadragon logs` says that nothing was there to take over.",
        first="Before and after a restart of the Mac.",
    ),
    Proof(
        "processes",
        "Ollama lives on when the controller is killed, and so does what it was writing.",
        f"{SD} status; pkill -9 -f 'seadragon up'; {SD} up & sleep 5; {SD} status",
        "The same process number of ollama before and after.",
        first="In a Terminal, not as a service.",
    ),
    Proof(
        "processes",
        "A restart is the same process, and unloads nothing.",
        f"{SD} status | head -4; {SD} restart; {SD} status | head -4; {SD} models",
        "The same process numbers, the controller's own too; what was loaded is loaded.",
        first="Load a model.",
    ),
    Proof(
        "processes",
        "A stranger on 0.0.0.0 and we on 127.0.0.1 can have one port at once; we notice.",
        f"python3 -m http.server 8420 --bind 0.0.0.0 & {SD} up & sleep 5; {SD} doctor | grep listeners; kill %1",
        "Either `up` refuses the port, or the doctor's listeners line names the stranger.",
        first="Stop Seadragon.",
    ),
    Proof(
        "processes",
        "The control socket knows who is on the other end.",
        f'sudo --user=nobody {SD} status --data "$PWD/data"',
        "It is refused; as yourself it answers.",
    ),
    Proof(
        "processes",
        "From a Terminal, which gives 256, it takes as many open files as its listeners may need.",
        f"ulimit -n; {SD} doctor | grep 'open files'",
        "256; and the doctor says some thousands, or 65536.",
    ),
    # ---- as a service
    Proof(
        "as a service",
        "It is installed, and says so only once it answers.",
        f"sudo {SD} install; launchctl print system/local.seadragon | "
        "grep -E 'state =|runs|last exit|minimum runtime|spawn type'",
        "state = running, minimum runtime = 10, spawn type = interactive.",
    ),
    Proof(
        "as a service",
        "The GPU is there for a daemon, before anybody has logged in.",
        "grep 'inference compute' logs/ollama.log | tail -1",
        "library=Metal. With library=cpu: seadragon doctor says how to make it an agent (docs/mac.md).",
        first="Restart the Mac, log in nowhere, and come over ssh.",
    ),
    Proof(
        "as a service",
        "An install while answers are being written waits for them.",
        f"sudo {SD} install",
        "It says that the one that runs finishes first; the answer ends whole; afterwards the new one runs.",
        first="Ask a model something long.",
    ),
    Proof(
        "as a service",
        "launchd starts it again after a crash, and how long it waits when crashes come in a row.",
        f"for i in 1 2 3 4 5; do sudo pkill -9 -f 'controller up'; sleep 12; {SD} status | head -1; done",
        "Running again each time within about 10 s, Ollama's process number unchanged.",
    ),
    Proof(
        "as a service",
        "A restart under launchd is the same process: launchd counts none.",
        f"{SD} restart; launchctl print system/local.seadragon | grep -E 'pid|runs'",
        "pid and runs are what they were before.",
    ),
    Proof(
        "as a service",
        "What macOS guards is told before it hurts, and the way to allow it works.",
        f"cp -R . ~/Documents/sea && cd ~/Documents/sea && rm -rf .venv && make setup && sudo {SD} install",
        "It names the folder and the program to allow, then that nothing answers; once that is allowed, it runs.",
        first="sudo seadragon uninstall.",
    ),
    Proof(
        "as a service",
        "As an agent it starts with the log-in, on the GPU.",
        f"sudo {SD} uninstall; {SD} install --agent; launchctl print gui/$(id -u)/local.seadragon | grep 'state ='; "
        "grep 'inference compute' logs/ollama.log | tail -1",
        "state = running; library=Metal.",
    ),
    # ---- sleep and power
    Proof(
        "sleep and power",
        "The Mac stays awake and comes back after a power cut.",
        "pmset -g | grep -E '^ (sleep|disksleep|womp|autorestart) '",
        "sleep 0, disksleep 0, womp 1, autorestart 1.",
        first="sudo pmset -a sleep 0 disksleep 0 womp 1 autorestart 1.",
    ),
    Proof(
        "sleep and power",
        "While something is answered the Mac stays awake; a minute later it may sleep.",
        "pmset -g assertions | grep -E 'PreventUserIdleSystemSleep|caffeinate'",
        "A line with caffeinate while an answer is written; none a minute later, and none when we were killed.",
        first="Ask a model something long.",
    ),
    Proof(
        "sleep and power",
        "Waking from sleep restarts nothing and makes nothing late.",
        f"{SD} status; pmset sleepnow; sleep 60; {SD} status; {SD} logs -n 20",
        "The same process numbers and restarts; at most one line for each child that the machine slept.",
        first="Wake it after five minutes.",
    ),
    Proof(
        "sleep and power",
        "With FileVault it waits for its owner, who may be far away.",
        "fdesetup status; ssh -o PubkeyAuthentication=no mini.local",
        "On macOS 26 the password unlocks the disk over ssh; a minute later Seadragon answers.",
        first="Restart the Mac, and do this on another one.",
    ),
    # ---- the house
    Proof(
        "the house",
        "Others in the house reach it, whatever the firewall thinks.",
        "/usr/libexec/ApplicationFirewall/socketfilterfw --getglobalstate; curl -s http://mini.local:8420/healthz",
        "With the firewall on, the doctor says what to run; then it answers on another machine too.",
        first="A listener with the Mac's own address, and mini.local under hosts: (docs/mac.md).",
    ),
    Proof(
        "the house",
        "The Ollama app does not end our Ollama.",
        f"open -a Ollama; sleep 60; {SD} status; {SD} logs -n 20",
        "Ollama ready, or a conflict that names the app.",
    ),
)
