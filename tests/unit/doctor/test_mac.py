"""The list for whoever has a Mac: every command can be pasted there as it stands."""

from __future__ import annotations

import json
import re
import shlex
from typing import get_args

import pytest

from controller.doctor.mac import PROOFS, Proof, Section

OURS = {".venv/bin/seadragon", ".venv/bin/python", "make"}
OF_MACOS = set(
    "arch cat cd cp curl do done env fdesetup file footprint for grep head id ioreg kill launchctl ls "
    "memory_pressure open pgrep pkill pmset ps python3 rm sleep ssh sudo sw_vers sysctl tail time tr ulimit uname "
    "vm_stat xcode-select /usr/bin/python3 /usr/libexec/ApplicationFirewall/socketfilterfw".split()
)
INSIDE = re.compile(r"\$\(([^()]*)\)")


def programs(command: str) -> set[str]:
    """What a line starts, at its top and inside $( ).

    Options of `sudo`, `env` and `time`, and assignments, stand before the program they are about.
    """
    found = {each for inner in INSIDE.findall(command) for each in programs(inner)}
    words = shlex.shlex(INSIDE.sub("X", command), posix=True, punctuation_chars=";|&")
    words.whitespace_split = True
    begins = True
    for word in words:
        if begins and not re.match(r"[A-Za-z_]+=|-", word):
            found.add(word)
        begins = set(word) <= set(";|&") or word in ("do", "sudo", "env", "time") or (begins and word not in found)
    return found


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.what)
def test_a_proof_says_what_to_run_and_what_to_expect(proof: Proof) -> None:
    assert proof.what.endswith(".")
    assert proof.expect.endswith(".")
    assert not proof.first or proof.first.endswith(".")
    assert proof.section in get_args(Section)


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.what)
def test_it_starts_only_what_is_ours_or_comes_with_a_mac(proof: Proof) -> None:
    unknown = {each for each in programs(proof.command) if each not in OURS | OF_MACOS and not each.startswith("/tmp/")}
    assert unknown == set()


def test_prose_in_a_command_would_be_noticed() -> None:
    assert programs("load a model; footprint $(pgrep x) | sudo -n grep y") == {
        "load",
        "footprint",
        "pgrep",
        "sudo",
        "grep",
    }


def test_sections_are_told_once_each_and_in_their_order() -> None:
    sections = [proof.section for proof in PROOFS]
    assert list(dict.fromkeys(sections)) == list(get_args(Section))
    assert sections == sorted(sections, key=get_args(Section).index)


def test_the_runner_of_today_is_known_for_one() -> None:
    assert not any("ollama runner'" in proof.command for proof in PROOFS)
    assert any("llama-server --model" in proof.command for proof in PROOFS)


def test_it_can_be_had_as_json() -> None:
    assert json.loads(json.dumps([proof.to_json() for proof in PROOFS]))[0]["section"] == "set-up"
