"""A Mac's own tools, with answers as they were seen on real ones (macOS 14 to 26), by their command lines."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FIREWALL = "/usr/libexec/ApplicationFirewall/socketfilterfw"
DAEMON = "/bin/launchctl print system/local.seadragon"

PMSET = """System-wide power settings:
 SleepDisabled\t\t0
Currently in use:
 standby              1
 Sleep On Power Button 1
 autorestartatconnect 0
 autorestart          0
 powernap             1
 networkoversleep     0
 disksleep            10
 sleep                1 (sleep prevented by powerd, runningboardd)
 ttyskeepawake        1
 displaysleep         10
 tcpkeepalive         1
 lowpowermode         0
 womp                 1
"""
PMSET_AWAKE = PMSET.replace("autorestart          0", "autorestart          1").replace(
    "disksleep            10", "disksleep            0"
)
PMSET_AWAKE = PMSET_AWAKE.replace("sleep                1 (", "sleep                0 (")
RUNNING = """system/local.seadragon = {
\tactive count = 1
\tpath = /Library/LaunchDaemons/local.seadragon.plist
\ttype = LaunchDaemon
\tstate = running

\tprogram = /Users/mia/seadragon/.venv/bin/python
\targuments = {
\t\t/Users/mia/seadragon/.venv/bin/python
\t\t-m
\t\tcontroller
\t}

\tdomain = system
\tusername = mia
\tminimum runtime = 10
\texit timeout = 240
\truns = 3
\tpid = 913
\timmediate reason = speculative
\tforks = 11
\tlast exit code = 1

\tspawn type = interactive (4)
\tendpoints = {
\t\t"com.apple.example" = {
\t\t\tstate = active
\t\t\tactive count = 1
\t\t}
\t}
}
"""
NOT_RUNNING = """system/local.seadragon = {
\tactive count = 0
\tpath = /Library/LaunchDaemons/local.seadragon.plist
\ttype = LaunchDaemon
\tstate = spawn scheduled

\tprogram = /Users/mia/Documents/seadragon/.venv/bin/python
\truns = 41
\tlast exit code = 78: EX_CONFIG
}
"""
UNKNOWN_SERVICE = 'Bad request.\nCould not find service "local.seadragon" in domain for system\n'
APPS = """Total number of apps = 3

1 : /Applications/Ollama.app\x20
             (Allow incoming connections)\x20

2 : /opt/homebrew/Cellar/python@3.13/3.13.9/Frameworks/Python.framework/Versions/3.13/Resources/Python.app\x20
             (Allow incoming connections)\x20

3 : /usr/local/bin/node\x20
             (Block incoming connections)\x20

"""
AD_HOC = """Executable=/Users/mia/.local/share/uv/python/cpython-3.13.9-macos-aarch64-none/bin/python3.13
Identifier=python3.13
Format=Mach-O thin (arm64)
CodeDirectory v=20400 size=146 flags=0x20002(adhoc,linker-signed) hashes=1+0 location=embedded
Signature=adhoc
Info.plist=not bound
TeamIdentifier=not set
Sealed Resources=none
"""
SIGNED = """Executable=/Library/Frameworks/Python.framework/Versions/3.13/Resources/Python.app/Contents/MacOS/Python
Identifier=org.python.python
Format=app bundle with Mach-O universal (x86_64 arm64)
CodeDirectory v=20500 size=549 flags=0x10000(runtime) hashes=6+7 location=embedded
Signature size=8981
TeamIdentifier=BMM5U3QVKW
"""
NO_ATTRIBUTE = "xattr: /opt/homebrew/bin/ollama: No such xattr: com.apple.quarantine\n"
NEVER_OPENED = "0083;65f1a2b3;Safari;3B0498B3-EC3A-4E35-8D71-10A3DC775772\n"
OPENED = "01c3;65f1a2b3;Safari;3B0498B3-EC3A-4E35-8D71-10A3DC775772\n"
NO_AUTOLOGIN = """2026-11-29 18:02:11.123 defaults[913:4711]\x20
The domain/default pair of (/Library/Preferences/com.apple.loginwindow, autoLoginUser) does not exist
"""


@dataclass(frozen=True)
class Said:
    """How a tool ended."""

    code: int = 0
    out: bytes = b""
    err: bytes = b""


def says(text: str) -> Said:
    """It went well."""
    return Said(out=text.encode())


def fails(text: str, code: int = 1) -> Said:
    """It did not."""
    return Said(code, err=text.encode())


USUAL: dict[str, Said] = {
    "/usr/bin/sw_vers -productVersion": says("26.1\n"),
    "/usr/sbin/sysctl -n hw.optional.arm64": says("1\n"),
    "/usr/bin/pmset -g": says(PMSET_AWAKE),
    "/usr/bin/fdesetup status": says("FileVault is Off.\n"),
    "/usr/bin/defaults read /Library/Preferences/com.apple.loginwindow autoLoginUser": fails(NO_AUTOLOGIN),
    "/usr/bin/xattr -p com.apple.quarantine": fails(NO_ATTRIBUTE),
    f"{FIREWALL} --getglobalstate": says("Firewall is disabled. (State = 0) \n"),
    f"{FIREWALL} --listapps": says(APPS),
    "/usr/bin/codesign -dv": Said(err=AD_HOC.encode()),
    "/bin/launchctl print": fails(UNKNOWN_SERVICE, 113),
}


class MacTools:
    """Runs them (`supervision.tools.run_tool`). The longest known beginning of a command line answers."""

    def __init__(self, answers: Mapping[str, Said] | None = None) -> None:
        self.answers = {**USUAL, **(answers or {})}
        self.asked: list[str] = []

    async def __call__(self, argv: Sequence[str], *, limit: float) -> Said:
        await asyncio.sleep(0)
        line = " ".join(argv)
        self.asked.append(line)
        known = [start for start in self.answers if line == start or line.startswith(f"{start} ")]
        if not known:
            raise FileNotFoundError(argv[0])
        return self.answers[max(known, key=len)]
