"""The doctor's verdicts on Ollama, from facts alone. Pure."""

from __future__ import annotations

from collections.abc import Callable

from controller.doctor.findings import EngineSeen, Facts, Finding, quoted
from controller.engines.ollama import checks_mac
from controller.engines.ollama.inside import inside_of, strange
from controller.engines.ollama.seen import OllamaSeen
from controller.engines.ollama.settings import OLLAMA, OllamaSettings
from controller.plain import count_words, size_words

OLDEST = (0, 17, 1)  # CVE-2026-7482
LLAMA_SERVER = "llama-server"
MUCH_LEFT = 10**9  # bytes that no model needs


def judged(seen: OllamaSeen) -> EngineSeen:
    """What was seen, with what is made of it."""
    return EngineSeen(
        OllamaSettings.title,
        lambda facts: [check(facts, seen) for check in CHECKS],
        lambda facts, mac: [check(facts, seen, mac) for check in checks_mac.CHECKS],
        "ollama rm NAME",
        elsewhere=seen.elsewhere,
        sizes=seen.sizes,
        accelerator=seen.accelerator,
        folders=(seen.models_folder,),
    )


def ollama(facts: Facts, seen: OllamaSeen) -> Finding:
    """Whether the program is there, and has no known hole."""
    if seen.elsewhere:
        return Finding("ollama", "ok", f"It runs elsewhere, at {facts.config.server.ollama.url}.")
    if seen.program is None:
        how = "brew install ollama" if facts.platform == "darwin" else "make setup"
        configured = facts.config.server.ollama.binary
        if why := seen.unrunnable:
            return Finding("ollama", "fail", why, "It is picked up as soon as it can be run.")
        words = f"There is no program {configured}." if configured else "There is no ollama program on this machine."
        return Finding("ollama", "fail", words, f"Get it with: {how}. It is picked up as soon as it is there.")
    if seen.version is None:
        return Finding("ollama", "warn", f"{seen.program} does not say its version.", f"Try: {seen.program} --version")
    found = ".".join(map(str, seen.version))
    if seen.version < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        words = f"Ollama {found} has a known hole (CVE-2026-7482); {oldest} closed it."
        return Finding("ollama", "fail", words, "Update it: brew upgrade ollama, or see ollama.com/download")
    if seen.lacks:
        return _incomplete(facts, seen, f"Ollama {found}, {seen.program}")
    return Finding("ollama", "ok", f"Ollama {found}, {seen.program}.")


def _incomplete(facts: Facts, seen: OllamaSeen, which: str) -> Finding:
    """Since 0.30 it works with llama.cpp's own programs; some packages came without."""
    if facts.platform == "darwin":
        remedy = "Update it: brew update && brew upgrade ollama. Or take the app from ollama.com/download."
    else:
        remedy = "Install the whole release from ollama.com/download; or take this one away, and run: make setup"
    if LLAMA_SERVER in seen.lacks:
        words = f"{which}, has no {LLAMA_SERVER} beside it: it loads no GGUF model, and finds no GPU."
        return Finding("ollama", "fail", words, remedy)
    words = f"{which}, has no {' and no '.join(seen.lacks)} beside it: it makes no model of a file."
    return Finding("ollama", "warn", words, f"{remedy} (Until then `seadragon demo` does not work.)")


def inside(facts: Facts, seen: OllamaSeen) -> Finding:
    """Whether what we know of Ollama's inside is of the one that answers, or else of the one that would be started."""
    version = _told_version(facts, seen)
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


def _told_version(facts: Facts, seen: OllamaSeen) -> str | None:
    told = (facts.child(OLLAMA) or {}).get("facts")
    if isinstance(told, dict) and isinstance(version := told.get("version"), str):
        return version
    return None if seen.version is None else ".".join(map(str, seen.version))


def child(facts: Facts, seen: OllamaSeen) -> Finding:
    """How the Ollama we run is doing."""
    told = facts.child(OLLAMA)
    if told is None:
        return Finding("ollama's state", "ok", "Not looked at: nothing runs.")
    words = f"{str(told.get('state')).capitalize()}. {told.get('reason')}"
    known = told.get("facts")
    if isinstance(known, dict) and (found := _ON_DISK.get(str(known.get("on_disk")))) is not None:
        return Finding("ollama's state", "warn", f"{words} {found[0]}", found[1])
    if told.get("state") in ("ready", "stopped"):
        return Finding("ollama's state", "ok", words)
    if told.get("state") in ("starting", "backoff", "stopping"):
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


def others(facts: Facts, seen: OllamaSeen) -> Finding:
    """A second `ollama serve` takes memory from ours, and may fight it for a port."""
    if not seen.others or facts.config.server.ollama.mode == "adopt":
        return Finding("other ollamas", "ok", "No other Ollama is in the way.")
    apps = [each for each in seen.others if each.app]
    told = ", ".join(f"process {each.pid} of {each.user}{_at(each.ports)}" for each in seen.others)
    if apps:
        remedy = "Quit Ollama in the menu bar and take it out of the login items; it may end ours."
    else:
        remedy = "Stop it (brew services stop ollama, or systemctl stop ollama), or set server.ollama.mode to adopt."
    return Finding("other ollamas", "warn", f"Another Ollama runs: {told}. Both want the same memory.", remedy)


def models(facts: Facts, seen: OllamaSeen) -> Finding:
    """Whether there is anything to answer with."""
    if seen.elsewhere:
        return Finding("models", "ok", "They are kept by the Ollama elsewhere.")
    if seen.models_away:
        remedy = "Connect its disk. If the folder was moved: models.folder in models.yaml, or OLLAMA_MODELS."
        return Finding("models", "fail", f"{seen.models_away}.", remedy)
    get = f"For a tiny one: seadragon demo. For a real one: {_pull(facts, seen)}"
    if seen.models is None:
        return Finding("models", "warn", f"{seen.models_folder} cannot be read.", "Look who owns it: ls -ld on it.")
    if seen.models == 0:
        return Finding("models", "warn", f"There is no model in {seen.models_folder}.", get)
    words = f"{count_words(seen.models, 'model')} in {seen.models_folder}."
    if seen.left_over >= MUCH_LEFT:
        words += f" {size_words(seen.left_over)} there belong to no model, such as uploads that models were made from."
        remedy = "Ollama removes them when it is started by itself: seadragon stop ollama; ollama serve (and end it)."
        return Finding("models", "warn", words, remedy)
    return Finding("models", "ok", words)


def exposure(facts: Facts, seen: OllamaSeen) -> Finding:
    """An Ollama that others reach directly asks nobody for a key."""
    if seen.exposed:
        told = ", ".join(seen.exposed)
        remedy = "Start that Ollama without OLLAMA_HOST=0.0.0.0; let people come in through Seadragon."
        return Finding("exposure", "fail", f"An Ollama answers other machines at {told}.", remedy)
    return Finding("exposure", "ok", "Ollama answers this machine only.")


def origins(facts: Facts, seen: OllamaSeen) -> Finding:
    """With *, any web page may use Ollama from a browser on this machine."""
    if "*" in (part.strip() for part in seen.origins.split(",")):
        words = "OLLAMA_ORIGINS is *: any web page could use Ollama."
        return Finding(
            "origins", "fail", words, "Remove it; pages that may come in stand under origins in access.yaml."
        )
    return Finding("origins", "ok", "No web page may use Ollama past Seadragon.")


CHECKS: tuple[Callable[[Facts, OllamaSeen], Finding], ...] = (
    ollama,
    inside,
    child,
    others,
    models,
    exposure,
    origins,
)


def _pull(facts: Facts, seen: OllamaSeen) -> str:
    """How to fetch a model into the Ollama we run: through the gateway that takes a right of its own."""
    url = (facts.child(OLLAMA) or {}).get("url")
    if not url:
        return "start it (seadragon up), then ask the doctor again."
    return f"OLLAMA_HOST={url} {quoted([seen.program or OLLAMA])} pull llama3.2"


def _at(ports: tuple[int, ...]) -> str:
    return f" at port {', '.join(map(str, ports))}" if ports else ""
