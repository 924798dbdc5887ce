"""Looking at a Mac with its own tools, none of which needs root. Judges nothing, changes nothing."""

from __future__ import annotations

import os
import platform as this_machine
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from controller import install
from controller.doctor import findings_mac as read
from controller.doctor.findings_mac import Kind, LaunchdService, Mac
from controller.machine.guarded import guarded_places, program_to_allow
from controller.supervision.tools import ToolSaid

FIREWALL = "/usr/libexec/ApplicationFirewall/socketfilterfw"
LOGIN_WINDOW = "/Library/Preferences/com.apple.loginwindow"


Tell = Callable[[Sequence[str]], ToolSaid | None]  # runs a tool to its end; None: it could not be run


def look(tell: Tell, folders: Iterable[Path], home: Path, *, machine: str | None = None) -> Mac:
    """All that a Mac says of itself. `folders`: what a service of ours would have to read and write."""
    machine = machine or this_machine.machine()
    python = Path(os.path.realpath(sys.executable))
    listed = program_to_allow(python)
    power = read.power_settings(_out(tell, "/usr/bin/pmset", "-g"))
    silicon = machine == "arm64" or _out(tell, "/usr/sbin/sysctl", "-n", "hw.optional.arm64").strip() == b"1"
    firewall = read.firewall(_out(tell, FIREWALL, "--getglobalstate"))
    return Mac(
        version=read.version(_out(tell, "/usr/bin/sw_vers", "-productVersion")),
        silicon=silicon,
        python=python,
        translated=silicon and machine != "arm64",
        guarded=guarded_places((Path(os.path.realpath(folder)) for folder in folders), Path(os.path.realpath(home))),
        filevault=read.is_on(_out(tell, "/usr/bin/fdesetup", "status")),
        logged_in_as=_out(tell, "/usr/bin/defaults", "read", LOGIN_WINDOW, "autoLoginUser").decode().strip(),
        back_after_power_cut=bool(power["autorestart"]) if "autorestart" in power else None,
        sleeps=read.sleeps(power),
        firewall=firewall,
        let_in=read.let_in(_out(tell, FIREWALL, "--listapps"), listed) if firewall == "on" else None,
        vouched=firewall == "on" and read.vouched(_err(tell, "/usr/bin/codesign", "-dv", str(listed))),
        service=_service(tell, home),
    )


def quarantined(tell: Tell, program: Path) -> bool:
    """Whether a program came by a browser, and nobody has opened it yet."""
    return read.quarantined(_out(tell, "/usr/bin/xattr", "-p", "com.apple.quarantine", os.path.realpath(program)))


def _service(tell: Tell, home: Path) -> LaunchdService | None:
    """The daemon, else the agent."""
    candidates: dict[Kind, tuple[Path, str]] = {
        "daemon": (install.DAEMONS, "system"),
        "agent": (install.agents(home), f"gui/{os.getuid()}"),
    }
    for kind, (folder, domain) in candidates.items():
        file = folder / f"{install.LABEL}.plist"
        if file.exists():
            program = _program(file)
            print_ = _out(tell, "/bin/launchctl", "print", f"{domain}/{install.LABEL}")
            known = read.service_fields(print_)
            return LaunchdService(
                file,
                kind,
                program,
                os.path.exists(program),
                state=known.get("state", ""),
                runs=known.get("runs", ""),
                last_exit=known.get("last exit code", ""),
            )
    return None


def _program(file: Path) -> str:
    try:
        return read.program_of(file.read_bytes())
    except OSError:
        return ""


def _out(tell: Tell, *argv: str) -> bytes:
    """What it printed; nothing when it failed."""
    said = tell(argv)
    return said.out if said is not None and said.code == 0 else b""


def _err(tell: Tell, *argv: str) -> bytes:
    said = tell(argv)
    return said.err if said is not None else b""
