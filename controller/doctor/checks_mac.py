"""Verdicts on a Mac: what keeps a service of ours from its files, its GPU, the house, or from starting at all. Pure."""

from __future__ import annotations

from collections.abc import Callable

from controller.doctor.findings import Facts, Finding, quoted
from controller.doctor.findings_mac import LaunchdService, Mac
from controller.machine.guarded import allowing_words, places_words, program_to_allow
from controller.plain import count_words

FIREWALL = "/usr/libexec/ApplicationFirewall/socketfilterfw"
EX_CONFIG = "78"  # launchd's own: it could not even start the program, or open its log


def examine_mac(facts: Facts) -> list[Finding]:
    """Every finding, in the order of the table; none where this is no Mac."""
    mac = facts.mac
    if mac is None:
        return []
    engines = [finding for engine in facts.engines for finding in engine.examine_mac(facts, mac)]
    return [*engines, *(check(facts, mac) for check in CHECKS)]


def privacy(facts: Facts, mac: Mac) -> Finding:
    """What macOS guards is refused to a service without a word."""
    if not mac.guarded:
        return Finding("privacy", "ok", "Nothing of ours lies where macOS would keep a service from it.")
    words = f"macOS keeps a service from these: {places_words(mac.guarded)}."
    remedy = f"Move it (say, to ~/seadragon; then: rm -rf .venv && make setup). Or allow it: {_allowing(mac)}."
    return Finding("privacy", "warn", words, remedy)


def firewall(facts: Facts, mac: Mac) -> Finding:
    """A daemon's question whether others may speak to it is never shown: they wait for ever."""
    outer = [each.address for each in facts.config.server.listeners if not each.place.loopback]
    if mac.firewall in (None, "off") or not outer:
        return Finding("firewall", "ok", "It keeps nobody from us." if outer else "Nobody else is to come in.")
    if mac.firewall == "all":
        words = f"The firewall lets nobody in at all, so nobody reaches {', '.join(outer)}."
        remedy = "System Settings > Network > Firewall > Options: turn off 'Block all incoming connections'."
        return Finding("firewall", "fail", words, remedy)
    if mac.let_in or (mac.let_in is None and mac.vouched):
        return Finding("firewall", "ok", "It lets others speak to us.")
    program = quoted([program_to_allow(mac.python)])
    words = f"The firewall may keep others from {', '.join(outer)}: it {_verdict(mac)} {program}."
    return Finding(
        "firewall", "warn", words, f"Run: sudo {FIREWALL} --add {program} && sudo {FIREWALL} --unblockapp {program}"
    )


def service(facts: Facts, mac: Mac) -> Finding:
    """Whether launchd has it, and can start it."""
    seen = mac.service
    if seen is None:
        return Finding("service", "ok", "Not installed: it runs when you start it (docs/mac.md).")
    again = "sudo seadragon install" if seen.kind == "daemon" else "seadragon install --agent"
    if not seen.there:
        words = f"{seen.file} starts {seen.program or 'nothing that can be read'}, which is not there."
        return Finding("service", "fail", words, f"Was the folder moved? Run, in the new one: {again}")
    if not seen.state:
        return Finding("service", "fail", f"launchd does not know {seen.file}.", f"Run: {again}")
    if seen.state != "running":
        return Finding("service", "fail", _not_running(seen), _how_it_starts(mac, seen))
    return Finding("service", "ok", f"It runs under launchd, started {count_words(int(seen.runs or 1), 'time')}.")


def start(facts: Facts, mac: Mac) -> Finding:
    """What comes back by itself after a power cut."""
    agent = mac.service is not None and mac.service.kind == "agent"
    if agent and not mac.logged_in_as:
        words = "It is an agent, and nobody is logged in by itself: after a start of the Mac it waits for that."
        remedy = "System Settings > Users & Groups > Automatically log in as (FileVault has to be off)."
        return Finding("after a start", "warn", words, remedy)
    if mac.back_after_power_cut is False:
        words = "After a power cut this Mac stays off."
        return Finding("after a start", "warn", words, "Run: sudo pmset -a autorestart 1")
    if mac.filevault:
        words = "FileVault is on: nothing runs before somebody unlocks the disk (docs/mac.md)."
        return Finding("after a start", "ok", words)
    return Finding("after a start", "ok", "Nothing keeps it from coming back by itself.")


def sleep(facts: Facts, mac: Mac) -> Finding:
    """A machine that sleeps answers nobody."""
    if mac.sleeps and facts.config.server.power.awake != "always":
        words = f"This Mac may sleep ({', '.join(mac.sleeps)}) when nothing is to do, and then answers nobody."
        return Finding("sleep", "warn", words, "Run: sudo pmset -a sleep 0 disksleep 0 womp 1 autorestart 1")
    return Finding("sleep", "ok", "Nothing known puts this machine to sleep.")


CHECKS: tuple[Callable[[Facts, Mac], Finding], ...] = (
    privacy,
    firewall,
    service,
    start,
    sleep,
)


def _allowing(mac: Mac) -> str:
    return allowing_words(program_to_allow(mac.python))


def _verdict(mac: Mac) -> str:
    return "does not know" if mac.let_in is None else "blocks"


def _not_running(seen: LaunchdService) -> str:
    words = f"launchd has it, but it is {seen.state}"
    return f"{words}, last exit code {seen.last_exit}." if seen.last_exit else f"{words}."


def _how_it_starts(mac: Mac, seen: LaunchdService) -> str:
    if mac.guarded and seen.last_exit.partition(":")[0] in ("1", EX_CONFIG):
        return f"macOS probably keeps it from its files. Allow it: {_allowing(mac)}."
    return "See what it last said: tail -20 logs/boot.log, and: seadragon logs"
