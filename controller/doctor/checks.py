"""A verdict for each thing that could be wrong, from facts alone: no check looks at the machine itself. Pure."""

from __future__ import annotations

import stat
from collections.abc import Callable

from controller.doctor.checks_mac import examine_mac
from controller.doctor.checks_open import admins, certificates, cookies, public, secret_files
from controller.doctor.findings import A_DAY, Facts, Finding, quoted
from controller.plain import count_words, memory_words, moment_words, size_words
from controller.residency.memory import budget, ceiling

OLDEST_PYTHON = (3, 11)
LITTLE_DISK = 10 * 10**9  # bytes; the smallest useful models take 2
NO_DISK = 10**9
WRONG = 120.0  # seconds; sessions and Cloudflare bear less than five minutes


def examine(facts: Facts) -> list[Finding]:
    """Every finding, in the order of the tables."""
    engines = [finding for engine in facts.engines for finding in engine.examine(facts)]
    before, after = ([check(facts) for check in checks] for checks in (BEFORE_ENGINES, AFTER_ENGINES))
    return [*before, *engines, *after, *examine_mac(facts)]


def controller(facts: Facts) -> Finding:
    """Whether it runs at all: not running is no fault."""
    if facts.unheard:
        return Finding("controller", "fail", facts.unheard, "Ask as the right user, or look at: seadragon logs")
    if facts.running is None:
        return Finding("controller", "ok", "It is not running.", "Start it with: seadragon up")
    phase, pid = facts.running.get("phase"), facts.running.get("pid")
    if phase == "safe":
        return Finding("controller", "fail", f"It runs in safe mode, process {pid}.", "Put the YAML right, see below.")
    return Finding("controller", "ok", f"It is {phase}, process {pid}.")


def python(facts: Facts) -> Finding:
    """Old enough for everything we use."""
    found = ".".join(map(str, facts.python[:3]))
    if facts.python[:2] < OLDEST_PYTHON:
        return Finding(
            "python", "fail", f"Python {found} is too old.", "Install Python 3.11 or newer, then: make setup"
        )
    return Finding("python", "ok", f"Python {found}.")


def configuration(facts: Facts) -> Finding:
    """Whether the YAML on disk would run."""
    if facts.config_problems:
        told = "; ".join(facts.config_problems)
        return Finding("configuration", "fail", told, "Put it right; the running controller reads it when you save.")
    if facts.config_warnings:
        return Finding("configuration", "warn", " ".join(facts.config_warnings), "Put it right when you can.")
    return Finding("configuration", "ok", "All of it can be read.")


def folders(facts: Facts) -> Finding:
    """Ours alone, and writable: keys and what people ask for are nobody else's business."""
    private = [folder for folder in facts.folders if folder.name != "config"]
    missing = [folder for folder in facts.folders if not folder.there]
    shut = [folder for folder in private if folder.there and not folder.writable]
    wide = [folder for folder in private if folder.there and folder.mode & (stat.S_IRWXG | stat.S_IRWXO)]
    files = [name for folder in facts.folders for name in folder.open_files]
    if shut:
        names = quoted(folder.path for folder in shut)
        return Finding("folders", "fail", f"Not writable: {names}.", f"Run: sudo chown -R $USER {names}")
    for folder in private:
        if folder.foreign:
            words = f"{len(folder.foreign)} in {folder.path} belong to another user than {folder.owner}, whose it is: "
            words += f"{quoted(folder.foreign[:3])}{' …' if len(folder.foreign) > 3 else ''}."
            remedy = f"Run: sudo chown -R {folder.owner} {quoted([folder.path])}"
            return Finding("folders", "fail", words, remedy)
    if wide:
        names = quoted(folder.path for folder in wide)
        return Finding("folders", "warn", f"Others on this machine can look into {names}.", f"Run: chmod 700 {names}")
    if changeable := [folder for folder in facts.folders if folder.there and folder.mode & 0o022]:
        names = quoted(folder.path for folder in changeable)
        words = f"Others on this machine can change {names}, and so what runs here."
        return Finding("folders", "warn", words, f"Run: chmod -R go-w {names}")
    if files:
        names = quoted(files)
        return Finding("folders", "warn", f"Others on this machine can read {names}.", f"Run: chmod 600 {names}")
    if missing:
        names = ", ".join(folder.name for folder in missing)
        return Finding("folders", "ok", f"Not there yet: {names}. `make setup` makes config, the first start the rest.")
    return Finding("folders", "ok", "They are there, writable, and ours alone.")


def disk(facts: Facts) -> Finding:
    """Room for logs and models."""
    room = [(folder.free, folder.path) for folder in facts.folders if folder.there]
    if not room:
        return Finding("disk", "ok", "Not looked at: no folder is there yet.")
    least, path = min(room)
    words = f"{size_words(least)} free at {path}."
    if least < NO_DISK:
        ways = ", ".join(engine.make_room for engine in facts.engines)
        return Finding("disk", "fail", words, f"Make room: logs and answers need some. Unused models: {ways}")
    if least < LITTLE_DISK:
        return Finding("disk", "warn", words, "Enough to run, not enough for another model.")
    return Finding("disk", "ok", words)


def database(facts: Facts) -> Finding:
    """Whole, ours alone, and of this Seadragon or an older one."""
    seen = facts.database
    if seen is not None and seen.fault:
        return Finding("database", "fail", seen.fault, seen.remedy)
    if trouble := _told_storage(facts):
        remedy = "Put right what it says. Who has the file open: lsof data/seadragon.db; how full the disk is: df"
        return Finding("database", "fail", trouble, remedy)
    if seen is None:
        return Finding("database", "ok", "Not there yet: the first start makes it.")
    if seen.damage:
        how = "Run seadragon restart: it sets the file aside and begins with an empty one"
        how += f", and says how to go back to {seen.copy}." if seen.copy else "."
        return Finding("database", "fail", f"{seen.path} is damaged: {seen.damage}.", how)
    todo = " The next start brings it up to date." if seen.behind else ""
    return Finding("database", "ok", f"{seen.path} is whole, {size_words(seen.size)}.{todo}")


def rights(facts: Facts) -> Finding:
    """It is known who is kept out, and would be without the database."""
    if facts.rights:
        remedy = "Put the disk or the file right: it is written anew by itself. If addresses are off, look at "
        remedy += "seadragon allow, keep out whom you know of, then: seadragon allow reopen"
        return Finding("kept out", "fail", " ".join(facts.rights), remedy)
    return Finding("kept out", "ok", "It is known who is kept out, with the database and without.")


def memory(facts: Facts) -> Finding:
    """What models may take, and whether each of them could be loaded at all."""
    if all(engine.elsewhere for engine in facts.engines):
        titles = " and the ".join(engine.title for engine in facts.engines)
        return Finding("memory", "ok", f"Models are held by the {titles} elsewhere.")
    settings = facts.config.server.memory
    now, most = budget(facts.memory, settings).models(()), ceiling(facts.memory, settings).models(())
    words = f"Models may take {memory_words(now)} in all at the moment, {memory_words(most)} at most."
    sizes = [each for engine in facts.engines for each in engine.sizes.items()]
    large = [f"{name} ({memory_words(size)})" for name, size in sizes if size > most]
    if large:
        remedy = "Requests for them are refused. Use smaller ones, or see memory in server.yaml."
        return Finding("memory", "warn", f"{words} Too big for this machine: {', '.join(large)}.", remedy)
    return Finding("memory", "ok", words)


def doors(facts: Facts) -> Finding:
    """Whether our addresses are ours, or can be."""
    bad = [door for door in facts.listeners if door.state in ("taken", "refused")]
    if bad:
        told = "; ".join(f"{door.address}: {door.holder}" for door in bad)
        remedy = "Stop what has it, or choose another address in server.yaml. It is opened by itself when it can be."
        return Finding("listeners", "fail", f"{told}.", remedy)
    ours = all(door.state == "ours" for door in facts.listeners)
    names = ", ".join(door.address for door in facts.listeners)
    return Finding("listeners", "ok", f"{names}: {'ours' if ours else 'free'}.")


def tunnel(facts: Facts) -> Finding:
    """cloudflared, if it is wanted."""
    if facts.config.server.tunnel.mode == "off":
        return Finding("tunnel", "ok", "No tunnel is wanted.")
    if facts.cloudflared_fault:
        return Finding("tunnel", "fail", facts.cloudflared_fault, "It is picked up as soon as it can be run.")
    if facts.cloudflared is None:
        how = "brew install cloudflared" if facts.platform == "darwin" else "see Cloudflare's downloads for cloudflared"
        return Finding("tunnel", "fail", "A tunnel is wanted, and there is no cloudflared.", f"Get it: {how}")
    return Finding("tunnel", "ok", f"{facts.cloudflared} is there.")


def clock(facts: Facts) -> Finding:
    """Certificates, tunnels and sessions fail in odd ways under a wrong clock."""
    if any(abs(each.skew) > WRONG for each in facts.asked):
        worst = max((each.skew for each in facts.asked), key=abs)
        words = f"The clock is {abs(worst):.0f} s {'ahead of' if worst > 0 else 'behind'} the internet's."
        return Finding("clock", "warn", words, "Let the system set date and time by itself.")
    if facts.now < facts.installed_at - A_DAY:
        return Finding(
            "clock", "fail", "The clock stands before the day Seadragon was installed.", "Set date and time."
        )
    if facts.dated:
        told = ", ".join(count_words(each.count, each.kind, _MANY.get(each.kind, "")) for each in facts.dated)
        last = moment_words(max(each.last for each in facts.dated), facts.now)
        words = f"These bear dates that are still to come, the last {last}: {told}. The clock was ahead when they were "
        words += "made, or is behind now. What has an end opens nothing before its date, and a copy is taken for none."
        remedy = "If the clock is right: revoke and make anew what `seadragon keys`, `invites` and `allow` show as "
        remedy += (
            "`not yet`, and remove such copies from data/backups. If not: let the system set date and time by itself."
        )
        return Finding("clock", "warn", words, remedy)
    return Finding("clock", "ok", "The clock makes sense.")


_MANY = {"address": "addresses", "copy of the database": "copies of the database"}


def files(facts: Facts) -> Finding:
    """`up` takes as many as it may have; that may still be too few."""
    limit = facts.running.get("files", facts.files_limit) if facts.running else facts.files_limit
    assert isinstance(limit, int)
    needed = facts.config.server.files_needed
    if limit < needed:
        words = f"Only {limit} files may be open at a time; all connections together may need {needed}."
        remedy = "Raise the system's limit (ulimit -Hn shows it), or lower limits.connections in server.yaml."
        return Finding("open files", "warn", words, remedy)
    return Finding("open files", "ok", f"{limit} files may be open at a time.")


BEFORE_ENGINES: tuple[Callable[[Facts], Finding], ...] = (
    controller,
    python,
    configuration,
    folders,
    disk,
    database,
    rights,
)
AFTER_ENGINES: tuple[Callable[[Facts], Finding], ...] = (
    memory,
    doors,
    tunnel,
    public,
    certificates,
    secret_files,
    cookies,
    admins,
    clock,
    files,
)


def _told_storage(facts: Facts) -> str:
    """What the running controller says is the matter with its database."""
    told = facts.running.get("storage") if facts.running else None
    return str(told.get("trouble", "")) if isinstance(told, dict) else ""
