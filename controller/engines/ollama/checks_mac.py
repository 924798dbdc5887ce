"""The doctor's verdicts on Ollama on a Mac: what keeps it from the GPU, or from starting. Pure."""

from __future__ import annotations

from collections.abc import Callable

from controller.doctor.findings import Facts, Finding, quoted
from controller.doctor.findings_mac import Mac
from controller.engines.ollama.seen import OllamaSeen
from controller.engines.ollama.settings import OLLAMA
from controller.supervision.spec import ChildState

OLDEST_MACOS = (14,)
NATIVE = "arm64"


def system(facts: Facts, seen: OllamaSeen, mac: Mac) -> Finding:
    """New enough for Ollama."""
    found = ".".join(map(str, mac.version))
    if mac.version and mac.version < OLDEST_MACOS:
        words = f"macOS {found} is too old for Ollama, which needs macOS 14 or newer."
        return Finding("macos", "fail", words, "Update it: System Settings > General > Software Update.")
    return Finding("macos", "ok", f"macOS {found or '(it does not say which)'}.")


def processor(facts: Facts, seen: OllamaSeen, mac: Mac) -> Finding:
    """Through Rosetta there is no GPU, and what a translated program starts is translated too."""
    if mac.translated:
        words = "This Python is made for Intel Macs. Ollama would run as an Intel program too, and find no GPU."
        return Finding("processor", "fail", words, "Run: rm -rf .venv && arch -arm64 make setup")
    if mac.silicon and seen.made_for and NATIVE not in seen.made_for:
        words = f"{seen.program} is made for Intel Macs: it runs, but finds no GPU."
        return Finding("processor", "fail", words, "Run make setup, which gets another one, and uninstall this one.")
    return Finding("processor", "ok", "Everything is made for this Mac's processor.")


def gpu(facts: Facts, seen: OllamaSeen, mac: Mac) -> Finding:
    """Metal may not be there for what starts before anybody has logged in."""
    told = facts.child(OLLAMA)
    if told is None or told.get("state") != ChildState.GPU_LOST:
        return Finding("gpu", "ok", "Nothing speaks against it.")
    daemon = mac.service is not None and mac.service.kind == "daemon"
    words = "Ollama finds no GPU, though this Mac has one."
    if not daemon:
        return Finding("gpu", "fail", words, "Look what it says: seadragon logs ollama. Then: seadragon restart ollama")
    how = "sudo seadragon uninstall, then seadragon install --agent (docs/mac.md says what else that takes)"
    return Finding("gpu", "fail", f"{words} A service that starts before the log-in may not get it.", f"Run: {how}")


def quarantine(facts: Facts, seen: OllamaSeen, mac: Mac) -> Finding:
    """A question nobody sees."""
    if seen.quarantined:
        words = f"{seen.program} was downloaded and never opened: macOS asks about it first, and nobody sees that."
        return Finding("quarantine", "warn", words, f"Run: xattr -dr com.apple.quarantine {quoted([seen.program])}")
    return Finding("quarantine", "ok", "Ollama may be started.")


CHECKS: tuple[Callable[[Facts, OllamaSeen, Mac], Finding], ...] = (system, processor, gpu, quarantine)
