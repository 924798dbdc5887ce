"""Every verdict the doctor can give, from facts alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controller.config.listening import Listener
from controller.config.machine import Memory
from controller.config.models import Models
from controller.config.processes import TunnelSettings
from controller.config.schema import Config, Server
from controller.doctor.checks import AFTER_ENGINES, BEFORE_ENGINES, examine
from controller.doctor.findings import (
    CertificateSeen,
    Dated,
    EngineSeen,
    Facts,
    Finding,
    Folder,
    ListenerSeen,
    PublicAnswer,
    Secret,
    Stored,
)
from controller.residency.memory import Reading


def an_engine(**changes: object) -> EngineSeen:
    """One in order, of which there is nothing to say."""
    seen = EngineSeen("Engine", lambda facts: [], lambda facts, mac: [], "engine rm NAME")
    return replace(seen, **changes)  # type: ignore[arg-type]  # the tables are typed by what the checks make of them


ROOMY = Reading(total=64 * 2**30, available=58 * 2**30, limit=48 * 2**30, unified=True)
DB, COPY = Path("/sea/data/seadragon.db"), Path("/sea/data/backups/nightly.db")
WELL = Facts(
    now=1_800_000_000.0,
    installed_at=1_790_000_000.0,
    platform="linux",
    python=(3, 12, 1),
    config=Config(),
    config_problems=(),
    config_warnings=(),
    folders=tuple(
        Folder(name, Path("/sea") / name, True, 0o700, True, 200 * 10**9) for name in ("config", "data", "logs")
    ),
    running=None,
    unheard="",
    engines=(an_engine(),),
    listeners=(ListenerSeen("127.0.0.1:8420", "free"),),
    cloudflared=None,
    files_limit=65536,
    memory=ROOMY,
)


HUGE = (an_engine(sizes={"tiny": 2**20, "huge:405b": 200 * 2**30}),)
LARGE = (an_engine(sizes={"llama3.3:70b": 40 * 2**30}),)
DAY = 86400.0
LATER = (Dated("key", 1, 1.9e9), Dated("address", 2, 2.0e9), Dated("copy of the database", 3, 2.019e9))
NO = PublicAnswer("https://ai.example.org", "GET /api/tags", 401)
AT_HOME = Listener(address="192.168.1.10:8420", plain_cookies=True)


def server(**changes: object) -> Config:
    return Config(server=Server(**changes))


def running(**changes: object) -> dict[str, object]:
    child = {"state": "ready", "reason": "It answers.", "pid": 5, "url": "http://127.0.0.1:5"}
    return {"phase": "running", "pid": 4, "files": 65536, "children": {"ollama": child}, **changes}


def a_folder(**changes: object) -> tuple[Folder, ...]:
    return (replace(Folder("data", Path("/sea/data"), True, 0o700, True, 200 * 10**9), **changes),)  # type: ignore[arg-type]  # as above


def test_a_machine_in_order_gets_only_good_news() -> None:
    assert {finding.verdict for finding in examine(WELL)} == {"ok"}


TROUBLE = [
    ("controller", "fail", {"running": running(phase="safe")}, "safe mode"),
    ("controller", "fail", {"unheard": "It belongs to another user."}, "another user"),
    ("python", "fail", {"python": (3, 10, 2)}, "3.10.2"),
    ("configuration", "fail", {"config_problems": ("config/server.yaml:3:1 server.hold",)}, "server.yaml:3:1"),
    ("configuration", "warn", {"config_warnings": ("hold is called wait now",)}, "called wait"),
    ("kept out", "fail", {"rights": ("Nobody knows who is kept out. seadragon allow reopen",)}, "allow reopen"),
    ("folders", "fail", {"folders": a_folder(writable=False)}, "chown"),
    ("folders", "warn", {"folders": a_folder(mode=0o755)}, "chmod 700"),
    ("folders", "warn", {"folders": (Folder("config", Path("/sea/config"), True, 0o777, True, 2 * 10**11),)}, "go-w"),
    (
        "folders",
        "warn",
        {"folders": a_folder(open_files=("/sea/data/seadragon.db",))},
        "chmod 600 /sea/data/seadragon.db",
    ),
    ("disk", "fail", {"folders": a_folder(free=5 * 10**8)}, "500 MB"),
    ("disk", "warn", {"folders": a_folder(free=5 * 10**9)}, "5.0 GB"),
    ("database", "fail", {"database": Stored(DB, fault="It is a link.", remedy="Move it.")}, "It is a link. Move it."),
    ("database", "fail", {"database": Stored(DB, damage="page 3")}, "sets the file aside"),
    ("folders", "fail", {"folders": a_folder(owner="ada", foreign=("/sea/data/backups",))}, "chown -R ada /sea/data"),
    ("database", "fail", {"running": {"storage": {"trouble": "It is locked."}}}, "It is locked. Put right"),
    ("database", "fail", {"database": Stored(DB, damage="page 3", copy=COPY)}, f"go back to {COPY}"),
    (
        "memory",
        "warn",
        {"memory": ROOMY, "engines": HUGE},
        "huge:405b (200.0 GiB).",
    ),
    (
        "listeners",
        "fail",
        {"listeners": (ListenerSeen("127.0.0.1:8420", "taken", "nginx, process 9 of root, has it"),)},
        "nginx",
    ),
    (
        "listeners",
        "fail",
        {"listeners": (ListenerSeen("1.2.3.4:80", "refused", "Permission denied"),)},
        "Permission denied",
    ),
    ("tunnel", "fail", {"config": server(tunnel=TunnelSettings(mode="quick"))}, "no cloudflared"),
    (
        "tunnel",
        "fail",
        {"config": server(tunnel=TunnelSettings(mode="quick")), "platform": "darwin"},
        "brew install cloudflared",
    ),
    ("public name", "fail", {"asked": (NO, replace(NO, status=200))}, "seadragon stop tunnel"),
    ("public name", "fail", {"asked": (replace(NO, route="POST /api/generate", status=400),)}, "POST /api/generate"),
    ("public name", "warn", {"asked": (NO, replace(NO, status=None, fault="no such name"))}, "no such name"),
    ("public name", "warn", {"asked": (replace(NO, status=530),)}, "status 530"),
    ("public name", "warn", {"asked": (replace(NO, status=421),)}, "does not know that it is called"),
    (
        "certificates",
        "fail",
        {"certificates": (CertificateSeen("a:1", fault="/c is a file with nothing"),)},
        "/c is",
    ),
    ("certificates", "warn", {"certificates": (CertificateSeen("a:1", WELL.now + 13 * DAY),)}, "a:1: 13 days left"),
    ("secrets", "fail", {"secrets": (Secret(Path("/s/k"), "a file that others may read", 64),)}, "chmod 600 /s/k"),
    ("secrets", "fail", {"secrets": (Secret(Path("/s/k"), "", 31),)}, "Too short"),
    ("cookies", "warn", {"config": server(listeners=(AT_HOME,))}, "192.168.1.10:8420"),
    ("admin", "warn", {"admins": 0, "config": server(tunnel=TunnelSettings(mode="quick"))}, "seadragon admin-code"),
    ("clock", "warn", {"asked": (replace(NO, skew=-3600.0),)}, "3600 s behind"),
    ("clock", "fail", {"now": 1_000_000_000.0}, "before the day"),
    ("clock", "warn", {"dated": LATER}, "1 key, 2 addresses, 3 copies of the database. The clock was ahead"),
    ("clock", "warn", {"dated": LATER}, " Dec 2033 "),
    ("open files", "warn", {"files_limit": 256}, "256"),
    ("open files", "warn", {"running": running(files=256)}, "256"),
]


@pytest.mark.parametrize(("name", "verdict", "changes", "words"), TROUBLE)
def test_trouble_is_found_and_told_with_what_to_do(
    name: str, verdict: str, changes: dict[str, object], words: str
) -> None:
    facts = replace(WELL, **changes)  # type: ignore[arg-type]  # the table is typed by what the checks make of it
    (finding,) = [finding for finding in examine(facts) if finding.name == name]
    assert finding.verdict == verdict
    assert words in f"{finding.words} {finding.remedy}"
    assert finding.remedy


FINE = [
    ("controller", {}, "seadragon up"),
    ("controller", {"running": running()}, "process 4"),
    ("folders", {"folders": a_folder(there=False)}, "the first start"),
    ("folders", {"folders": (Folder("config", Path("/sea/config"), True, 0o755, True, 2 * 10**11),)}, "ours alone"),
    ("disk", {"folders": a_folder(there=False)}, "no folder"),
    (
        "memory",
        {"engines": LARGE},
        "43.2 GiB in all at the moment, 43.2 GiB at most.",
    ),
    ("memory", {"config": server(memory=Memory(budget=8 * 2**30))}, "8.0 GiB at most"),
    ("memory", {"engines": (an_engine(elsewhere=True),)}, "held by the Engine elsewhere"),
    ("database", {}, "the first start makes it"),
    ("database", {"database": Stored(DB, 20480)}, "seadragon.db is whole, 20 kB."),
    ("database", {"database": Stored(DB, 20480, behind=2)}, "brings it up to date"),
    ("listeners", {"listeners": (ListenerSeen("127.0.0.1:8420", "ours"),)}, "ours"),
    ("public name", {"asked": (NO, replace(NO, status=302))}, "says no"),
    ("certificates", {"certificates": (CertificateSeen("a:1", WELL.now + 30 * DAY),)}, "30 days left"),
    ("secrets", {"secrets": (Secret(Path("/s/k"), "", 32),)}, "1 file with secrets"),
    ("admin", {"admins": 0}, "seadragon admin-code"),
    ("admin", {"admins": 2}, "2 admins."),
    ("clock", {"asked": (replace(NO, skew=60.0),)}, "makes sense"),
    (
        "tunnel",
        {"config": server(tunnel=TunnelSettings(mode="quick")), "cloudflared": Path("/usr/bin/cloudflared")},
        "is there",
    ),
    ("configuration", {"config": Config(models=Models(parallel=4))}, "can be read"),
]


@pytest.mark.parametrize(("name", "changes", "words"), FINE)
def test_what_is_no_fault_is_not_made_one(name: str, changes: dict[str, object], words: str) -> None:
    facts = replace(WELL, **changes)  # type: ignore[arg-type]  # as above
    (finding,) = [finding for finding in examine(facts) if finding.name == name]
    assert finding.verdict == "ok"
    assert words in f"{finding.words} {finding.remedy}"


def test_the_tables_above_reach_every_check() -> None:
    names = {finding.name for finding in examine(WELL)}
    assert len(names) == len(BEFORE_ENGINES) + len(AFTER_ENGINES)
    assert {row[0] for row in TROUBLE} == names


def test_what_an_engine_says_of_itself_stands_among_the_findings_and_a_second_one_beside_it() -> None:
    first = an_engine(examine=lambda facts: [Finding("first", "ok", "It is there.")])
    second = an_engine(title="Second", examine=lambda facts: [Finding("second", "fail", "It is not.", "Get it.")])
    names = [finding.name for finding in examine(replace(WELL, engines=(first, second)))]
    assert names.index("first") + 1 == names.index("second") == names.index("memory") - 1


def test_memory_is_of_interest_as_long_as_one_engine_is_here() -> None:
    facts = replace(WELL, engines=(an_engine(elsewhere=True), an_engine(sizes={"huge": 2**40})))
    (finding,) = [finding for finding in examine(facts) if finding.name == "memory"]
    assert "Too big for this machine: huge" in finding.words
