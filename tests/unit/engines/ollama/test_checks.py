"""Every verdict the doctor can give on Ollama, from facts alone."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from controller.config.schema import Config, Server
from controller.doctor.findings import Finding
from controller.engines.ollama.checks import CHECKS, judged
from controller.engines.ollama.seen import OllamaSeen, Serving
from controller.engines.ollama.settings import OllamaSettings
from tests.unit.doctor.test_checks import WELL, running

SEEN = OllamaSeen(
    elsewhere=False,
    program=Path("/usr/bin/ollama"),
    version=(0, 24, 0),
    others=(),
    models_folder=Path("/home/mia/.ollama/models"),
    models=3,
    exposed=(),
    origins="",
)
OF_OLLAMA = {field.name for field in fields(OllamaSeen)}


def ollama(**wish: object) -> Config:
    return Config(server=Server(ollama=OllamaSettings(**wish)))


def renewed(on_disk: str) -> dict[str, object]:
    """As an Ollama runs whose program on the disk is as that says."""
    return running(children={"ollama": {"state": "ready", "reason": "It answers.", "facts": {"on_disk": on_disk}}})


def found(changes: dict[str, object], name: str) -> Finding:
    """What is said under `name` of an Ollama and a machine in order, but for `changes`."""
    seen = replace(SEEN, **{key: value for key, value in changes.items() if key in OF_OLLAMA})  # type: ignore[arg-type]  # the tables are typed by what the checks make of them
    facts = replace(WELL, **{key: value for key, value in changes.items() if key not in OF_OLLAMA})  # type: ignore[arg-type]  # as above
    (finding,) = [each for each in judged(seen).examine(facts) if each.name == name]
    return finding


def test_an_ollama_in_order_gets_only_good_news() -> None:
    assert {finding.verdict for finding in judged(SEEN).examine(WELL)} == {"ok"}


TROUBLE = [
    ("ollama", "fail", {"program": None}, "make setup"),
    ("ollama", "fail", {"program": None, "platform": "darwin"}, "brew install ollama"),
    (
        "ollama",
        "fail",
        {"program": None, "config": ollama(binary=Path("/x/ollama"))},
        "/x/ollama",
    ),
    ("ollama", "fail", {"version": (0, 17, 0)}, "CVE-2026-7482"),
    ("ollama", "warn", {"version": None}, "--version"),
    ("ollama", "fail", {"lacks": ("llama-server", "llama-quantize")}, "loads no GGUF model"),
    ("ollama", "fail", {"lacks": ("llama-server",), "platform": "darwin"}, "brew upgrade ollama"),
    ("ollama", "warn", {"lacks": ("llama-quantize",)}, "seadragon demo"),
    ("ollama's version", "warn", {"version": (0, 77, 0)}, "0.77.0 is newer than"),
    ("ollama's version", "warn", {"version": (0, 20, 1)}, "0.20.1 is older than"),
    (
        "ollama's version",
        "warn",
        {
            "version": (0, 32, 0),
            "config": ollama(environment={"OLLAMA_NEW_ENGINE": "1", "OLLAMA_DEBUG": "1"}),
        },
        "OLLAMA_NEW_ENGINE means nothing",
    ),
    (
        "ollama's version",
        "warn",
        {"running": running(children={"ollama": {"facts": {"version": "0.78.0"}}})},
        "0.78.0 is newer than",
    ),
    (
        "ollama's state",
        "warn",
        {"running": running(children={"ollama": {"state": "backoff", "reason": "r"}})},
        "Backoff",
    ),
    (
        "ollama's state",
        "fail",
        {"running": running(children={"ollama": {"state": "conflict", "reason": "r"}})},
        "Conflict",
    ),
    ("other ollamas", "warn", {"others": (Serving(77, "mia", (11434,)),)}, "process 77 of mia at port 11434"),
    ("other ollamas", "warn", {"others": (Serving(77, "mia", (), app=True),)}, "menu bar"),
    ("models", "warn", {"models": 0}, "seadragon demo"),
    ("models", "warn", {"models": 0, "running": running()}, "OLLAMA_HOST=http://127.0.0.1:5 /usr/bin/ollama pull"),
    ("models", "warn", {"models": None}, "cannot be read"),
    ("models", "warn", {"models": 3, "left_over": 12 * 10**9}, "12 GB there belong to no model"),
    ("exposure", "fail", {"exposed": ("192.168.1.5:11434",)}, "192.168.1.5:11434"),
    ("origins", "fail", {"origins": "http://a, *"}, "any web page"),
    ("ollama's state", "warn", {"running": renewed("another")}, "It takes over by itself (server.ollama.renew)"),
    ("ollama's state", "warn", {"running": renewed("gone")}, "Its program is gone from the disk"),
]


@pytest.mark.parametrize(("name", "verdict", "changes", "words"), TROUBLE)
def test_trouble_is_found_and_told_with_what_to_do(
    name: str, verdict: str, changes: dict[str, object], words: str
) -> None:
    finding = found(changes, name)
    assert finding.verdict == verdict
    assert words in f"{finding.words} {finding.remedy}"
    assert finding.remedy


FINE = [
    (
        "ollama",
        {"program": None, "config": ollama(mode="external", url="http://pc:11434"), "elsewhere": True},
        "http://pc:11434",
    ),
    (
        "models",
        {"models": 0, "config": ollama(mode="external", url="http://pc:11434"), "elsewhere": True},
        "elsewhere",
    ),
    ("models", {"models": 1}, "1 model in"),
    ("models", {"models": 1, "left_over": 10**8}, "1 model in"),
    (
        "other ollamas",
        {"others": (Serving(7, "mia", ()),), "config": ollama(mode="adopt")},
        "No other",
    ),
    ("ollama's state", {"running": running()}, "Ready"),
    ("ollama's state", {"running": renewed("same")}, "Ready"),
    ("ollama's version", {"version": None}, "Not looked at"),
    ("ollama's version", {"version": (0, 24, 0)}, "0.24.0"),
    (
        "ollama's version",
        {"version": (0, 77, 0), "running": running(children={"ollama": {"facts": {"version": "0.32.0"}}})},
        "0.32.0",
    ),
]


@pytest.mark.parametrize(("name", "changes", "words"), FINE)
def test_what_is_no_fault_is_not_made_one(name: str, changes: dict[str, object], words: str) -> None:
    finding = found(changes, name)
    assert finding.verdict == "ok"
    assert words in f"{finding.words} {finding.remedy}"


def test_the_tables_above_reach_every_check() -> None:
    names = {finding.name for finding in judged(SEEN).examine(WELL)}
    assert len(names) == len(CHECKS)
    assert {row[0] for row in TROUBLE} == names
