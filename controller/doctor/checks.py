"""A verdict for each thing that could be wrong, from facts alone: no check looks at the machine itself. Pure."""

from __future__ import annotations

import stat
from collections.abc import Callable

from controller.doctor.checks_mac import examine_mac
from controller.doctor.checks_open import admins, certificates, cookies, public, secret_files
from controller.doctor.findings import A_DAY, Facts, Finding, quoted
from controller.engines.ollama.inside import inside_of, strange
from controller.engines.ollama.settings import OLLAMA
from controller.plain import count_words, memory_words, moment_words, size_words
from controller.residency.memory import budget, ceiling

OLDEST_PYTHON = (3, 11)
OLDEST_OLLAMA = (0, 17, 1)  # CVE-2026-7482
LLAMA_SERVER = "llama-server"
LITTLE_DISK = 10 * 10**9  # bytes; the smallest useful models take 2
NO_DISK = 10**9
MUCH_LEFT = 10**9  # bytes that no model needs
WRONG = 120.0  # seconds; sessions and Cloudflare bear less than five minutes


def examine(facts: Facts) -> list[Finding]:
    """Every finding, in the order of the tables."""
    return [*(check(facts) for check in CHECKS), *examine_mac(facts)]


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
        return Finding("disk", "fail", words, "Make room: logs and answers need some. Unused models: ollama rm NAME")
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


def ollama(facts: Facts) -> Finding:
    """Whether the program is there, and has no known hole."""
    if facts.config.server.ollama.mode == "external":
        return Finding("ollama", "ok", f"It runs elsewhere, at {facts.config.server.ollama.url}.")
    if facts.ollama is None:
        how = "brew install ollama" if facts.platform == "darwin" else "make setup"
        configured = facts.config.server.ollama.binary
        if why := facts.unrunnable.get("ollama"):
            return Finding("ollama", "fail", why, "It is picked up as soon as it can be run.")
        words = f"There is no program {configured}." if configured else "There is no ollama program on this machine."
        return Finding("ollama", "fail", words, f"Get it with: {how}. It is picked up as soon as it is there.")
    if facts.ollama_version is None:
        return Finding("ollama", "warn", f"{facts.ollama} does not say its version.", f"Try: {facts.ollama} --version")
    found = ".".join(map(str, facts.ollama_version))
    if facts.ollama_version < OLDEST_OLLAMA:
        oldest = ".".join(map(str, OLDEST_OLLAMA))
        words = f"Ollama {found} has a known hole (CVE-2026-7482); {oldest} closed it."
        return Finding("ollama", "fail", words, "Update it: brew upgrade ollama, or see ollama.com/download")
    if facts.ollama_lacks:
        return _incomplete(facts, f"Ollama {found}, {facts.ollama}")
    return Finding("ollama", "ok", f"Ollama {found}, {facts.ollama}.")


def _incomplete(facts: Facts, which: str) -> Finding:
    """Since 0.30 it works with llama.cpp's own programs; some packages came without."""
    if facts.platform == "darwin":
        remedy = "Update it: brew update && brew upgrade ollama. Or take the app from ollama.com/download."
    else:
        remedy = "Install the whole release from ollama.com/download; or take this one away, and run: make setup"
    if LLAMA_SERVER in facts.ollama_lacks:
        words = f"{which}, has no {LLAMA_SERVER} beside it: it loads no GGUF model, and finds no GPU."
        return Finding("ollama", "fail", words, remedy)
    words = f"{which}, has no {' and no '.join(facts.ollama_lacks)} beside it: it makes no model of a file."
    return Finding("ollama", "warn", words, f"{remedy} (Until then `seadragon demo` does not work.)")


def inside(facts: Facts) -> Finding:
    """Whether what we know of Ollama's inside is of the one that answers, or else of the one that would be started."""
    version = _told_version(facts)
    if version is None:
        return Finding("ollama's version", "ok", "Not looked at: nothing runs, and none is there.")
    if untried := strange(version):
        remedy = "It is used as the nearest that is known. If models fail in it, look for a newer Seadragon, too."
        return Finding("ollama's version", "warn", untried, remedy)
    gone = sorted(inside_of(version).gone & set(facts.config.server.ollama.environment))
    if gone:
        words = f"{' and '.join(gone)} {'mean' if len(gone) > 1 else 'means'} nothing to Ollama {version} any more."
        return Finding("ollama's version", "warn", words, "Take it out of server.ollama.environment in server.yaml.")
    return Finding("ollama's version", "ok", f"Its inside is known: {version}.")


def _told_version(facts: Facts) -> str | None:
    told = (_ours(facts) or {}).get("facts")
    if isinstance(told, dict) and isinstance(version := told.get("version"), str):
        return version
    return None if facts.ollama_version is None else ".".join(map(str, facts.ollama_version))


def child(facts: Facts) -> Finding:
    """How the Ollama we run is doing."""
    seen = _ours(facts)
    if seen is None:
        return Finding("ollama's state", "ok", "Not looked at: nothing runs.")
    words = f"{str(seen.get('state')).capitalize()}. {seen.get('reason')}"
    known = seen.get("facts")
    if isinstance(known, dict) and (found := _ON_DISK.get(str(known.get("on_disk")))) is not None:
        return Finding("ollama's state", "warn", f"{words} {found[0]}", found[1])
    if seen.get("state") in ("ready", "stopped"):
        return Finding("ollama's state", "ok", words)
    if seen.get("state") in ("starting", "backoff", "stopping"):
        return Finding("ollama's state", "warn", words, "Wait a moment. To watch: seadragon logs ollama -f")
    return Finding("ollama's state", "fail", words, "See what it says: seadragon logs ollama")


_ON_DISK = {
    "another": (
        "Its program on the disk is another one by now, as after an upgrade.",
        "It takes over by itself (server.ollama.renew), or with: seadragon restart ollama",
    ),
    "gone": (
        "Its program is gone from the disk, so it may not be able to load models.",
        "Install it again: it is taken over by itself, or with: seadragon restart ollama",
    ),
}


def others(facts: Facts) -> Finding:
    """A second `ollama serve` takes memory from ours, and may fight it for a port."""
    if not facts.others or facts.config.server.ollama.mode == "adopt":
        return Finding("other ollamas", "ok", "No other Ollama is in the way.")
    apps = [each for each in facts.others if each.app]
    told = ", ".join(f"process {each.pid} of {each.user}{_at(each.ports)}" for each in facts.others)
    if apps:
        remedy = "Quit Ollama in the menu bar and take it out of the login items; it may end ours."
    else:
        remedy = "Stop it (brew services stop ollama, or systemctl stop ollama), or set server.ollama.mode to adopt."
    return Finding("other ollamas", "warn", f"Another Ollama runs: {told}. Both want the same memory.", remedy)


def models(facts: Facts) -> Finding:
    """Whether there is anything to answer with."""
    if facts.config.server.ollama.mode == "external":
        return Finding("models", "ok", "They are kept by the Ollama elsewhere.")
    if facts.models_away:
        remedy = "Connect its disk. If the folder was moved: models.folder in models.yaml, or OLLAMA_MODELS."
        return Finding("models", "fail", f"{facts.models_away}.", remedy)
    get = f"For a tiny one: seadragon demo. For a real one: {_pull(facts)}"
    if facts.models is None:
        return Finding("models", "warn", f"{facts.models_folder} cannot be read.", "Look who owns it: ls -ld on it.")
    if facts.models == 0:
        return Finding("models", "warn", f"There is no model in {facts.models_folder}.", get)
    words = f"{count_words(facts.models, 'model')} in {facts.models_folder}."
    if facts.left_over >= MUCH_LEFT:
        words += f" {size_words(facts.left_over)} there belong to no model, such as uploads that models were made from."
        remedy = "Ollama removes them when it is started by itself: seadragon stop ollama; ollama serve (and end it)."
        return Finding("models", "warn", words, remedy)
    return Finding("models", "ok", words)


def memory(facts: Facts) -> Finding:
    """What models may take, and whether each of them could be loaded at all."""
    if facts.config.server.ollama.mode == "external":
        return Finding("memory", "ok", "Models are held by the Ollama elsewhere.")
    settings = facts.config.server.memory
    now, most = budget(facts.memory, settings).models(()), ceiling(facts.memory, settings).models(())
    words = f"Models may take {memory_words(now)} in all at the moment, {memory_words(most)} at most."
    large = [f"{name} ({memory_words(size)})" for name, size in facts.sizes.items() if size > most]
    if large:
        remedy = "Requests for them are refused. Use smaller ones, or see memory in server.yaml."
        return Finding("memory", "warn", f"{words} Too big for this machine: {', '.join(large)}.", remedy)
    return Finding("memory", "ok", words)


def doors(facts: Facts) -> Finding:
    """Whether our addresses are ours, or can be."""
    bad = [door for door in facts.doors if door.state in ("taken", "refused")]
    if bad:
        told = "; ".join(f"{door.address}: {door.holder}" for door in bad)
        remedy = "Stop what has it, or choose another address in server.yaml. It is opened by itself when it can be."
        return Finding("listeners", "fail", f"{told}.", remedy)
    ours = all(door.state == "ours" for door in facts.doors)
    names = ", ".join(door.address for door in facts.doors)
    return Finding("listeners", "ok", f"{names}: {'ours' if ours else 'free'}.")


def exposure(facts: Facts) -> Finding:
    """An Ollama that others reach directly asks nobody for a key."""
    if facts.exposed:
        told = ", ".join(facts.exposed)
        remedy = "Start that Ollama without OLLAMA_HOST=0.0.0.0; let people come in through Seadragon."
        return Finding("exposure", "fail", f"An Ollama answers other machines at {told}.", remedy)
    return Finding("exposure", "ok", "Ollama answers this machine only.")


def origins(facts: Facts) -> Finding:
    """With *, any web page may use Ollama from a browser on this machine."""
    if "*" in (part.strip() for part in facts.origins.split(",")):
        words = "OLLAMA_ORIGINS is *: any web page could use Ollama."
        return Finding(
            "origins", "fail", words, "Remove it; pages that may come in stand under origins in access.yaml."
        )
    return Finding("origins", "ok", "No web page may use Ollama past Seadragon.")


def tunnel(facts: Facts) -> Finding:
    """cloudflared, if it is wanted."""
    if facts.config.server.tunnel.mode == "off":
        return Finding("tunnel", "ok", "No tunnel is wanted.")
    if why := facts.unrunnable.get("cloudflared"):
        return Finding("tunnel", "fail", why, "It is picked up as soon as it can be run.")
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


CHECKS: tuple[Callable[[Facts], Finding], ...] = (
    controller,
    python,
    configuration,
    folders,
    disk,
    database,
    rights,
    ollama,
    inside,
    child,
    others,
    models,
    memory,
    doors,
    exposure,
    origins,
    tunnel,
    public,
    certificates,
    secret_files,
    cookies,
    admins,
    clock,
    files,
)


def _ours(facts: Facts) -> dict[str, object] | None:
    """The status of the Ollama we run, as the controller tells it."""
    children = facts.running.get("children") if facts.running else None
    seen = children.get(OLLAMA) if isinstance(children, dict) else None
    return seen if isinstance(seen, dict) else None


def _told_storage(facts: Facts) -> str:
    """What the running controller says is the matter with its database."""
    told = facts.running.get("storage") if facts.running else None
    return str(told.get("trouble", "")) if isinstance(told, dict) else ""


def _pull(facts: Facts) -> str:
    """How to fetch a model into the Ollama we run: through the gateway that takes a right of its own."""
    url = (_ours(facts) or {}).get("url")
    if not url:
        return "start it (seadragon up), then ask the doctor again."
    return f"OLLAMA_HOST={url} {quoted([facts.ollama or OLLAMA])} pull llama3.2"


def _at(ports: tuple[int, ...]) -> str:
    return f" at port {', '.join(map(str, ports))}" if ports else ""
